import type { DynamicLibrary } from 'node:ffi';

/** What the C library is called by. */
export interface CLibrary {
  readonly library: DynamicLibrary;
  /** Where bytes are, for as long as nobody frees or moves them. */
  readonly pointerTo: (bytes: Uint8Array) => bigint;
}

/**
 * The C library that this process is linked to, by `node:ffi`; null where this Node has none (before 26.1). Throws where
 * there is one and it cannot be called. Node warns on standard error, once a thread, that the module may change: that is
 * for us to know, who pin Node, and nothing that a reader of the log can act on. Any other warning is passed on.
 */
export function loadCLibrary(): CLibrary | null {
  const ffi = withoutExperimentalWarning(() => process.getBuiltinModule('node:ffi'));
  if (ffi === undefined) return null;
  return { library: new ffi.DynamicLibrary(null), pointerTo: (bytes) => ffi.getRawPointer(bytes) };
}

/** Node says it while the module loads, synchronously, and has no other way to not say it of one module. */
function withoutExperimentalWarning<T>(load: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = (warning: string | Error, ...rest: readonly unknown[]) => {
    if (rest[0] !== 'ExperimentalWarning') Reflect.apply(emitWarning, process, [warning, ...rest]);
  };
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}
