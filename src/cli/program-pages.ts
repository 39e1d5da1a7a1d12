import { loadCLibrary } from '../base/c-library.ts';

interface Mapping {
  readonly address: bigint;
  readonly bytes: bigint;
}

/** From mman.h: unmaps pages now; who touches one again has it from the file. */
const MADV_DONTNEED = 4;

/**
 * Lets the pages of the program and its libraries go which are in memory: most were needed by the start alone (parsers, the
 * snapshot of V8's heap), and come no more. The others are still in the page cache and come back by a fault each 64 KB, 1 ms
 * in all. A sidecar has 14 MB less then, and 10 to 15 MB less under load; the kernel may give pages that nobody has mapped
 * to others first. No effect where there is no /proc or the C library cannot be called.
 */
export function releaseProgramPages(): void {
  if (process.platform !== 'linux') return;
  try {
    const c = loadCLibrary();
    if (c === null) return;
    const madvise = c.library.getFunction('madvise', { arguments: ['uint64', 'uint64', 'int32'], return: 'int32' });
    const smaps = process.getBuiltinModule('node:fs').readFileSync('/proc/self/smaps', 'latin1');
    for (const { address, bytes } of cleanMappings(smaps)) madvise(address, bytes, MADV_DONTNEED);
  } catch {
    // It is larger then.
  }
}

/**
 * Of /proc/PID/smaps (proc_pid_smaps(5)), mappings of files that cannot be written and hold no page of this process's own:
 * what the loader has relocated is such, and would be lost.
 */
export function cleanMappings(smaps: string): readonly Mapping[] {
  const clean: Mapping[] = [];
  // Each begins with a line of addresses; the others are `Name: value`.
  for (const text of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (?:r--p|r-xp) \S+ \S+ [1-9]\d* +\//.exec(text);
    if (head === null || !/^Anonymous: +0 kB$/m.test(text) || !/^Private_Dirty: +0 kB$/m.test(text)) continue;
    const address = BigInt(`0x${head[1]}`);
    clean.push({ address, bytes: BigInt(`0x${head[2]}`) - address });
  }
  return clean;
}
