import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../base/clock.ts';
import { errorCode } from '../../base/errors.ts';

/** How long a process may take to end after SIGTERM before it is killed. */
const GRACE_MS = 5000;

/** One process of the demo; all it prints goes to its log file. */
export class DemoProcess {
  readonly name: string;
  readonly child: ChildProcess;
  readonly logFile: string;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  readonly #log: WriteStream;
  #over = false;

  constructor(name: string, command: readonly string[], logFolder: string, env: NodeJS.ProcessEnv) {
    this.name = name;
    this.logFile = join(logFolder, `${name}.log`);
    this.#log = createWriteStream(this.logFile, { flags: 'a' });
    // A group of its own: Ctrl-C reaches the demo alone, which then ends everything in order.
    this.child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], env, detached: true });
    this.child.stdout!.pipe(this.#log, { end: false });
    this.child.stderr!.pipe(this.#log, { end: false });
    this.ended = new Promise((resolve) => {
      this.child.once('error', () => this.#finish(resolve));
      // Streams are flushed at 'close', a moment after 'exit'.
      this.child.once('close', () => this.#finish(resolve));
    });
  }

  get running(): boolean {
    return !this.#over;
  }
  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Asks it to end, and sees to it that it does. */
  async stop(): Promise<void> {
    if (this.#over) return;
    this.child.kill('SIGTERM');
    const timer = systemClock.after(GRACE_MS, () => this.#killGroup());
    await this.ended;
    timer.cancel();
  }

  /** Ends it and its children at once, as a machine that falls over. */
  async kill(): Promise<void> {
    this.#killGroup();
    await this.ended;
  }

  #killGroup(): void {
    if (this.pid === 0 || this.#over) return;
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch (error) {
      // Its last process ended this very moment.
      if (errorCode(error) !== 'ESRCH') throw error;
    }
  }

  #finish(resolve: () => void): void {
    this.#over = true;
    this.#log.end();
    resolve();
  }
}

/** The processes of one demo, and the folder of their logs. */
export class DemoProcesses {
  readonly logFolder: string;
  readonly #all: DemoProcess[] = [];

  constructor(folder: string) {
    this.logFolder = folder;
    mkdirSync(folder, { recursive: true });
  }

  start(name: string, command: readonly string[], env: NodeJS.ProcessEnv = process.env): DemoProcess {
    const started = new DemoProcess(name, command, this.logFolder, env);
    this.#all.push(started);
    return started;
  }

  /** A process that ended by itself, or undefined. */
  get fallen(): DemoProcess | undefined {
    return this.#all.find((one) => !one.running);
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.#all.map((one) => one.stop()));
  }
}
