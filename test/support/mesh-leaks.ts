import { afterEach } from 'vitest';
import { until } from './mesh.ts';

const KINDS = new Set(['TCPSocketWrap', 'TCPServerWrap', 'TCPConnectWrap', 'FSEventWrap']);
const cleanups: (() => unknown)[] = [];

function open(): string[] {
  return process.getActiveResourcesInfo().filter((kind) => KINDS.has(kind));
}

const atStart = open().length;

/** Ends with the test, the last made first; a test that leaves a socket or a watcher open fails. */
export function ends<T extends { close(): unknown } | { stop(): unknown }>(made: T): T {
  cleanups.push(() => ('close' in made ? made.close() : made.stop()));
  return made;
}

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await until(
    () => `nothing left open, but there is ${open().join(', ')}`,
    () => open().length <= atStart,
  );
});
