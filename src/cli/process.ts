import { flushCompileCache } from 'node:module';
import { runInNewContext } from 'node:vm';
import type { Clock } from '../base/clock.ts';
import { errorCode, messageOf, stackOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { releaseProgramPages } from './program-pages.ts';

/**
 * What the pinned Node is started with (the first line of `remora.ts` says the same, and so does the Dockerfile).
 * Hot functions are optimised on the main thread, in milliseconds during the first requests: compiler threads
 * leave 18 MB behind in malloc arenas of their own, and the CPU per request is the same. A nursery of 4 MB from
 * the start costs 3 MB and saves a twentieth of the CPU; it stays so: a proxy's garbage is short-lived strings, and a
 * larger nursery only lets more of them wait. And nobody uses AsyncLocalStorage here: without frames for it every callback
 * and microtask carries less, 3 %.
 *
 * None of them may be one that V8 makes code under (`v8.cachedDataVersionTag()` says): the compiled code in Node's binary is
 * for a Node without, and to compile Node's modules anew costs a start 10 ms. Such flags are set after it: {@link inlineMore}.
 */
export const ENGINE_FLAGS: readonly string[] = [
  '--no-concurrent-recompilation',
  '--min-semi-space-size=4',
  '--max-semi-space-size=4',
  '--no-async-context-frame',
];

/**
 * Keeps the young generation small where Node was started without {@link ENGINE_FLAGS}. With them nothing is set here: V8
 * takes no compiled code after a flag has changed. Must run before the heap has grown. (On the command line V8 makes this
 * factor 2.)
 */
export function trimMemory(): void {
  const capped = process.execArgv.some((flag) => flag.startsWith('--max-semi-space-size'));
  if (!capped) setFlag('--semi-space-growth-factor=1');
}

/** Past the first answer, and before many functions are hot. */
const INLINE_AFTER_MS = 100;

/**
 * A request goes through many small functions: V8 may inline three times as much as by default, which saves a twentieth of
 * the CPU. To be called when the start is over: what is loaded once it is set has to be compiled.
 */
export function inlineMore(clock: Clock): void {
  clock.after(INLINE_AFTER_MS, () => {
    // What a start compiled is no use to the next one once it bears other flags; and Node writes it at a clean exit only.
    flushCompileCache?.();
    setFlag('--max-inlined-bytecode-size-cumulative=3000');
  });
}

/** The one of {@link ENGINE_FLAGS} that is for who serves requests, and not for who pushes config. */
const COMPILE_BETWEEN = '--no-concurrent-recompilation';

/**
 * Has hot functions compiled on threads beside, in a process that was started as a proxy is: what a proxy pays during its
 * first requests a control server pays for the first hundred changes, however far apart they are, because each of these
 * functions stops all pushes for 20 to 50 ms. V8 makes such threads when it begins or never, so Node begins anew in the same
 * process (execve); call it before anything is open. Nothing happens where it runs so already, or the platform cannot.
 */
export function compileBeside(): void {
  const { execArgv, execPath, argv } = process;
  if (!execArgv.includes(COMPILE_BETWEEN)) return;
  const flags = execArgv.filter((flag) => flag !== COMPILE_BETWEEN);
  try {
    process.execve?.(execPath, [execPath, ...flags, ...argv.slice(1)]);
  } catch {
    // Late pushes are better than none.
  }
}

/**
 * For a process that keeps a large config and changes a part of it now and then: V8 would let the garbage of changes grow
 * to a multiple of what is alive before it looks at the old generation; with this it does at 60 % of it. 1,000 services and
 * 200 proxies: 100 MB less. 30 % saves no more, and costs twice the collections while many proxies connect.
 */
export function collectOften(): void {
  setFlag('--heap-growing-percent=60');
}

/** A heap beyond this is that of a large config, and most of it is what reading it left behind. */
const LARGE_HEAP_BYTES = 64 * 1024 * 1024;
/** When a small heap is collected: past the start and its first requests. */
const COLLECT_AFTER_MS = 1000;

/**
 * Gives back what the start left behind, once the config is in force: V8 itself would let the heap grow to several
 * times that first. At once where it is much (10,000 virtual hosts: 417 MB become 130), later where a first request
 * would wait for it.
 */
export function collectStart(clock: Clock): void {
  const large = process.memoryUsage().heapUsed > LARGE_HEAP_BYTES;
  if (large) collect();
  clock.after(COLLECT_AFTER_MS, () => {
    if (!large) collect();
    releaseProgramPages();
  });
}

function collect(): void {
  // V8's collector has no other door; it is closed again for whoever runs later.
  setFlag('--expose-gc');
  const gc: (options: object) => void = runInNewContext('gc');
  setFlag('--no-expose-gc');
  // Another flavor keeps the empty pages for later.
  gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}

/** Not by an import: Node loads a dozen modules with `node:v8`, which a start can do without. */
function setFlag(flag: string): void {
  process.getBuiltinModule('node:v8').setFlagsFromString(flag);
}

export type StopSignal = 'SIGINT' | 'SIGTERM';

/**
 * Calls `stop` once, at the first SIGINT or SIGTERM, and ends the process with 0 when it has resolved; a second signal
 * ends it at once. Returns what stops it as SIGINT does, for who asks otherwise; no effect while it stops already.
 */
export function onStop(stop: (signal: StopSignal) => Promise<void>): () => void {
  let stopping = false;
  const begin = (signal: StopSignal): void => {
    stopping = true;
    void stop(signal).then(
      () => process.exit(0),
      (error) => process.stderr.write(`remora: ${messageOf(error)}\n`, () => process.exit(1)),
    );
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stopping) process.exit(1);
      begin(signal);
    });
  }
  return () => {
    if (!stopping) begin('SIGINT');
  };
}

/**
 * An exception of ours that nobody caught is the end of the process, with 1: nobody knows what it left half done. It is
 * one line of the log, with its stack; Node itself would print the line of the source, which in the bundle has 100 KB.
 */
export function onCrash(log: Logger): void {
  process.on('uncaughtException', (error) => {
    log.error('an exception ends the process', { stack: stackOf(error) });
    process.exit(1);
  });
}

/** Whether a process runs, be it ours to signal or not. */
export function isAlive(pid: number): boolean {
  // 0 and negative numbers mean groups of processes.
  if (pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === 'EPERM';
  }
}
