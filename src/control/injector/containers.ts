import type { InterceptionMode } from '../translate/istio/proxy-config.ts';
import type { PodOptions } from './annotations.ts';
import { listOf } from './annotations.ts';
import type { Prober } from './probes.ts';
import { INIT_NAME, type InjectionSettings, PROXY_NAME } from './settings.ts';
import type { Workload } from './workload.ts';

/** All that the two containers are made of. */
export interface ContainerInput {
  readonly settings: InjectionSettings;
  readonly options: PodOptions;
  readonly workload: Workload;
  readonly mode: InterceptionMode;
  readonly native: boolean;
  readonly healthPort: number;
  /** How long the pod's end may take. */
  readonly graceS: number;
  /** The application goes on for so long meanwhile. */
  readonly preStopDelayS: number;
  /** The application's containers. */
  readonly containers: readonly Readonly<Record<string, unknown>>[];
  readonly probers: Readonly<Record<string, Prober>>;
  /** What of the pod's metrics the proxy merges into its own; null nothing. */
  readonly scrape: { readonly port: string; readonly path: string } | null;
}

type Json = Readonly<Record<string, unknown>>;

/** Writes the rules, as root with the two capabilities it takes, and ends. */
export function initContainer({ settings, options, mode, healthPort }: ContainerInput): Json {
  const { ports } = settings;
  const excludedInbound = [healthPort, ports.prometheus, options.excludeInboundPorts ?? settings.excludeInboundPorts];
  const captureDns = dnsCaptured(settings, options);
  const flags: (readonly [flag: string, value: string])[] = [
    ['--outbound-port', String(ports.outbound)],
    ['--inbound-port', String(ports.inbound)],
    ['--uid', String(proxyUser(settings, options))],
    ['--gid', String(proxyUser(settings, options))],
    ['--inbound-mode', mode],
    ['--include-outbound-ranges', options.includeOutboundIPRanges ?? settings.includeOutboundIPRanges],
    ['--exclude-outbound-ranges', options.excludeOutboundIPRanges ?? settings.excludeOutboundIPRanges],
    ['--include-inbound-ports', options.includeInboundPorts ?? '*'],
    ['--exclude-inbound-ports', listOf(excludedInbound.join(',')).join(',')],
    ['--include-outbound-ports', options.includeOutboundPorts ?? ''],
    ['--exclude-outbound-ports', options.excludeOutboundPorts ?? settings.excludeOutboundPorts],
    ['--exclude-interfaces', options.excludeInterfaces ?? ''],
    ['--reroute-interfaces', options.rerouteInterfaces ?? ''],
  ];
  return {
    name: INIT_NAME,
    image: options.proxyImage ?? settings.image,
    imagePullPolicy: settings.imagePullPolicy,
    args: [
      'iptables',
      // An empty list of what to include means none, and has to be said.
      ...flags.flatMap(([flag, value]) => (value === '' && !ALWAYS.has(flag) ? [] : [`${flag}=${value}`])),
      ...(captureDns ? ['--redirect-dns', `--dns-port=${ports.dns}`] : []),
    ],
    resources: { requests: { cpu: '10m', memory: '40Mi' }, limits: { cpu: '2', memory: '256Mi' } },
    securityContext: {
      allowPrivilegeEscalation: false,
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
      capabilities: { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    // Its lock file; nothing else may be written.
    volumeMounts: [{ name: 'remora-run', mountPath: '/run' }],
  };
}

const ALWAYS: ReadonlySet<string> = new Set(['--include-outbound-ranges', '--include-inbound-ports']);

export function proxyContainer(input: ContainerInput): Json {
  const { settings, options, mode, native, healthPort, workload } = input;
  const { ports } = settings;
  const admin = `127.0.0.1:${options.config.proxyAdminPort ?? ports.admin}`;
  const probe = { httpGet: { path: '/healthz/ready', port: healthPort }, timeoutSeconds: 3 };
  const hold = !native && (options.config.holdApplicationUntilProxyStarts ?? settings.holdApplication);
  return {
    name: PROXY_NAME,
    image: options.proxyImage ?? settings.image,
    imagePullPolicy: settings.imagePullPolicy,
    args: [
      'proxy',
      '--sidecar',
      `--control=${options.config.discoveryAddress ?? settings.control}`,
      `--domain-suffix=${settings.clusterDomain}`,
      `--log-level=${options.logLevel ?? settings.logLevel}`,
      `--admin=${admin}`,
      // Both families: the kubelet asks the pod's address, whichever it is.
      `--health=[::]:${healthPort}`,
      `--prometheus=[::]:${ports.prometheus}`,
      ...(mode !== 'NONE' && dnsCaptured(settings, options) ? [`--dns=localhost:${ports.dns}`] : []),
      '--last-good=/var/lib/istio/data/last-good',
      '--last-good-identity=/run/remora/identity',
      `--termination-grace-period-s=${Math.min(input.graceS, options.config.terminationDrainDurationS ?? input.graceS)}`,
      // A native sidecar is told to end when the application has: nobody is left to accept for.
      ...(native ? ['--termination-accept-s=0'] : []),
      ...drainTime(input),
    ],
    env: environment(input, workload),
    ports: [
      { name: 'http-envoy-prom', containerPort: ports.prometheus, protocol: 'TCP' },
      { name: 'remora-health', containerPort: healthPort, protocol: 'TCP' },
    ],
    ...(native ? { restartPolicy: 'Always' } : {}),
    // Ten minutes to get a first config: the application waits, and nothing restarts meanwhile.
    startupProbe: { ...probe, periodSeconds: 1, failureThreshold: 600 },
    readinessProbe: {
      ...probe,
      initialDelaySeconds: options.readinessInitialDelayS ?? 0,
      periodSeconds: options.readinessPeriodS ?? 15,
      failureThreshold: options.readinessFailureThreshold ?? 4,
    },
    lifecycle: {
      ...(hold ? { postStart: exec('wait', `--health=127.0.0.1:${healthPort}`) } : {}),
      preStop: exec('drain', `--admin=${admin}`),
    },
    resources: resourcesOf(settings, options),
    securityContext: proxySecurity(mode, proxyUser(settings, options)),
    volumeMounts: [
      { name: 'istiod-ca-cert', mountPath: '/var/run/secrets/istio', readOnly: true },
      { name: 'istio-token', mountPath: '/var/run/secrets/tokens', readOnly: true },
      { name: 'istio-podinfo', mountPath: '/etc/istio/pod', readOnly: true },
      { name: 'istio-data', mountPath: '/var/lib/istio/data' },
      { name: 'remora-tmp', mountPath: '/tmp' },
      { name: 'remora-run', mountPath: '/run/remora' },
      ...Object.entries(options.userVolumeMounts ?? {}).map(([name, mount]) => ({ ...mount, name })),
    ],
  };
}

/** Clients have left while the application still answers those that have not. */
function drainTime({ options, preStopDelayS }: ContainerInput): string[] {
  const seconds = options.config.drainDurationS ?? preStopDelayS;
  return seconds === 0 ? [] : [`--drain-time-s=${seconds}`];
}

function exec(verb: string, ...args: string[]): Json {
  return { exec: { command: ['remora', verb, ...args] } };
}

/** What Pod Security's `restricted` profile asks for; TPROXY alone takes a capability, and so root. */
function proxySecurity(mode: InterceptionMode, user: number): Json {
  const transparent = mode === 'TPROXY';
  return {
    allowPrivilegeEscalation: false,
    privileged: false,
    readOnlyRootFilesystem: true,
    runAsUser: transparent ? 0 : user,
    runAsGroup: user,
    runAsNonRoot: !transparent,
    capabilities: { ...(transparent ? { add: ['NET_ADMIN'] } : {}), drop: ['ALL'] },
    seccompProfile: { type: 'RuntimeDefault' },
  };
}

/** As Istio: one annotation, and the defaults are gone. */
function resourcesOf(settings: InjectionSettings, { cpu, memory, cpuLimit, memoryLimit }: PodOptions): Json {
  if ([cpu, memory, cpuLimit, memoryLimit].every((one) => one === undefined)) return { ...settings.resources };
  const requests = { ...(cpu && { cpu }), ...(memory && { memory }) };
  const limits = { ...(cpuLimit && { cpu: cpuLimit }), ...(memoryLimit && { memory: memoryLimit }) };
  return {
    ...(Object.keys(requests).length > 0 ? { requests } : {}),
    ...(Object.keys(limits).length > 0 ? { limits } : {}),
  };
}

export function proxyUser({ proxyUser }: InjectionSettings, options: PodOptions): number {
  return options.proxyUser ?? proxyUser;
}

export function dnsCaptured(settings: InjectionSettings, options: PodOptions): boolean {
  const asked = options.config.proxyMetadata.ISTIO_META_DNS_CAPTURE;
  return asked === undefined ? settings.captureDns : asked === 'true';
}

/** Who the proxy is, as Istio's agent gets to know it: fields of the pod, and what only injection knows. */
function environment(input: ContainerInput, workload: Workload): Json[] {
  const { settings, options, mode, containers, probers, scrape } = input;
  const field = (name: string, fieldPath: string): Json => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  const value = (name: string, text: string): Json => ({ name, value: text });
  const ports = containers.flatMap((container) => (Array.isArray(container.ports) ? container.ports : []));
  return [
    field('POD_NAME', 'metadata.name'),
    field('POD_NAMESPACE', 'metadata.namespace'),
    field('INSTANCE_IP', 'status.podIP'),
    field('INSTANCE_IPS', 'status.podIPs'),
    field('SERVICE_ACCOUNT', 'spec.serviceAccountName'),
    field('HOST_IP', 'status.hostIP'),
    field('NODE_NAME', 'spec.nodeName'),
    value('CA_ADDR', settings.ca),
    value('TRUST_DOMAIN', settings.trustDomain),
    value('ISTIO_META_CLUSTER_ID', settings.clusterId),
    value('ISTIO_META_MESH_ID', settings.meshId),
    ...(settings.network === '' ? [] : [value('ISTIO_META_NETWORK', settings.network)]),
    value('ISTIO_META_INTERCEPTION_MODE', mode),
    // The control server is told where the rules lead only where that is not where Istio's do.
    ...(settings.ports.outbound === 15001 ? [] : [value('ISTIO_META_OUTBOUND_PORT', String(settings.ports.outbound))]),
    ...(settings.ports.inbound === 15006 ? [] : [value('ISTIO_META_INBOUND_PORT', String(settings.ports.inbound))]),
    value('ISTIO_META_WORKLOAD_NAME', workload.name),
    value(
      'ISTIO_META_OWNER',
      `kubernetes://apis/${workload.apiVersion}/namespaces/${workload.namespace}/${workload.kind.toLowerCase()}s/${workload.name}`,
    ),
    value('ISTIO_META_APP_CONTAINERS', containers.map((container) => container.name).join(',')),
    value('ISTIO_META_POD_PORTS', JSON.stringify(ports)),
    ...(Object.keys(probers).length === 0 ? [] : [value('ISTIO_KUBE_APP_PROBERS', JSON.stringify(probers))]),
    ...(scrape === null ? [] : [value('ISTIO_PROMETHEUS_ANNOTATIONS', JSON.stringify({ scrape: 'true', ...scrape }))]),
    ...Object.entries(options.config.proxyMetadata).map(([name, text]) => value(name, text)),
  ];
}

/** What the two containers mount. */
export function volumes({ settings, options }: ContainerInput): Json[] {
  const field = (path: string): Json => ({ path, fieldRef: { fieldPath: `metadata.${path}` } });
  return [
    // Optional: a pod must start while the control server is away, and finds the root when it comes.
    { name: 'istiod-ca-cert', configMap: { name: settings.rootConfigMap, optional: true } },
    {
      name: 'istio-token',
      projected: {
        sources: [
          {
            serviceAccountToken: { path: 'istio-token', audience: settings.tokenAudience, expirationSeconds: 43200 },
          },
        ],
      },
    },
    { name: 'istio-podinfo', downwardAPI: { items: [field('labels'), field('annotations')] } },
    { name: 'istio-data', emptyDir: {} },
    { name: 'remora-tmp', emptyDir: {} },
    // In memory: the rules' lock, and what the proxy's key is kept in.
    { name: 'remora-run', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
    ...Object.entries(options.userVolumes ?? {}).map(([name, volume]) => ({ name, ...volume })),
  ];
}
