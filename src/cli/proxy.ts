import { readFileSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { Command, InvalidArgumentError } from 'commander';
import { systemClock, TurnClock } from '../base/clock.ts';
import { ConfigError, errorCode, messageOf } from '../base/errors.ts';
import { LOG_LEVELS, type LogLevel, LogRoot } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import type { SocketAddress } from '../model/address.ts';
import { proxyDecodeContext } from '../proxy/runtime/extensions.ts';
import { Proxy } from '../proxy/runtime/server.ts';
import { type Bootstrap, readBootstrap } from '../xds/bootstrap/bootstrap.ts';
import { describeProblems } from '../xds/bootstrap/document.ts';
import { proxyBootstrap } from '../xds/bootstrap/proxy-bootstrap.ts';
import { collectStart, onStop, trimMemory } from './process.ts';
import { VERSION } from './version.ts';

/** Runtime key of `--explain`. */
const EXPLAIN_KEY = 'remora.local_reply.explain';

interface ProxyFlags {
  readonly config?: string;
  readonly configYaml?: string;
  readonly logLevel: string;
  readonly validate?: boolean;
  readonly sidecar?: boolean;
  readonly router?: boolean;
  readonly control?: string;
  readonly namespace: string;
  readonly label: Readonly<Record<string, string>>;
  readonly map: Readonly<Record<string, number>>;
  readonly bind?: string;
  readonly admin: SocketAddress;
  readonly explain?: boolean;
  readonly lastGood?: string;
  readonly health?: SocketAddress;
  readonly prometheus?: SocketAddress;
  readonly drainTimeS: number;
}

export function proxyCommand(): Command {
  return new Command('proxy')
    .description('run one proxy from an Envoy v3 bootstrap')
    .option('-c, --config <file>', 'bootstrap file, YAML or JSON')
    .option('--config-yaml <text>', 'the bootstrap itself, in one argument')
    .option('--log-level <level>', `one of ${LOG_LEVELS.join(', ')}`, 'info')
    .option('--validate', 'check the bootstrap and exit')
    .option('--sidecar', 'write the bootstrap of a sidecar from the flags below')
    .option('--router', 'write the bootstrap of a gateway from the flags below')
    .option('--control <address>', 'xDS address of the control server')
    .option('--namespace <name>', 'namespace of the proxy', 'default')
    .option('--label <name=value>', 'label of the workload, may be repeated', collectLabel, {})
    .option(
      '--map <port=port>',
      'listen on the second port for what Gateways call the first, may be repeated',
      collectPort,
      {},
    )
    .option('--bind <address>', 'address that gateway listeners bind')
    .option('--admin <address>', 'admin address', parseAddress, { host: '127.0.0.1', port: 15000 })
    .option('--drain-time-s <seconds>', 'at SIGTERM, how long requests in progress may take to end', seconds, 5)
    .option('--explain', 'local replies say why in their bodies')
    .option('--health <address>', 'serve /healthz/ready here; 15021 in a pod', parseAddress)
    .option('--prometheus <address>', 'serve /stats/prometheus here; 15090 in a pod', parseAddress)
    .option('--last-good <file>', 'keep the last good config here, for a start without the control server')
    .addHelpText(
      'after',
      '\nExamples:\n  remora proxy -c config/proxy/front-proxy.yaml\n  remora proxy --router --control 127.0.0.1:15010 --label istio=ingressgateway --map 80=8080',
    )
    .action(runProxy);
}

async function runProxy(flags: ProxyFlags): Promise<void> {
  trimMemory();
  const logRoot = new LogRoot(systemClock, (line) => process.stderr.write(line), logLevel(flags.logLevel));
  const log = logRoot.logger();
  const { bootstrap, text } = loadBootstrap(flags, (warning) => log.warn(warning));
  if (flags.validate) {
    process.stdout.write('configuration is valid\n');
    return;
  }
  const proxy = new Proxy({
    bootstrap,
    clock: new TurnClock(),
    random: systemRandom,
    log,
    stdout: process.stdout,
    stderr: process.stderr,
    version: VERSION,
    bootstrapText: text,
    logLevel: logRoot,
    quit: () => process.kill(process.pid, 'SIGTERM'),
    ...(flags.health === undefined ? {} : { health: flags.health }),
    ...(flags.prometheus === undefined ? {} : { prometheus: flags.prometheus }),
    ...(flags.lastGood === undefined ? {} : { lastGoodPath: flags.lastGood }),
  });
  onStop(async () => {
    await proxy.drain(flags.drainTimeS * 1000);
    await proxy.close();
  });
  await proxy.start();
  collectStart(systemClock);
  // Node writes it at a clean exit only, which a killed proxy never has.
  flushCompileCache();
}

function loadBootstrap(flags: ProxyFlags, warn: (warning: string) => void): { bootstrap: Bootstrap; text: string } {
  const { name, text } = bootstrapText(flags);
  const result = readBootstrap(text, proxyDecodeContext());
  for (const warning of describeProblems(name, result.warnings)) warn(warning);
  if (result.ok) return { bootstrap: flags.explain ? explaining(result.bootstrap) : result.bootstrap, text };
  throw new ConfigError(`${name} is not a valid bootstrap`, describeProblems(name, result.problems));
}

/** With one more layer of runtime over the bootstrap's own. */
function explaining(bootstrap: Bootstrap): Bootstrap {
  return { ...bootstrap, runtime: new Map([...bootstrap.runtime, [EXPLAIN_KEY, true]]) };
}

function bootstrapText(flags: ProxyFlags): { name: string; text: string } {
  if (flags.sidecar || flags.router) return { name: 'the bootstrap from flags', text: flagBootstrap(flags) };
  if (flags.configYaml !== undefined) return { name: '--config-yaml', text: flags.configYaml };
  if (flags.config === undefined) {
    throw new ConfigError(
      'no bootstrap: give one with -c FILE or --config-yaml TEXT, or --sidecar or --router with --control ADDR',
    );
  }
  try {
    return { name: flags.config, text: readFileSync(flags.config, 'utf8') };
  } catch (error) {
    throw new ConfigError(
      `cannot read ${flags.config}: ${errorCode(error) === 'ENOENT' ? 'no such file' : messageOf(error)}`,
    );
  }
}

function flagBootstrap(flags: ProxyFlags): string {
  if (flags.control === undefined) throw new ConfigError('--sidecar and --router need --control ADDR');
  const remora = {
    ...(Object.keys(flags.map).length === 0 ? {} : { portMap: flags.map }),
    ...(flags.bind === undefined ? {} : { bind: flags.bind }),
  };
  const workload = flags.label.app ?? (flags.router ? 'gateway' : 'sidecar');
  const bootstrap = proxyBootstrap({
    type: flags.router ? 'router' : 'sidecar',
    control: flags.control,
    ip: '127.0.0.1',
    pod: `${workload}-${process.pid}`,
    namespace: flags.namespace,
    workload,
    labels: flags.label,
    admin: flags.admin,
    metadata: { REMORA: remora },
  });
  return JSON.stringify(bootstrap);
}

function seconds(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('must be a whole number of seconds');
  return Number(text);
}

export function collectLabel(text: string, before: Readonly<Record<string, string>>): Record<string, string> {
  const at = text.indexOf('=');
  if (at <= 0) throw new InvalidArgumentError('must be name=value');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

export function collectPort(text: string, before: Readonly<Record<string, number>>): Record<string, number> {
  const match = /^(\d{1,5})=(\d{1,5})$/.exec(text);
  if (match === null || Number(match[2]) > 65535) throw new InvalidArgumentError('must be port=port, such as 80=8080');
  return { ...before, [match[1]!]: Number(match[2]) };
}

/** `host:port`, `[v6]:port` or `:port` (loopback). */
export function parseAddress(text: string): SocketAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:]*)):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[3]) > 65535) throw new InvalidArgumentError('must be host:port');
  return { host: match[1] ?? (match[2] || '127.0.0.1'), port: Number(match[3]) };
}

export function logLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((name) => name === (text === 'warn' ? 'warning' : text));
  if (level === undefined) throw new ConfigError(`--log-level ${text}: must be one of ${LOG_LEVELS.join(', ')}`);
  return level;
}
