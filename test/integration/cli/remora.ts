import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ENTRY = fileURLToPath(new URL('../../../src/cli/remora.ts', import.meta.url));

/** How one command ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The real command, from its sources, as a process of its own. */
export class Remora {
  stdout = '';
  stderr = '';
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  readonly #watchers = new Set<() => void>();

  /** `home` takes the place of the machine's temporary folder, so that no other mesh is met. */
  constructor(args: readonly string[], home: string, stdin?: string, more: Readonly<Record<string, string>> = {}) {
    const env = { ...process.env, TMPDIR: home, NO_COLOR: '1', ...more };
    // What a machine's number of processors would decide, the test does.
    const workers = args[0] === 'proxy' && !args.includes('--concurrency') ? ['--concurrency', '1'] : [];
    this.#child = spawn(process.execPath, [ENTRY, ...args, ...workers], { env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stdin?.on('error', () => {});
    this.#child.stdin?.end(stdin ?? '');
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#heard(text, ''));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#heard('', text));
    this.ended = new Promise((resolve) => {
      this.#child.on('close', (code) => {
        resolve({ code, stdout: this.stdout, stderr: this.stderr });
        for (const watcher of this.#watchers) watcher();
      });
    });
  }

  /** The first match in what it has printed so far, or will print; rejects when it ends without. */
  async said(pattern: RegExp): Promise<RegExpExecArray> {
    const match = await new Promise<RegExpExecArray | null>((resolve) => {
      const look = (): void => {
        const found = pattern.exec(`${this.stdout}\n${this.stderr}`);
        if (found === null && this.#child.exitCode === null) return;
        this.#watchers.delete(look);
        resolve(found);
      };
      this.#watchers.add(look);
      look();
    });
    if (match !== null) return match;
    throw new Error(`remora ended without saying ${pattern}:\n${this.stdout}\n${this.stderr}`);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  stop(signal: 'SIGINT' | 'SIGTERM' = 'SIGTERM'): Promise<Ended> {
    this.#child.kill(signal);
    return this.ended;
  }

  /** At the end of a test, whatever it came to. */
  async kill(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    await this.ended;
  }

  #heard(stdout: string, stderr: string): void {
    this.stdout += stdout;
    this.stderr += stderr;
    for (const watcher of [...this.#watchers]) watcher();
  }
}
