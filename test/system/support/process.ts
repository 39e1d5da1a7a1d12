import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** A folder that ends with the test file. */
export const scratch = mkdtempSync(join(tmpdir(), 'remora-system-'));

const running = new Set<Program>();

afterAll(async () => {
  await Promise.all([...running].map((program) => program.stop()));
  rmSync(scratch, { recursive: true, force: true });
});

/** A program beside the test, which ends with the test file at the latest. */
export class Program {
  readonly name: string;
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  #ended: Promise<void>;

  constructor(name: string, command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.name = name;
    this.child = spawn(command, args, {
      cwd: scratch,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.child.stdout!.on('data', (chunk) => {
      this.stdout += chunk;
    });
    this.child.stderr!.on('data', (chunk) => {
      this.stderr += chunk;
    });
    this.#ended = new Promise((resolve) => {
      this.child.on('error', (error) => {
        this.stderr += String(error);
        resolve();
      });
      this.child.on('close', () => resolve());
    });
    running.add(this);
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null && this.child.pid !== undefined;
  }

  /** Resolves when the port accepts; rejects with the program's last words when it ends or takes too long. */
  async accepts(port: number): Promise<this> {
    await until(`${this.name} to listen on ${port}`, async () => {
      if (!this.alive) throw new Error(`${this.name} ended: ${this.stderr.slice(-2000) || this.stdout.slice(-2000)}`);
      return canConnect(port);
    });
    return this;
  }

  /** Resolves when the proxy's admin port says that every listener is at work: `/ready` of Envoy and Remora. */
  async live(admin: number): Promise<this> {
    await this.accepts(admin);
    await until(`${this.name} to be ready`, async () => (await fetch(`http://127.0.0.1:${admin}/ready`)).ok);
    return this;
  }

  async stop(): Promise<void> {
    if (this.alive) this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 3000);
    await this.#ended;
    clearTimeout(timer);
    running.delete(this);
  }
}

/** Runs a program to its end. */
export async function output(command: string, args: readonly string[]): Promise<{ code: number | null; text: string }> {
  const child = spawn(command, args, { cwd: scratch, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      text += chunk;
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  return { code, text };
}

export async function until(what: string, test: () => Promise<boolean> | boolean, ms = 20_000): Promise<void> {
  const deadline = performance.now() + ms;
  while (!(await test())) {
    if (performance.now() > deadline) throw new Error(`waited ${ms / 1000} s for ${what}`);
    await pause(20);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/**
 * Ports that were free a moment ago, all different. They lie below those the kernel gives to whoever connects
 * (`ip_local_port_range`): no client of another test can take one before the server listens.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = randomInt(10_000, 32_000);
    if (!ports.includes(port) && (await canListen(port))) ports.push(port);
  }
  return ports;
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

export async function freePort(): Promise<number> {
  return (await freePorts(1))[0]!;
}

export function writeScratch(name: string, text: string): string {
  const path = join(scratch, name);
  writeFileSync(path, text);
  return path;
}
