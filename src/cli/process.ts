import { setFlagsFromString } from 'node:v8';

/**
 * Keeps the young generation at its first size. A proxy's garbage is short-lived strings: a larger nursery
 * only lets more of them wait, in 15 to 20 MB of memory, and saves no time that could be measured
 * (bench/README.md). Must run before the heap has grown.
 */
export function keepNurserySmall(): void {
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
