import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from './programs.ts';

/** As it was before this process pinned itself. */
export const CORES = availableParallelism();
/** The measured proxy has this core for itself. */
export const PROXY_CORE = 0;
/** Load, backend and this process share the others; with two cores, the one other. */
export const LOAD_CORE = CORES > 1 ? 1 : 0;
export const BACKEND_CORE = CORES > 2 ? 2 : LOAD_CORE;
/** A proxy with several workers has these; with fewer than four cores, the load has a part of them. */
export const WORKER_CORES = CORES > 3 ? `${PROXY_CORE},3` : `0-${LOAD_CORE}`;

const taskset = CORES > 1 ? findProgram('taskset') : null;
export const PINNED = taskset !== null;

export interface SpawnOptions {
  /** One, or a list of them as taskset takes it. */
  readonly core: number | string;
  readonly env?: Readonly<Record<string, string>>;
  /** File for the child's stdout; absent: kept in memory for `output`. */
  readonly stdoutFile?: string;
}

/** A child of the bench. `pid` is the program's own: taskset replaces itself by it. */
export class Child {
  readonly name: string;
  readonly pid: number;
  readonly exited: Promise<number | null>;
  stdout = '';
  stderr = '';
  running = true;
  readonly #process: ChildProcess;

  constructor(name: string, process: ChildProcess, pid: number) {
    this.name = name;
    this.pid = pid;
    this.#process = process;
    process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    // The end of it is what says why a child died.
    process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-8192);
    });
    this.exited = new Promise((resolve) => {
      process.on('close', (code) => {
        this.running = false;
        resolve(code);
      });
    });
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#process.kill(signal);
  }

  /** What went wrong, in its own words. */
  complaint(): string {
    const words = this.stderr.trim() || this.stdout.trim() || 'it said nothing';
    return `${this.name} (pid ${this.pid}): ${words}`;
  }
}

const children = new Set<Child>();
const folders = new Set<string>();

/** Starts `argv` on a core. It dies with this process, whatever ends it but SIGKILL. */
export function start(name: string, argv: readonly string[], options: SpawnOptions): Child {
  const [command, ...args] = taskset === null ? argv : [taskset, '-c', String(options.core), ...argv];
  const file = options.stdoutFile === undefined ? 'pipe' : openSync(options.stdoutFile, 'a');
  const process_ = spawn(command!, args, {
    stdio: ['ignore', file, 'pipe'],
    env: { ...process.env, ...options.env },
  });
  if (typeof file === 'number') closeSync(file);
  if (process_.pid === undefined) throw new Error(`cannot start ${argv[0]}`);
  const child = new Child(name, process_, process_.pid);
  children.add(child);
  void child.exited.then(() => children.delete(child));
  return child;
}

/** Ends a child and what it started: asks first, kills after three seconds. */
export async function stop(child: Child): Promise<void> {
  const family = descendants(child.pid);
  child.signal('SIGTERM');
  const timer = setTimeout(() => killAll([child.pid, ...family]), 3000);
  await child.exited;
  clearTimeout(timer);
  // A master that died without its workers.
  killAll(family);
}

/** Process ids below `pid`, nearest first. */
export function descendants(pid: number): number[] {
  const found: number[] = [];
  for (const child of read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean)) {
    found.push(Number(child), ...descendants(Number(child)));
  }
  return found;
}

/** A folder that goes away with this process. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'remora-bench-'));
  folders.add(folder);
  return folder;
}

/** Runs the bench's main function; nothing is left behind however it ends. */
export async function runToEnd(main: () => Promise<void>): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // Not once: a second signal must not cut the cleaning short.
    process.on(signal, () => {
      cleanUp();
      process.exit(130);
    });
  }
  // On core 0 it would take from what it measures.
  if (taskset !== null) await run([taskset, '-pc', String(LOAD_CORE), String(process.pid)]);
  try {
    await main();
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  } finally {
    cleanUp();
  }
}

/** Runs a command to its end and answers its output; throws with its complaint when it fails. */
export async function run(argv: readonly string[], cwd?: string): Promise<string> {
  const process_ = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], ...(cwd ? { cwd } : {}) });
  if (process_.pid === undefined) throw new Error(`cannot start ${argv[0]}`);
  const child = new Child(argv[0]!, process_, process_.pid);
  children.add(child);
  const code = await child.exited;
  children.delete(child);
  if (code !== 0) throw new Error(child.complaint());
  return child.stdout;
}

function cleanUp(): void {
  for (const child of children) killAll([child.pid, ...descendants(child.pid)]);
  children.clear();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  folders.clear();
}

function killAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Gone already.
    }
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
