import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { constants } from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import { systemClock, TurnClock } from '../base/clock.ts';
import { ConfigError, messageOf, RemoraError } from '../base/errors.ts';
import { type Logger, LogRoot } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import { formatAddress } from '../model/address.ts';
import { proxyDecodeContext } from '../proxy/runtime/extensions.ts';
import type { IdentitySettings } from '../proxy/runtime/identity.ts';
import { Proxy } from '../proxy/runtime/server.ts';
import { readBootstrap } from '../xds/bootstrap/bootstrap.ts';
import { EXPLAIN, proxyBootstrap } from '../xds/bootstrap/proxy-bootstrap.ts';
import { identityMetadata, identitySettings } from './identity.ts';
import { announce, findServicePort } from './instance.ts';
import { readMesh } from './mesh-state.ts';
import { collectStart, inlineMore, trimMemory } from './process.ts';
import { logLevel } from './proxy.ts';
import { VERSION } from './version.ts';

interface RunFlags {
  readonly service: string;
  readonly version: string;
  readonly namespace: string;
  readonly port?: number;
  readonly control?: string;
  readonly files?: string;
  readonly mtls?: true;
  readonly logLevel: string;
}

export function runCommand(): Command {
  return new Command('run')
    .description('run a local program on the mesh, with a sidecar beside it')
    .requiredOption('--service <name>', 'the service it is an instance of')
    .option('--version <version>', 'its version, for subsets', 'v1')
    .option('--namespace <name>', 'namespace of the service', 'default')
    .option('--port <port>', 'port the program listens on; without it, a free one given as $PORT', portOf)
    .option('--control <address>', 'xDS address of the control server; without it, the mesh running on this machine')
    .option('--files <folder>', 'folder that the control server watches, to announce the program in')
    .option('--mtls', 'with a certificate: its calls and those to it are mutual TLS where both sides can')
    .option('--log-level <level>', 'log level of the sidecar', 'warning')
    .argument('<command...>', 'the program and its arguments, after --')
    .passThroughOptions()
    .addHelpText(
      'after',
      '\nExample:\n  remora run --service reviews --version v2 -- node reviews.js\n\n' +
        'The program gets $PORT to listen on and http_proxy to call through; http://reviews:9080/ then reaches the mesh.',
    )
    .action(runProgram);
}

function portOf(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw new InvalidArgumentError('must be a port, 1 to 65535');
  return port;
}

async function runProgram(command: string[], flags: RunFlags): Promise<void> {
  trimMemory();
  const log = new LogRoot(systemClock, (line) => process.stderr.write(line), logLevel(flags.logLevel)).logger();
  const mesh = findMesh(flags);
  const known = findServicePort(mesh.folders, flags.service, flags.namespace);
  const appPort = flags.port ?? (await freePort());
  const servicePort = known?.number ?? flags.port ?? 80;
  const pod = `${flags.service}-${flags.version}-${randomBytes(3).toString('hex')}`;
  const identity = identityOf(flags, mesh);
  const proxy = sidecar(flags, pod, mesh.control, servicePort, appPort, identity, log);
  await proxy.start();
  inlineMore(systemClock);
  collectStart(systemClock);
  const inbound = proxy.addressOf(`inbound|${servicePort}`);
  const outbound = proxy.addressOf('http_proxy');
  if (inbound === undefined || outbound === undefined) {
    await proxy.close();
    throw new RemoraError('mesh', `the control server at ${mesh.control} gave this sidecar no listeners`);
  }
  const child = start(command, pod, flags.version, appPort, formatAddress(outbound));
  const instance = {
    pod,
    service: flags.service,
    namespace: flags.namespace,
    version: flags.version,
    servicePort,
    inboundPort: inbound.port,
    ...(identity === null ? {} : { serviceAccount: identity.id.serviceAccount }),
  };
  let withdraw = (): void => {};
  const stopped = ended(child);
  forwardSignals(child, () => withdraw());
  const listening = await Promise.race([accepts(appPort, stopped), stopped.then(() => false)]);
  if (listening) {
    withdraw = announce(instance, mesh.instances, known?.name ?? 'http', known === null);
    process.stderr.write(`remora: ${pod} is on the mesh as ${flags.service}:${servicePort}\n`);
  }
  const code = await stopped;
  withdraw();
  await proxy.close();
  process.exitCode = code;
}

interface FoundMesh {
  readonly control: string;
  readonly instances: string;
  readonly folders: readonly string[];
  /** File of the token for its CA; '' it has none. */
  readonly caToken: string;
}

/** Service account of the service's name, as in Bookinfo. null without --mtls. */
function identityOf({ mtls, service, namespace }: RunFlags, { control, caToken }: FoundMesh): IdentitySettings | null {
  if (mtls !== true) return null;
  if (caToken === '') throw new ConfigError('--mtls needs a control server on this machine that has a CA');
  const flags = { caAddress: `http://${control}`, caToken };
  return identitySettings(flags, {}, `http://${control}`, { namespace, serviceAccount: service });
}

/** Where the mesh is: named by flags, or the one that runs on this machine. */
function findMesh(flags: RunFlags): FoundMesh {
  const mesh = readMesh();
  const control = flags.control ?? mesh?.xds;
  const instances = flags.files ?? mesh?.instances;
  if (control === undefined || instances === undefined) {
    throw new ConfigError(
      'no mesh is running on this machine: start one with `remora demo` or `remora control --files DIR`, or name it with --control and --files',
    );
  }
  const caToken = mesh?.caToken ?? '';
  return {
    control,
    instances,
    caToken,
    folders: [...(mesh?.files ?? []), ...(flags.files === undefined ? [] : [flags.files])],
  };
}

function sidecar(
  flags: RunFlags,
  pod: string,
  control: string,
  port: number,
  appPort: number,
  identity: IdentitySettings | null,
  log: Logger,
): Proxy {
  const bootstrap = proxyBootstrap({
    type: 'sidecar',
    control,
    ip: '127.0.0.1',
    pod,
    namespace: flags.namespace,
    workload: `${flags.service}-${flags.version}`,
    labels: { app: flags.service, version: flags.version },
    admin: { host: '127.0.0.1', port: 0 },
    ...(identity === null ? {} : { serviceAccount: identity.id.serviceAccount }),
    metadata: {
      ...identityMetadata(identity),
      REMORA: {
        inbound: [{ port, bind: '127.0.0.1:0', app: `127.0.0.1:${appPort}`, service: hostOf(flags) }],
        httpProxy: '127.0.0.1:0',
      },
    },
  });
  const explained = { ...bootstrap, layered_runtime: EXPLAIN };
  const result = readBootstrap(JSON.stringify(explained), proxyDecodeContext());
  if (!result.ok)
    throw new ConfigError(
      'the sidecar bootstrap',
      result.problems.map(({ path, reason }) => `${path}: ${reason}`),
    );
  return new Proxy({
    bootstrap: result.bootstrap,
    ...(identity === null ? {} : { identity }),
    clock: new TurnClock(),
    random: systemRandom,
    log: log.child(pod),
    stdout: process.stdout,
    stderr: process.stderr,
    version: VERSION,
  });
}

/** The service as the mesh names it: what policies for it are found by. */
function hostOf({ service, namespace }: RunFlags): string {
  return `${service}.${namespace}.svc.cluster.local`;
}

function start(command: string[], pod: string, version: string, port: number, proxy: string): ChildProcess {
  const [program, ...args] = command;
  const url = `http://${proxy}`;
  return spawn(program!, args, {
    stdio: 'inherit',
    env: {
      ...process.env,
      PORT: String(port),
      POD_NAME: pod,
      VERSION: version,
      http_proxy: url,
      HTTP_PROXY: url,
      NODE_USE_ENV_PROXY: '1',
      no_proxy: 'localhost,127.0.0.1,::1',
      NO_PROXY: 'localhost,127.0.0.1,::1',
    },
  });
}

/** The exit code of the program: 128 + the signal's number when one ended it, 127 when it could not be started. */
function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.on('error', (error) => {
      process.stderr.write(`remora: cannot start ${child.spawnfile}: ${messageOf(error)}\n`);
      resolve(127);
    });
    child.on('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}

/** How long the mesh is given to hear that an instance leaves before its program is told to stop. */
const WITHDRAW_MS = 300;

/** Leaves the mesh first, so that no call is on its way when the program stops; a second signal does not wait. */
function forwardSignals(child: ChildProcess, withdraw: () => void): void {
  let leaving = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      withdraw();
      if (leaving) child.kill(signal);
      else systemClock.after(WITHDRAW_MS, () => child.kill(signal));
      leaving = true;
    });
  }
}

/** Resolves true when something accepts on the port; gives up when the program has ended. */
async function accepts(port: number, stopped: Promise<number>): Promise<boolean> {
  let over = false;
  void stopped.then(() => {
    over = true;
  });
  while (!over) {
    if (await canConnect(port)) return true;
    await new Promise((resolve) => systemClock.after(50, () => resolve(null)));
  }
  return false;
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

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || address === null) throw new RemoraError('port', 'no free port');
  return address.port;
}
