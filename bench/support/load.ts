import { writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { LOAD_CORE, start, temporaryFolder } from './processes.ts';
import { findProgram, NODE, ROOT } from './programs.ts';

export interface LoadResult {
  /** Answered with 2xx or 3xx. */
  readonly answered: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  /** Other answers, resets, and no answer at all. */
  readonly failed: number;
  /** Answered and counted as such, but after more than 2 s (wrk calls these timeouts): there was too little CPU. */
  readonly late?: number;
}

/** Something that keeps `connections` kept-alive connections busy. */
export interface Load {
  readonly name: 'autocannon' | 'wrk';
  run(port: number, connections: number, seconds: number, ask?: Ask): Promise<LoadResult>;
}

/** What is asked. */
export interface Ask {
  /** In turn; autocannon asks for the last only. Absent: `GET /reviews/0`. */
  readonly targets?: readonly Target[];
  /** Size of each request's body, which is then a POST. */
  readonly uploadBytes?: number;
  /** By https, whatever the certificate. */
  readonly tls?: boolean;
  /** A connection for each request. */
  readonly close?: boolean;
}

export interface Target {
  /** The Host header. */
  readonly host: string;
  /** A path, or a URL for a proxy that is asked as such. */
  readonly target: string;
}

export const autocannon: Load = {
  name: 'autocannon',
  async run(port, connections, seconds, ask = {}) {
    const script = join(ROOT, 'node_modules/autocannon/autocannon.js');
    const options = ['-j', '-n', '-c', String(connections), '-d', String(seconds)];
    const target = ask.targets?.at(-1);
    if (target !== undefined) options.push('-H', `Host=${target.host}`);
    if (ask.uploadBytes !== undefined) options.push('-m', 'POST', '-i', upload(ask.uploadBytes));
    const at = target?.target.startsWith('/') ? `http://127.0.0.1:${port}${target.target}` : url(port);
    const text = await output([NODE, '--no-deprecation', script, ...options, at]);
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
    async run(port, connections, seconds, ask) {
      const script = ask?.uploadBytes === undefined && ask?.targets === undefined ? [] : ['-s', luaScript(ask)];
      if (ask?.close === true) script.push('-H', 'Connection: close');
      const options = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', ...script];
      const text = await output([wrk, ...options, url(port, ask?.tls)]);
      const total = Number(match(text, /(\d+) requests in/));
      const wrong = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
      const socket = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text);
      const [connect = 0, read = 0, write = 0, late = 0] = socket?.slice(1).map(Number) ?? [];
      const perSecond = Number(match(text, /Requests\/sec:\s+([\d.]+)/));
      return {
        answered: total - wrong,
        perSecond: total === 0 ? 0 : (perSecond * (total - wrong)) / total,
        p50: milliseconds(match(text, /50%\s+([\d.]+[a-z]+)/)),
        p99: milliseconds(match(text, /99%\s+([\d.]+[a-z]+)/)),
        failed: wrong + connect + read + write,
        late,
      };
    },
  };
}

/** A wrk script that asks for the targets in turn, as texts made before the first request. */
function luaScript({ targets, uploadBytes }: Ask): string {
  const file = join(temporaryFolder(), 'ask.lua');
  const text =
    uploadBytes !== undefined
      ? `wrk.method = "POST"\nwrk.body = string.rep("x", ${uploadBytes})\n`
      : `local asked = {}
init = function()
${(targets ?? []).map(({ host, target }) => `  asked[#asked + 1] = wrk.format("GET", "${target}", { Host = "${host}" })`).join('\n')}
end
local at = 0
request = function()
  at = at % #asked + 1
  return asked[at]
end
`;
  writeFileSync(file, text);
  return file;
}

function upload(bytes: number): string {
  const file = join(temporaryFolder(), 'upload');
  writeFileSync(file, Buffer.alloc(bytes, 'x'));
  return file;
}

/** A load at a fixed rate, whose latencies count from when a request was due (corrected for coordinated omission). */
export interface OpenLoad {
  run(port: number, connections: number, perSecond: number, seconds: number): Promise<OpenResult>;
}

export interface OpenResult {
  readonly answered: number;
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly failed: number;
}

export const OHA_MISSING =
  'oha is not installed: cargo install --locked oha@1.16.0 --root ~/.cache/remora-bench (some 10 minutes, once)';

/** oha from the PATH or the bench's own folder; null where there is none. */
export function findOha(): OpenLoad | null {
  const oha = findProgram('oha') ?? findProgram('oha', [join(homedir(), '.cache/remora-bench/bin')]);
  if (oha === null) return null;
  return {
    async run(port, connections, perSecond, seconds) {
      const options = ['--no-tui', '--output-format', 'json', '--latency-correction', '-w', '--no-color'];
      const amount = ['-c', String(connections), '-q', String(perSecond), '-z', `${seconds}s`];
      const result = JSON.parse(await output([oha, ...options, ...amount, url(port)])) as OhaResult;
      const all = Object.entries(result.statusCodeDistribution);
      const answered = all.reduce((sum, [status, count]) => sum + (/^[23]/.test(status) ? count : 0), 0);
      const others = all.reduce((sum, [, count]) => sum + count, 0) - answered;
      const errors = Object.values(result.errorDistribution).reduce((sum, count) => sum + count, 0);
      return {
        answered,
        perSecond: result.summary.requestsPerSec,
        p50: result.latencyPercentiles.p50 * 1000,
        p99: result.latencyPercentiles.p99 * 1000,
        p999: result.latencyPercentiles['p99.9'] * 1000,
        failed: others + errors,
      };
    },
  };
}

/** The part of oha's JSON that is read here; seconds. */
interface OhaResult {
  readonly summary: { readonly requestsPerSec: number };
  readonly latencyPercentiles: { readonly p50: number; readonly p99: number; readonly 'p99.9': number };
  readonly statusCodeDistribution: Readonly<Record<string, number>>;
  readonly errorDistribution: Readonly<Record<string, number>>;
}

function url(port: number, tls = false): string {
  return `${tls ? 'https' : 'http'}://127.0.0.1:${port}/reviews/0`;
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
