import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { systemClock, TurnClock } from '../base/clock.ts';
import { ConfigError, errorCode, messageOf } from '../base/errors.ts';
import { isIP } from '../base/ip.ts';
import { LOG_LEVELS, type LogLevel, LogRoot } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import type { SocketAddress } from '../model/address.ts';
import type { DrainStrategy } from '../proxy/runtime/drain.ts';
import { proxyDecodeContext } from '../proxy/runtime/extensions.ts';
import { HotRestart } from '../proxy/runtime/hot-restart.ts';
import { Proxy } from '../proxy/runtime/server.ts';
import { type Bootstrap, readBootstrap } from '../xds/bootstrap/bootstrap.ts';
import { describeProblems } from '../xds/bootstrap/document.ts';
import { proxyBootstrap } from '../xds/bootstrap/proxy-bootstrap.ts';
import { concurrencyOf, MAX_CONCURRENCY } from './concurrency.ts';
import { type IdentityFlags, identityMetadata, identitySettings, secureTarget } from './identity.ts';
import { type PodIdentity, podIdentity } from './pod-identity.ts';
import { collectStart, inlineMore, onCrash, onStop, trimMemory } from './process.ts';
import { supervisorChannel } from './supervisor-channel.ts';
import { VERSION } from './version.ts';

/** Runtime key of `--explain`. */
const EXPLAIN_KEY = 'remora.local_reply.explain';

const DAY_S = 86_400;

interface ProxyFlags extends IdentityFlags {
  readonly config?: string;
  readonly configYaml?: string;
  readonly logLevel: string;
  readonly validate?: boolean;
  readonly sidecar?: boolean;
  readonly router?: boolean;
  readonly control?: string;
  readonly namespace?: string;
  readonly domainSuffix?: string;
  readonly label: Readonly<Record<string, string>>;
  readonly map: Readonly<Record<string, number>>;
  readonly bind?: string;
  readonly admin: SocketAddress;
  readonly explain?: boolean;
  readonly lastGood?: string;
  readonly lastGoodTtlS: number;
  readonly health?: SocketAddress;
  readonly prometheus?: SocketAddress;
  readonly dns?: readonly SocketAddress[];
  readonly concurrency?: number;
  readonly drainTimeS: number;
  readonly drainStrategy: DrainStrategy;
  readonly terminationGracePeriodS: number;
  readonly terminationAcceptS: number;
  readonly parentShutdownTimeS: number;
  readonly restartEpoch?: number;
}

export function proxyCommand(): Command {
  return new Command('proxy')
    .description('run one proxy from an Envoy v3 bootstrap')
    .option('-c, --config <file>', 'bootstrap file, YAML or JSON')
    .option('--config-yaml <text>', 'the bootstrap itself, in one argument')
    .option('--log-level <level>', `one of ${LOG_LEVELS.join(', ')}`, 'info')
    .option('--validate', 'check the bootstrap and exit')
    .option('--sidecar', 'write the bootstrap of a sidecar from the flags below and, in a pod, the downward API')
    .option('--router', 'write the bootstrap of a gateway, likewise')
    .option('--control <address>', 'xDS address of the control server; by TLS on port 15012 or as https://…')
    .option('--ca-address <address>', 'the CA that certifies this proxy for mutual TLS, likewise; in a pod $CA_ADDR')
    .option('--ca-token <file>', 'token that proves who this is, read anew for each call')
    .option('--ca-root <file>', 'root that the control server is verified against')
    .option('--trust-domain <name>', 'trust domain of the mesh; in a pod $TRUST_DOMAIN, otherwise cluster.local')
    .option('--namespace <name>', 'namespace of the proxy; in a pod its own, otherwise default')
    .option('--domain-suffix <name>', 'DNS domain of the cluster', 'cluster.local')
    .option('--label <name=value>', 'label of the workload, may be repeated', collectLabel, {})
    .option(
      '--map <port=port>',
      'listen on the second port for what Gateways call the first, may be repeated',
      collectPort,
      {},
    )
    .option('--bind <address>', 'address that gateway listeners bind')
    .option('--admin <address>', 'admin address', parseAddress, { host: '127.0.0.1', port: 15000 })
    .option('--drain-time-s <seconds>', 'how long clients are asked to leave, whatever drains', seconds, 600)
    .option(
      '--concurrency <number>',
      'threads that serve; 0: one for each processor, whatever the limits; without: the CPU limit, for a sidecar 2 at most',
      concurrency,
    )
    .addOption(
      new Option('--drain-strategy <name>', 'ask connection after connection over the drain time, or all at once')
        .choices(['gradual', 'immediate'])
        .default('gradual'),
    )
    .option(
      '--parent-shutdown-time-s <seconds>',
      'after a hot restart, how long the process before may go on',
      seconds,
      900,
    )
    .option('--hot-restart', 'stay as a supervisor: at SIGHUP another process takes the listening sockets over')
    .addOption(new Option('--restart-epoch <number>', 'given by the supervisor').argParser(seconds).hideHelp())
    .option(
      '--termination-grace-period-s <seconds>',
      'from SIGTERM to the end, whatever is open then; as the pod’s terminationGracePeriodSeconds',
      seconds,
      30,
    )
    .option(
      '--termination-accept-s <seconds>',
      'from SIGTERM, not ready any more, to asking clients to leave: until those who balance have heard',
      seconds,
      5,
    )
    .option('--explain', 'local replies say why in their bodies')
    .option('--health <address>', 'serve /healthz/ready here; 15021 in a pod', parseAddress)
    .option('--prometheus <address>', 'serve /stats/prometheus here; 15090 in a pod', parseAddress)
    .option(
      '--dns <address>',
      'answer DNS of the program beside it here, UDP and TCP; localhost:PORT is both loopback addresses',
      parseDnsAddress,
    )
    .option('--last-good <file>', 'keep the last good config here, for a start without the control server')
    .option('--last-good-ttl-s <seconds>', 'how old that may be at a start; 0: any age', seconds, DAY_S)
    .option(
      '--last-good-identity <file>',
      'keep certificate and key here, for a start without the CA; a volume in memory, of this pod alone',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  remora proxy -c config/proxy/front-proxy.yaml\n  remora proxy --router --control 127.0.0.1:15010 --label istio=ingressgateway --map 80=8080' +
        '\n\nSIGTERM fails readiness, accepts for --termination-accept-s, asks inbound clients to leave, keeps outbound' +
        '\nlisteners until the program beside it is gone, finishes requests, and exits 0 within the grace period.' +
        '\nSIGINT and POST /quitquitquit stop accepting at once and finish requests. SIGUSR1 opens access logs anew.' +
        '\nWith --hot-restart, SIGHUP starts the program anew, from the file that is there then, and no connection is lost.',
    )
    .action(runProxy);
}

async function runProxy(flags: ProxyFlags): Promise<void> {
  trimMemory();
  const logRoot = new LogRoot(systemClock, (line) => process.stderr.write(line), logLevel(flags.logLevel));
  const log = logRoot.logger();
  onCrash(log);
  const { bootstrap, text } = loadBootstrap(flags, (warning) => log.warn(warning));
  if (flags.validate) {
    process.stdout.write('configuration is valid\n');
    return;
  }
  const hotRestart = supervised(flags);
  const identity = identityOf(flags);
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
    quit: () => quit(),
    concurrency: concurrencyOf(flags.concurrency, bootstrap.node.id),
    drain: { timeMs: flags.drainTimeS * 1000, strategy: flags.drainStrategy },
    ...(hotRestart === null ? {} : { hotRestart }),
    ...appBeside(),
    ...(identity === null ? {} : { identity }),
    ...(flags.health === undefined ? {} : { health: flags.health }),
    ...(flags.prometheus === undefined ? {} : { prometheus: flags.prometheus }),
    ...(flags.dns === undefined ? {} : { dns: { addresses: flags.dns, resolvConf: readText('/etc/resolv.conf') } }),
    ...(flags.lastGood === undefined ? {} : { lastGood: { path: flags.lastGood, ttlMs: flags.lastGoodTtlS * 1000 } }),
  });
  const quit = onStop(async (signal) => {
    const deadlineMs = deadlineOf(flags);
    if (signal === 'SIGINT') await proxy.drain.drain(deadlineMs);
    else await proxy.drain.terminate({ acceptMs: flags.terminationAcceptS * 1000, deadlineMs });
    await proxy.close();
  });
  // As Envoy takes them; by itself Node would end at SIGHUP.
  process.on('SIGUSR1', () => proxy.reopenLogs());
  process.on('SIGHUP', () => log.warn('SIGHUP does nothing here: it is for a supervisor (--hot-restart)'));
  if (hotRestart !== null) {
    hotRestart.onLeave = () => {
      void proxy
        .handOver(flags.parentShutdownTimeS * 1000)
        .then(() => proxy.close())
        .then(() => process.exit(0));
    };
    // The supervisor is dead, so nobody could replace or stop this process.
    process.on('disconnect', quit);
  }
  await proxy.start();
  inlineMore(systemClock);
  collectStart(systemClock);
}

/** The supervisor above this process; null when a person or a kubelet started it. */
function supervised({ restartEpoch }: ProxyFlags): HotRestart | null {
  if (restartEpoch === undefined) return null;
  const channel = supervisorChannel();
  if (channel === null)
    throw new ConfigError(
      '--restart-epoch is for the supervisor: start with --hot-restart, and restart by SIGHUP to it',
    );
  return new HotRestart(restartEpoch, channel);
}

/** What is open is cut before the kubelet kills: the last log lines have to be written too. */
function deadlineOf({ terminationGracePeriodS }: ProxyFlags): number {
  const graceMs = terminationGracePeriodS * 1000;
  return graceMs - Math.min(1000, graceMs / 10);
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
  return { name: flags.config, text: readText(flags.config) };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`cannot read ${path}: ${errorCode(error) === 'ENOENT' ? 'no such file' : messageOf(error)}`);
  }
}

function flagBootstrap(flags: ProxyFlags): string {
  if (flags.control === undefined) throw new ConfigError('--sidecar and --router need --control ADDR');
  const remora = {
    ...(Object.keys(flags.map).length === 0 ? {} : { portMap: flags.map }),
    ...(flags.bind === undefined ? {} : { bind: flags.bind }),
  };
  const pod = podIdentity(process.env);
  const labels = { ...pod?.labels, ...flags.label };
  const workload = pod?.workload || (labels.app ?? (flags.router ? 'gateway' : 'sidecar'));
  const interception = pod?.interception === 'REDIRECT' || pod?.interception === 'TPROXY' ? pod.interception : 'NONE';
  const bootstrap = proxyBootstrap({
    type: flags.router ? 'router' : 'sidecar',
    control: secureTarget(flags.control, '--control').address,
    ip: pod?.ip ?? '127.0.0.1',
    pod: pod?.pod ?? `${workload}-${process.pid}`,
    namespace: flags.namespace ?? pod?.namespace ?? 'default',
    workload,
    labels,
    interception,
    admin: flags.admin,
    metadata: {
      ...pod?.metadata,
      ...identityMetadata(identityOf(flags)),
      ...(flags.dns === undefined ? {} : { DNS_CAPTURE: 'true' }),
      ...(Object.keys(remora).length === 0 && pod !== null ? {} : { REMORA: remora }),
    },
    ...(flags.domainSuffix === undefined ? {} : { domainSuffix: flags.domainSuffix }),
    ...(pod === null || pod.serviceAccount === '' ? {} : { serviceAccount: pod.serviceAccount }),
    ...(pod === null || pod.clusterId === '' ? {} : { clusterId: pod.clusterId }),
  });
  return JSON.stringify(bootstrap);
}

function identityOf(flags: ProxyFlags) {
  // A bootstrap of somebody else's brings its own secrets.
  if (!flags.sidecar && !flags.router) return null;
  const pod = podIdentity(process.env);
  const namespace = flags.namespace ?? pod?.namespace ?? 'default';
  const workload = { namespace, serviceAccount: pod?.serviceAccount ?? '' };
  return identitySettings(flags, process.env, flags.control ?? '', workload);
}

/** The application in the same pod, when injection says that its probes or metrics go by this proxy. */
function appBeside(): Pick<ConstructorParameters<typeof Proxy>[0], 'app'> {
  const { ISTIO_KUBE_APP_PROBERS: probers = '', ISTIO_PROMETHEUS_ANNOTATIONS: prometheus = '' } = process.env;
  if (probers === '' && prometheus === '') return {};
  return { app: { address: appAddress(podIdentity(process.env)), probers, prometheus } };
}

/** The pod's own address, as a kubelet has it; from where the rules of `remora iptables` let it pass. */
export function appAddress(pod: Pick<PodIdentity, 'ip' | 'interception'> | null): {
  host: string;
  localAddress?: string;
} {
  if (pod === null) return { host: '127.0.0.1' };
  if (pod.interception !== 'REDIRECT' && pod.interception !== 'TPROXY') return { host: pod.ip };
  return { host: pod.ip, localAddress: isIP(pod.ip) === 6 ? '::6' : '127.0.0.6' };
}

function seconds(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('must be a whole number of seconds');
  return Number(text);
}

function concurrency(text: string): number {
  if (!/^\d{1,3}$/.test(text) || Number(text) > MAX_CONCURRENCY) {
    throw new InvalidArgumentError(`must be a whole number up to ${MAX_CONCURRENCY}`);
  }
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

/** Both families of loopback by one name: redirected DNS comes to the one that its server is of. */
export function parseDnsAddress(text: string): readonly SocketAddress[] {
  const address = parseAddress(text);
  if (address.host !== 'localhost') return [address];
  return ['127.0.0.1', '::1'].map((host) => ({ host, port: address.port }));
}

export function logLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((name) => name === (text === 'warn' ? 'warning' : text));
  if (level === undefined) throw new ConfigError(`--log-level ${text}: must be one of ${LOG_LEVELS.join(', ')}`);
  return level;
}
