import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { systemClock } from '../../base/clock.ts';
import { ConfigError, RemoraError } from '../../base/errors.ts';
import { ENGINE_FLAGS } from '../process.ts';
import { type DemoProcess, DemoProcesses } from './processes.ts';

/** The instances of Bookinfo: a process and a sidecar each. */
const INSTANCES = [
  ['details', 'v1'],
  ['ratings', 'v1'],
  ['reviews', 'v1'],
  ['reviews', 'v2'],
  ['reviews', 'v3'],
  ['productpage', 'v1'],
] as const;

/** How long the mesh may take to answer its first page. */
const START_MS = 60_000;

export interface DemoInstance {
  readonly process: DemoProcess;
  /** Port of the service itself, past its sidecar: for making it sick. */
  readonly appPort: number;
}

/** Bookinfo on a mesh on this machine: a control server, six services with their sidecars, an ingress gateway. */
export class DemoMesh {
  /** The YAML that is in force: files copied here change the mesh. */
  readonly live: string;
  /** What to copy from: config/bookinfo. */
  readonly library: string;
  readonly processes: DemoProcesses;
  readonly instances = new Map<string, DemoInstance>();
  gatewayPort = 0;
  control: DemoProcess | null = null;
  #xdsPort = 0;
  #httpPort = 0;
  readonly #folder: string;
  readonly #entry: string;
  /** The command line of this CLI. */
  readonly #self: readonly string[];

  /** `entry`: the script this process runs, to start others like it. */
  constructor(entry: string, name: string) {
    this.#folder = join(tmpdir(), `remora-${userInfo().uid}`, name);
    rmSync(this.#folder, { recursive: true, force: true });
    this.live = join(this.#folder, 'live');
    this.library = findLibrary(entry);
    mkdirSync(this.live, { recursive: true });
    this.processes = new DemoProcesses(join(this.#folder, 'logs'));
    this.#entry = entry;
    this.#self = [process.execPath, ...ENGINE_FLAGS, entry];
  }

  get url(): string {
    return `http://127.0.0.1:${this.gatewayPort}`;
  }
  get controlUrl(): string {
    return `http://127.0.0.1:${this.#httpPort}`;
  }

  /** Starts everything; resolves when the first page is whole. */
  async start(wantedPort: number): Promise<void> {
    for (const file of ['services.yaml', 'gateway.yaml', 'destination-rules.yaml']) this.use(file, file);
    this.gatewayPort = await portOrFree(wantedPort);
    this.#xdsPort = await portOrFree(0);
    this.#httpPort = await portOrFree(0);
    await this.startControl();
    this.#startGateway();
    for (const [service, version] of INSTANCES) await this.startInstance(service, version);
    await this.#firstPage();
  }

  async startControl(): Promise<void> {
    const control = this.processes.start('control', [
      ...this.#self,
      'control',
      ...['--files', this.live],
      ...['--instances', this.#instancesFolder()],
      ...['--xds', `127.0.0.1:${this.#xdsPort}`],
      ...['--http', `127.0.0.1:${this.#httpPort}`],
    ]);
    this.control = control;
    await this.#until(async () => (await fetch(`${this.controlUrl}/ready`)).ok, control);
  }

  async startInstance(service: string, version: string): Promise<void> {
    const appPort = await portOrFree(0);
    const name = `${service}-${version}`;
    const program = demoProgram(this.#entry, service);
    const started = this.processes.start(name, [
      ...this.#self,
      'run',
      ...['--service', service],
      ...['--version', version],
      ...['--port', String(appPort)],
      ...['--control', `127.0.0.1:${this.#xdsPort}`],
      ...['--files', this.#instancesFolder()],
      '--',
      process.execPath,
      program,
    ]);
    this.instances.set(name, { process: started, appPort });
  }

  /** Copies a file of the library into the live folder, in one step. */
  use(file: string, target: string): void {
    cpSync(join(this.library, file), join(this.live, target));
  }
  remove(...targets: string[]): void {
    for (const target of targets) rmSync(join(this.live, target), { force: true });
  }

  /** Ends every process and removes every file. */
  async stop(): Promise<void> {
    await this.processes.stopAll();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #instancesFolder(): string {
    const folder = join(this.#folder, 'instances');
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  #startGateway(): void {
    this.processes.start('gateway', [
      ...this.#self,
      'proxy',
      '--router',
      ...['--control', `127.0.0.1:${this.#xdsPort}`],
      ...['--label', 'istio=ingressgateway'],
      ...['--bind', '127.0.0.1'],
      ...['--map', `80=${this.gatewayPort}`],
      ...['--admin', '127.0.0.1:0'],
      '--explain',
      // A mesh on one machine has others to share it with.
      ...['--concurrency', '1'],
    ]);
  }

  async #firstPage(): Promise<void> {
    await this.#until(async () => {
      const page = await fetch(`${this.url}/productpage`);
      const html = await page.text();
      return page.ok && !html.includes('Error fetching');
    });
  }

  /** Polls until `done`, but not past a process that ended. */
  async #until(done: () => Promise<boolean>, only?: DemoProcess): Promise<void> {
    const deadline = systemClock.now() + START_MS;
    while (systemClock.now() < deadline) {
      const fallen = only === undefined ? this.processes.fallen : only.running ? undefined : only;
      if (fallen !== undefined) {
        throw new RemoraError(
          'demo',
          `${fallen.name} ended while starting; the end of its log:\n${tail(fallen.logFile)}`,
        );
      }
      if (await attempt(done)) return;
      await pause(100);
    }
    throw new RemoraError(
      'demo',
      `the mesh did not answer within ${START_MS / 1000} s; logs are in ${this.processes.logFolder}`,
    );
  }
}

/** Waits without keeping the process alive for it. */
export function pause(ms: number): Promise<void> {
  return new Promise((done) => {
    systemClock.after(ms, done);
  });
}

async function attempt(done: () => Promise<boolean>): Promise<boolean> {
  try {
    return await done();
  } catch {
    // Not listening yet, or going away: asked again.
    return false;
  }
}

function tail(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-8).join('\n');
}

/** config/bookinfo of the clone this runs from. */
function findLibrary(entry: string): string {
  for (let folder = dirname(resolve(entry)); ; folder = dirname(folder)) {
    const library = join(folder, 'config', 'bookinfo');
    if (existsSync(library)) return library;
    if (dirname(folder) === folder) throw new ConfigError('config/bookinfo is not beside this installation');
  }
}

/** The script of a Bookinfo service: bundled beside the bundled CLI, or its source beside the CLI's source. */
function demoProgram(entry: string, service: string): string {
  const folder = dirname(resolve(entry));
  return basename(entry).endsWith('.ts')
    ? join(folder, '..', 'demo', `${service}.ts`)
    : join(folder, 'demo', `${service}.js`);
}

/** The wanted port when it is free, else any free one. */
export async function portOrFree(wanted: number): Promise<number> {
  return (await tryPort(wanted)) ?? (await tryPort(0)) ?? 0;
}

function tryPort(port: number): Promise<number | null> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(null));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address !== null ? address.port : null));
    });
  });
}
