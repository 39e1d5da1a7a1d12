import { join } from 'node:path';
import { LOAD_CORE, start } from './processes.ts';
import { findProgram, NODE, ROOT } from './programs.ts';

export interface LoadResult {
  /** Answered with 2xx or 3xx. */
  readonly answered: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  /** Other answers, resets and timeouts. */
  readonly failed: number;
}

/** Something that keeps `connections` kept-alive connections busy. */
export interface Load {
  readonly name: 'autocannon' | 'wrk';
  run(port: number, connections: number, seconds: number): Promise<LoadResult>;
}

export const autocannon: Load = {
  name: 'autocannon',
  async run(port, connections, seconds) {
    const script = join(ROOT, 'node_modules/autocannon/autocannon.js');
    const options = ['-j', '-n', '-c', String(connections), '-d', String(seconds)];
    const text = await output([NODE, '--no-deprecation', script, ...options, url(port)]);
    const result = JSON.parse(text.slice(text.indexOf('{'))) as AutocannonResult;
    const answered = result['2xx'] + result['3xx'];
    return {
      answered,
      perSecond: answered / result.duration,
      p50: result.latency.p50,
      p99: result.latency.p99,
      failed: result.non2xx - result['3xx'] + result.errors + result.timeouts,
    };
  },
};

interface AutocannonResult {
  readonly '2xx': number;
  readonly '3xx': number;
  readonly non2xx: number;
  readonly errors: number;
  readonly timeouts: number;
  readonly duration: number;
  readonly latency: { readonly p50: number; readonly p99: number };
}

/** wrk, or null where there is none. */
export function findWrk(): Load | null {
  const wrk = findProgram('wrk');
  if (wrk === null) return null;
  return {
    name: 'wrk',
    async run(port, connections, seconds) {
      const text = await output([wrk, '-t1', `-c${connections}`, `-d${seconds}s`, '--latency', url(port)]);
      const total = Number(match(text, /(\d+) requests in/));
      const wrong = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
      const socket = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text);
      const cut = socket === null ? 0 : socket.slice(1).reduce((sum, count) => sum + Number(count), 0);
      const perSecond = Number(match(text, /Requests\/sec:\s+([\d.]+)/));
      return {
        answered: total - wrong,
        perSecond: total === 0 ? 0 : (perSecond * (total - wrong)) / total,
        p50: milliseconds(match(text, /50%\s+([\d.]+[a-z]+)/)),
        p99: milliseconds(match(text, /99%\s+([\d.]+[a-z]+)/)),
        failed: wrong + cut,
      };
    },
  };
}

function url(port: number): string {
  return `http://127.0.0.1:${port}/reviews/0`;
}

async function output(argv: readonly string[]): Promise<string> {
  const child = start('load', argv, { core: LOAD_CORE });
  const code = await child.exited;
  if (code !== 0) throw new Error(`the load generator failed. ${child.complaint()}`);
  return child.stdout;
}

function match(text: string, pattern: RegExp): string {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Error(`wrk printed something else than expected:\n${text}`);
  return found;
}

function milliseconds(text: string): number {
  const value = Number.parseFloat(text);
  if (text.endsWith('us')) return value / 1000;
  return text.endsWith('ms') ? value : value * (text.endsWith('m') ? 60_000 : 1000);
}
