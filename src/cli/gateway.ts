import { Command } from 'commander';
import { systemClock, TurnClock } from '../base/clock.ts';
import { ConfigError, RemoraError } from '../base/errors.ts';
import { type Logger, LogRoot } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import type { ControlServer } from '../control/runtime/server.ts';
import { formatAddress, type SocketAddress } from '../model/address.ts';
import { proxyDecodeContext } from '../proxy/runtime/extensions.ts';
import { Proxy } from '../proxy/runtime/server.ts';
import { readBootstrap } from '../xds/bootstrap/bootstrap.ts';
import { EXPLAIN, proxyBootstrap } from '../xds/bootstrap/proxy-bootstrap.ts';
import { checkPaths } from './config-files.ts';
import { collectStart, inlineMore, onStop, trimMemory } from './process.ts';
import { collectLabel, collectPort, logLevel, parseAddress } from './proxy.ts';
import { VERSION } from './version.ts';

interface GatewayFlags {
  readonly files: readonly string[];
  readonly map: Readonly<Record<string, number>>;
  readonly selector: Readonly<Record<string, string>>;
  readonly bind?: string;
  readonly admin: SocketAddress;
  readonly explain?: boolean;
  readonly logLevel: string;
}

/** How often it is looked whether an edit opened or closed a port, to say so. */
const LOOK_MS = 250;
/** How long clients may take to finish when the gateway is told to end. */
const DRAIN_MS = 5_000;

export function gatewayCommand(): Command {
  return new Command('gateway')
    .description('a gateway by itself: serves what Gateway objects in a folder say, and follows edits')
    .requiredOption('--files <path...>', 'folders and files of YAML to serve, and to watch')
    .option(
      '--map <port=port>',
      'listen on the second port for what Gateways call the first, may be repeated',
      collectPort,
      {},
    )
    .option(
      '--selector <name=value>',
      'serve only the Gateways that select this label, may be repeated',
      collectLabel,
      {},
    )
    .option('--bind <address>', 'address to listen on where a Gateway names none; all, without it')
    .option('--admin <address>', 'admin address of the proxy', parseAddress, { host: '127.0.0.1', port: 15000 })
    .option('--explain', 'local replies say why in their bodies')
    .option('--log-level <level>', 'log level', 'warning')
    .addHelpText(
      'after',
      '\nExample:\n  remora gateway --files config/bookinfo/gateway.yaml config/bookinfo/services.yaml --map 80=8080',
    )
    .action(runGateway);
}

async function runGateway(flags: GatewayFlags): Promise<void> {
  trimMemory();
  checkPaths(flags.files);
  const lines = new HeldLines();
  const log = new LogRoot(systemClock, (line) => lines.write(line), logLevel(flags.logLevel)).logger();
  const { ControlServer } = await import('../control/runtime/server.ts');
  const free = { host: '127.0.0.1', port: 0 };
  const control = new ControlServer({
    paths: flags.files,
    xds: free,
    http: free,
    clock: systemClock,
    log,
    version: VERSION,
  });
  await control.start();
  const proxy = gatewayProxy(flags, formatAddress(control.xdsAddress), log.child('gateway'));
  const served = new Served(proxy);
  onStop(() => end(proxy, control, served));
  try {
    await proxy.start();
  } catch (error) {
    await proxy.close();
    await control.close();
    throw withMapHint(error);
  }
  inlineMore(systemClock);
  collectStart(systemClock);
  lines.release();
  if (proxy.adminAddress !== undefined) process.stdout.write(`admin http://${formatAddress(proxy.adminAddress)}\n`);
  served.say();
  if (served.empty) process.stdout.write(`no Gateway in ${flags.files.join(', ')} opens a port yet: waiting for one\n`);
  served.follow();
}

function gatewayProxy(flags: GatewayFlags, control: string, log: Logger): Proxy {
  const { map, selector, bind, admin } = flags;
  const bootstrap = proxyBootstrap({
    type: 'router',
    control,
    ip: '127.0.0.1',
    pod: `gateway-${process.pid}`,
    namespace: 'default',
    workload: 'gateway',
    labels: selector,
    admin,
    metadata: {
      REMORA: {
        ...(Object.keys(selector).length === 0 ? { allGateways: true } : {}),
        ...(Object.keys(map).length === 0 ? {} : { portMap: map }),
        ...(bind === undefined ? {} : { bind }),
      },
    },
  });
  const text = JSON.stringify(flags.explain ? { ...bootstrap, layered_runtime: EXPLAIN } : bootstrap);
  const result = readBootstrap(text, proxyDecodeContext());
  if (!result.ok)
    throw new ConfigError(
      'the bootstrap from flags',
      result.problems.map(({ path, reason }) => `${path}: ${reason}`),
    );
  return new Proxy({
    bootstrap: result.bootstrap,
    clock: new TurnClock(),
    random: systemRandom,
    log,
    stdout: process.stdout,
    stderr: process.stderr,
    version: VERSION,
  });
}

/** Says which addresses are served, when that changes. */
class Served {
  readonly #proxy: Proxy;
  #known: ReadonlySet<string> = new Set();
  #ended = false;

  constructor(proxy: Proxy) {
    this.#proxy = proxy;
  }
  get empty(): boolean {
    return this.#known.size === 0;
  }
  end(): void {
    this.#ended = true;
  }

  say(): void {
    const now = new Set(
      [...this.#proxy.applier.listeners.values()].flatMap(({ addresses }) => addresses.map(formatAddress)),
    );
    for (const address of now) if (!this.#known.has(address)) process.stdout.write(`serving http://${address}\n`);
    for (const address of this.#known)
      if (!now.has(address)) process.stdout.write(`no longer serving http://${address}\n`);
    this.#known = now;
  }

  follow(): void {
    systemClock.after(LOOK_MS, () => {
      if (this.#ended) return;
      this.say();
      this.follow();
    });
  }
}

/** New connections are refused at once, requests in progress are finished. */
async function end(proxy: Proxy, control: ControlServer, served: Served): Promise<void> {
  served.end();
  await proxy.drain.drain(DRAIN_MS);
  await proxy.close();
  await control.close();
}

/** Log lines wait until the start has worked: when it has not, the one line that says why is enough. */
class HeldLines {
  #held: string[] | null = [];

  write(line: string): void {
    if (this.#held === null) process.stderr.write(line);
    else this.#held.push(line);
  }
  release(): void {
    for (const line of this.#held ?? []) process.stderr.write(line);
    this.#held = null;
  }
}

/** Ports below 1024 are the first thing a newcomer meets. */
function withMapHint(error: unknown): unknown {
  if (!(error instanceof RemoraError) || error.code !== 'bind') return error;
  return new RemoraError('bind', `${error.message}, such as by --map 80=8080`, {
    source: 'user',
    cause: error,
  });
}
