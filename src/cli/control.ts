import { rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { ConfigError } from '../base/errors.ts';
import { LogRoot } from '../base/log.ts';
import type { ControlOptions } from '../control/runtime/server.ts';
import { formatAddress, type SocketAddress } from '../model/address.ts';
import { checkPaths } from './config-files.ts';
import { WEBHOOK_CONFIGURATION } from './install/webhooks.ts';
import { sweepInstances } from './instance.ts';
import { type KubeFlags, kubeAccess } from './kube-access.ts';
import { makeInstancesFolder, ownStateFolder, publishMesh } from './mesh-state.ts';
import { collectOften, compileBeside, inlineMore } from './process.ts';
import { logLevel, parseAddress } from './proxy.ts';
import { VERSION } from './version.ts';

interface ControlFlags extends KubeFlags {
  readonly files: readonly string[];
  readonly instances?: string;
  readonly xds: SocketAddress;
  readonly http: SocketAddress;
  readonly webhook?: SocketAddress;
  readonly webhookCertificates?: string;
  readonly injectSettings?: string;
  readonly replica?: string;
  readonly namespace?: string;
  readonly ca: boolean;
  readonly caDir?: string;
  readonly caCerts?: string;
  readonly caNamespace?: string;
  readonly trustDomain: string;
  readonly workloadCertTtl: number;
  readonly xdsTls?: SocketAddress;
  readonly logLevel: string;
  readonly outboundTrafficPolicy: 'ALLOW_ANY' | 'REGISTRY_ONLY';
}

/** How often announcements of dead processes are looked for. */
const SWEEP_MS = 1000;

export function controlCommand(): Command {
  return new Command('control')
    .description('the control server: reads Kubernetes and Istio objects from files or a cluster, pushes xDS')
    .option('--files <folder>', 'folder or file of YAML to watch, may be repeated', collect, [])
    .option('--kubeconfig <file>', 'watch the cluster of this kubeconfig')
    .option('--context <name>', 'context of the kubeconfig, if not its current one')
    .option('--in-cluster', 'watch the cluster that this is a pod of')
    .option('--instances <folder>', 'folder where `remora run` announces programs; one is made when absent')
    .option('--xds <address>', 'address of the xDS server', parseAddress, { host: '127.0.0.1', port: 15010 })
    .option('--http <address>', 'address of status and debugging', parseAddress, { host: '127.0.0.1', port: 15014 })
    .addOption(
      new Option('--outbound-traffic-policy <policy>', 'what becomes of calls to hosts that nobody declared')
        .choices(['ALLOW_ANY', 'REGISTRY_ONLY'])
        .default('ALLOW_ANY'),
    )
    .option('--webhook <address>', 'address of the admission webhooks, 0.0.0.0:15017 in a cluster', parseAddress)
    .option('--webhook-certificates <folder>', 'tls.crt and tls.key of the webhooks; without it the CA’s own')
    .option('--inject-settings <file>', 'what injection writes where a pod says nothing else')
    .addOption(
      new Option('--replica <name>', 'who this replica is, for the election of who writes status').env('POD_NAME'),
    )
    .addOption(
      new Option('--namespace <name>', "namespace of the replicas' Lease; without it no status is written").env(
        'POD_NAMESPACE',
      ),
    )
    .option('--no-ca', 'issue no certificates: no mutual TLS')
    .option('--ca-dir <folder>', 'where the root is kept; in a cluster it is in Secret remora-ca-secret')
    .option('--ca-certs <folder>', 'an intermediate to sign with, in files named as in Istio’s cacerts')
    .option('--ca-namespace <name>', 'keep the root in a Secret of this namespace; in a pod, its own')
    .option('--trust-domain <name>', 'trust domain of the mesh', 'cluster.local')
    .option('--workload-cert-ttl <time>', 'life of certificates, such as 24h or 90m', certificateLife, DAY_MS)
    .option('--xds-tls <address>', 'xDS and the CA by TLS, 0.0.0.0:15012 in a cluster', parseAddress)
    .option('--log-level <level>', 'log level', 'info')
    .addHelpText('after', '\nExample:\n  remora control --files my-mesh/\n  remora control --kubeconfig ~/.kube/config')
    .action(runControl);
}

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

function certificateLife(text: string): number {
  const [, number, unit] = /^(\d{1,4})([hm])$/.exec(text) ?? [];
  const ms = Number(number) * (unit === 'h' ? 60 : 1) * MINUTE_MS;
  if (number === undefined || ms < 2 * MINUTE_MS || ms > DAY_MS) {
    throw new InvalidArgumentError('must be a time from 2m to 24h, such as 24h or 90m');
  }
  return ms;
}

/** Without a cluster the root is in a folder; so it is where a person names a cluster, whose Secrets are not theirs to fill. */
function caOf(flags: ControlFlags, namespace: string | undefined): NonNullable<ControlOptions['ca']> | null {
  if (!flags.ca) return null;
  return {
    trustDomain: flags.trustDomain,
    ttlMs: flags.workloadCertTtl,
    keep:
      namespace === undefined
        ? { kind: 'folder', path: flags.caDir ?? join(ownStateFolder(), 'ca') }
        : { kind: 'secret', namespace },
    pluggedFolder: flags.caCerts ?? '',
    audience: 'istio-ca',
    secure: flags.xdsTls ?? null,
    dns: controlNames(namespace),
    // Who brings a certificate says by themselves whom to trust.
    webhooks: flags.webhook === undefined || flags.webhookCertificates !== undefined ? '' : WEBHOOK_CONFIGURATION,
  };
}

/** What proxies may call the control server. */
function controlNames(namespace: string | undefined): string[] {
  const service = namespace === undefined ? [] : [`remora-control.${namespace}.svc`];
  return [...service, ...service.map((name) => `${name}.cluster.local`), 'localhost'];
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

async function webhookOf(flags: ControlFlags, at: SocketAddress) {
  const { webhookCertificates: certificates = '', injectSettings, ca } = flags;
  if (certificates === '' && !ca) throw new ConfigError('without a CA, --webhook needs --webhook-certificates FOLDER');
  const { settingsFrom } = await import('./inject.ts');
  return { ...at, certificates, settings: settingsFrom(injectSettings) };
}

function replicaOf({ namespace, replica }: ControlFlags) {
  if (namespace === undefined || namespace === '') return {};
  return { replica: { namespace, identity: replica ?? `${hostname()}-${process.pid}` } };
}

/** As istiod: the ConfigMap beside the control server. */
function meshConfigOf({ namespace, inCluster }: ControlFlags, kube: Awaited<ReturnType<typeof kubeAccess>>) {
  const own = namespace || (inCluster === true ? kube?.namespace : undefined);
  return own === undefined ? {} : { meshConfigNamespace: own };
}

async function runControl(flags: ControlFlags): Promise<void> {
  compileBeside();
  const kube = await kubeAccess(flags);
  if (flags.files.length === 0 && kube === null) {
    throw new ConfigError(
      'nothing to watch: name a folder with --files DIR, or a cluster with --kubeconfig FILE or --in-cluster',
    );
  }
  checkPaths(flags.files);
  // gRPC, the codec and the translators are heavy: only this verb loads them.
  const { ControlServer } = await import('../control/runtime/server.ts');
  // After the import: V8 takes no compiled code once a flag has changed.
  inlineMore(systemClock);
  collectOften();
  const log = new LogRoot(systemClock, (line) => process.stderr.write(line), logLevel(flags.logLevel)).logger();
  const instances = makeInstancesFolder(flags.instances);
  const ca = caOf(flags, flags.caNamespace ?? (flags.inCluster === true ? (kube?.namespace ?? 'default') : undefined));
  const server = new ControlServer({
    paths: [...flags.files, instances],
    kube,
    xds: flags.xds,
    http: flags.http,
    clock: systemClock,
    log,
    version: VERSION,
    outboundTrafficPolicy: flags.outboundTrafficPolicy,
    ...replicaOf(flags),
    ...meshConfigOf(flags, kube),
    ...(ca === null ? {} : { ca }),
    ...(flags.webhook === undefined ? {} : { webhook: await webhookOf(flags, flags.webhook) }),
  });
  await server.start();
  const retract = publishMesh({
    xds: formatAddress(server.xdsAddress),
    http: formatAddress(server.httpAddress),
    files: flags.files,
    instances,
    ...(ca?.keep.kind === 'folder' ? { caToken: join(ca.keep.path, 'local.token') } : {}),
    pid: process.pid,
  });
  const sweep = (): void => {
    sweepInstances(instances);
    timer = systemClock.after(SWEEP_MS, sweep);
  };
  let timer = systemClock.after(SWEEP_MS, sweep);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      timer.cancel();
      retract();
      // Nobody else knows of it.
      if (flags.instances === undefined) rmSync(instances, { recursive: true, force: true });
      void server.close().then(() => process.exit(0));
    });
  }
}
