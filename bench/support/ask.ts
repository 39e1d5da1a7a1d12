import { connect, createServer } from 'node:net';
import type { Target } from './load.ts';
import type { Child } from './processes.ts';

/** A port nobody has now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

export interface Answer {
  /** When the first byte of a 200 came (`performance.now()`). */
  readonly at: number;
  readonly bodyBytes: number;
}

/** Asks again and again until a 200 comes; throws when the child dies or it takes too long. */
export async function firstAnswer(
  port: number,
  child: Child,
  { host, target }: Target = { host: 'bench.test', target: '/' },
  timeoutMs = 15_000,
): Promise<Answer> {
  const deadline = performance.now() + timeoutMs;
  let last = 'nothing listens';
  while (performance.now() < deadline) {
    if (!child.running) throw new Error(`ended before its first answer. ${child.complaint()}`);
    const answer = await ask(port, host, target);
    if (typeof answer !== 'string') return answer;
    last = answer;
    await pause(1);
  }
  throw new Error(`no answer within ${timeoutMs} ms: ${last}. ${child.complaint()}`);
}

/** One GET on a connection of its own; a text says what was wrong. */
function ask(port: number, host: string, target: string): Promise<Answer | string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let head = '';
    let bytes = 0;
    let at = 0;
    socket.setNoDelay(true);
    socket.setTimeout(5000, () => socket.destroy(new Error('it does not answer')));
    socket.on('connect', () => socket.write(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`));
    socket.on('data', (chunk: Buffer) => {
      if (at === 0) at = performance.now();
      bytes += chunk.length;
      if (!head.includes('\r\n\r\n')) head += chunk.toString('latin1');
    });
    socket.on('error', (error) => resolve(error.message));
    socket.on('close', () => {
      const end = head.indexOf('\r\n\r\n');
      if (!head.startsWith('HTTP/1.1 200')) resolve(head.split('\r\n', 1)[0] || 'it closed the connection');
      else resolve({ at, bodyBytes: bytes - end - 4 });
    });
  });
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
