import { spawnSync } from 'node:child_process';
import { messageOf, RemoraError } from '../../base/errors.ts';
import { cleanText, restoreText } from './restore.ts';
import { type Family, type RuleSet, TPROXY_MARK, TPROXY_TABLE } from './rules.ts';

export type Backend = 'nft' | 'legacy';

/** Runs a program to its end; tests give another. `status` -1: it could not be started. */
export type Run = (program: string, args: readonly string[], input?: string) => RunResult;
export interface RunResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function runProgram(program: string, args: readonly string[], input = ''): RunResult {
  const { status, stdout, stderr, error } = spawnSync(program, args, { input, encoding: 'utf8', timeout: 60_000 });
  return { status: error === undefined ? (status ?? -1) : -1, stdout: stdout ?? '', stderr: error?.message ?? stderr };
}

const PREFIX = { v4: 'iptables', v6: 'ip6tables' } as const;
/** Seconds to wait for another program that holds the tables. */
const WAIT = '--wait=30';

/**
 * The backend whose tables are in use: rules written by one are invisible to the other, and both would apply. So the
 * one that has rules of anybody already; else the first that works at all.
 */
export function findBackend(run: Run): Backend {
  const usable: Backend[] = [];
  const failures: string[] = [];
  for (const backend of ['nft', 'legacy'] as const) {
    const { status, stdout, stderr } = run(`iptables-${backend}-save`, ['-t', 'nat']);
    if (status !== 0) {
      failures.push(`iptables-${backend}: ${oneLine(stderr)}`);
      continue;
    }
    // iptables-nft-save says so in a comment when there are legacy tables.
    if (/^-A /m.test(stdout)) return backend;
    usable.push(backend);
  }
  const [first] = usable;
  if (first !== undefined) return first;
  throw new RemoraError(
    'no_iptables',
    `neither backend of iptables can be used (${failures.join('; ')}): this needs the package iptables and the capability NET_ADMIN`,
    { source: 'user' },
  );
}

/** Applies the rules of each family, a whole table at a time. Applying again changes nothing. */
export function applyRules(sets: readonly RuleSet[], backend: Backend, transparent: boolean, run: Run): void {
  for (const set of sets) {
    const text = restoreText(set, saved(set.family, backend, run));
    restore(set.family, backend, text, run);
    if (set.family === 'v6') mustRun(run, 'ip', ['-6', 'addr', 'replace', '::6/128', 'dev', 'lo'], /exists/i);
    if (transparent) addRoute(set.family, run);
  }
}

/** Takes everything away that any version wrote, in both backends. */
export function cleanRules(families: readonly Family[], run: Run): void {
  for (const family of families) {
    for (const backend of ['nft', 'legacy'] as const) {
      const { status, stdout } = run(`${PREFIX[family]}-${backend}-save`, []);
      const text = status === 0 ? cleanText(stdout) : '';
      if (text !== '') restore(family, backend, text, run);
    }
    dropRoute(family, run);
    // Not ours alone, but nothing else has it.
    if (family === 'v6') run('ip', ['-6', 'addr', 'del', '::6/128', 'dev', 'lo']);
  }
}

function saved(family: Family, backend: Backend, run: Run): string {
  const program = `${PREFIX[family]}-${backend}-save`;
  const { status, stdout, stderr } = run(program, []);
  if (status !== 0) throw failed(program, stderr);
  return stdout;
}

function restore(family: Family, backend: Backend, text: string, run: Run): void {
  const program = `${PREFIX[family]}-${backend}-restore`;
  const { status, stderr } = run(program, ['--noflush', WAIT], text);
  if (status !== 0) throw failed(program, stderr);
}

/** Marked packets are delivered here, whatever their address: TPROXY needs it. */
function addRoute(family: Family, run: Run): void {
  const version = family === 'v4' ? '-4' : '-6';
  if (!hasRule(family, run))
    mustRun(run, 'ip', [version, 'rule', 'add', 'fwmark', TPROXY_MARK, 'lookup', TPROXY_TABLE]);
  const everything = family === 'v4' ? '0.0.0.0/0' : '::/0';
  mustRun(run, 'ip', [version, 'route', 'replace', 'local', everything, 'dev', 'lo', 'table', TPROXY_TABLE]);
}

function dropRoute(family: Family, run: Run): void {
  const version = family === 'v4' ? '-4' : '-6';
  if (!hasRule(family, run)) return;
  mustRun(run, 'ip', [version, 'rule', 'del', 'fwmark', TPROXY_MARK, 'lookup', TPROXY_TABLE]);
  mustRun(run, 'ip', [version, 'route', 'flush', 'table', TPROXY_TABLE]);
}

function hasRule(family: Family, run: Run): boolean {
  const { stdout } = run('ip', [family === 'v4' ? '-4' : '-6', 'rule', 'list']);
  const mark = Number(TPROXY_MARK).toString(16);
  return stdout.includes(`fwmark 0x${mark} lookup ${TPROXY_TABLE}`);
}

function mustRun(run: Run, program: string, args: readonly string[], unless?: RegExp): void {
  const { status, stderr } = run(program, args);
  if (status !== 0 && unless?.test(stderr) !== true) throw failed(`${program} ${args.join(' ')}`, stderr);
}

function failed(program: string, stderr: string): RemoraError {
  return new RemoraError('iptables', `${program}: ${oneLine(messageOf(stderr)) || 'failed'}`);
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
