import { setFlagsFromString } from 'node:v8';
import { errorCode } from '../base/errors.ts';

/**
 * What the pinned Node is started with (the first line of `remora.ts` says the same, and so does the Dockerfile).
 * Hot functions are optimised on the main thread, in milliseconds during the first requests: compiler threads
 * leave 18 MB behind in malloc arenas of their own, and the CPU per request is the same. A nursery of 4 MB from
 * the start costs 3 MB and saves a twentieth of the CPU; {@link trimMemory} keeps it from growing further.
 */
export const ENGINE_FLAGS: readonly string[] = ['--no-concurrent-recompilation', '--min-semi-space-size=4'];

/**
 * Keeps the young generation at the size it starts with: a proxy's garbage is short-lived strings, and a larger nursery
 * only lets more of them wait. Must run before the heap has grown; measured by `npm run bench:rivals`.
 */
export function trimMemory(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}

/** Calls `stop` once, at the first SIGINT or SIGTERM; a second one ends the process at once. */
export function onStop(stop: () => Promise<void>): void {
  let stopping = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stopping) process.exit(1);
      stopping = true;
      void stop().then(() => process.exit(0));
    });
  }
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
