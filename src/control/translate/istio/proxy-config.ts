import type { InterceptionMode, ProxyConfig } from '../../mesh/proxy-config.ts';
import { didYouMean } from '../../source/schema/suggest.ts';
import { isRecord, show } from '../../source/schema/type.ts';

/** For the injector, which knows the mesh by its translation alone. */
export type { InterceptionMode, ProxyConfig };

export const INTERCEPTION_MODES: readonly InterceptionMode[] = ['REDIRECT', 'TPROXY', 'NONE'];

/** Where the reader puts what is wrong, with the path inside the config. */
export interface ConfigSink {
  error(path: string, message: string): void;
  warning(path: string, message: string): void;
}

type Reader = (value: unknown) => { readonly value: unknown } | { readonly wrong: string };

const READERS: Readonly<Record<string, Reader>> = {
  discoveryAddress: (value) =>
    typeof value === 'string' && /^.+:\d{1,5}$/.test(value) ? { value } : { wrong: 'must be host:port' },
  interceptionMode: (value) =>
    INTERCEPTION_MODES.some((mode) => mode === value)
      ? { value }
      : { wrong: `must be one of ${INTERCEPTION_MODES.join(', ')}` },
  holdApplicationUntilProxyStarts: (value) =>
    typeof value === 'boolean' ? { value } : { wrong: 'must be true or false' },
  proxyAdminPort: (value) => port(value),
  statusPort: (value) => port(value),
  drainDuration: (value) => seconds(value),
  terminationDrainDuration: (value) => seconds(value),
  proxyMetadata: (value) => environment(value),
};

/** Accepted without effect, with what to do instead. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  concurrency: 'the number of the proxy’s workers is the mesh’s: leave it out',
  tracing: 'use a Telemetry object',
  meshId: 'the mesh has one id: give it to the control server',
  image: 'use sidecar.istio.io/proxyImage',
  readinessProbe: 'use readiness.status.sidecar.istio.io/periodSeconds and its like',
  binaryPath: 'the image knows where its program is',
  configPath: 'the proxy keeps its config in memory',
  customConfigFile: 'the bootstrap is the control server’s: use EnvoyFilter',
  serviceCluster: 'the proxy is named by its labels',
  tracingServiceName: 'the proxy is named by its labels',
  statNameLength: 'names of statistics have no limit',
  discoveryRefreshDelay: 'config is pushed',
  controlPlaneAuthPolicy: 'the control server’s port decides',
  statsdUdpAddress: 'statistics are read from port 15090',
  envoyMetricsServiceAddress: 'statistics are read from port 15090',
  envoyMetricsService: 'statistics are read from port 15090',
  envoyAccessLogService: 'use a Telemetry object',
  zipkinAddress: 'use a Telemetry object',
  availabilityZone: 'the zone is read from the node’s labels',
  sds: 'certificates come over the connection to the control server',
  gatewayTopology: 'it is read from the mesh’s config',
  parentShutdownDuration: 'a pod’s proxy is not restarted in place',
  proxyBootstrapTemplatePath: 'there is no template',
  extraStatTags: 'use a Telemetry object',
  caCertificatesPem: 'trust is the mesh’s: give roots to the control server',
  privateKeyProvider: 'keys are made in the proxy’s memory',
  proxyHeaders: 'use a Telemetry object',
  fileFlushInterval: 'access logs are written as they come',
  fileFlushMinSizeKb: 'access logs are written as they come',
  statsCompression: 'Prometheus scrapes are small enough',
  connectionSettings: 'listeners have their limits from the mesh’s config',
  runtimeValues: 'the proxy’s runtime has none of Envoy’s keys',
  proxyStatsMatcher: 'all statistics are kept',
};

/** Where nothing is said. */
export const NO_PROXY_CONFIG: ProxyConfig = { proxyMetadata: {} };

/** What a pod says, over what the mesh says: proxyMetadata by name, all else field by field (Istio: MergeProxyConfig). */
export function mergeProxyConfig(mesh: ProxyConfig, own: ProxyConfig): ProxyConfig {
  return { ...mesh, ...own, proxyMetadata: { ...mesh.proxyMetadata, ...own.proxyMetadata } };
}

/** What is wrong goes to the sink; what is right is returned all the same. */
export function readProxyConfig(raw: unknown, sink: ConfigSink): ProxyConfig {
  if (raw === null) return NO_PROXY_CONFIG;
  if (!isRecord(raw)) {
    sink.error('', `must be an object of ProxyConfig’s fields, got ${show(raw)}`);
    return NO_PROXY_CONFIG;
  }
  const read: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(raw)) {
    const reader = Object.hasOwn(READERS, name) ? READERS[name] : undefined;
    if (reader !== undefined) {
      const result = reader(value);
      if ('value' in result) read[name.endsWith('Duration') ? `${name}S` : name] = result.value;
      else sink.error(name, isRecord(value) ? result.wrong : `${result.wrong}, got ${show(value)}`);
    } else if (Object.hasOwn(WITHOUT_EFFECT, name)) {
      sink.warning(name, `has no effect: ${WITHOUT_EFFECT[name]}`);
    } else {
      const known = [...Object.keys(READERS), ...Object.keys(WITHOUT_EFFECT)];
      sink.error(name, `is no field of ProxyConfig${didYouMean(name, known)}`);
    }
  }
  return { proxyMetadata: {}, ...read };
}

function port(value: unknown): ReturnType<Reader> {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535
    ? { value }
    : { wrong: 'must be a port, 1 to 65535' };
}

function seconds(value: unknown): ReturnType<Reader> {
  const match = typeof value === 'string' ? /^(\d{1,6})(\.\d{1,9})?s$/.exec(value) : null;
  return match === null
    ? { wrong: 'must be a duration in seconds, such as 45s' }
    : { value: Math.ceil(Number.parseFloat(match[0])) };
}

/** Names that the kubelet accepts for environment variables; values as text, as protobuf's JSON has them. */
function environment(value: unknown): ReturnType<Reader> {
  if (!isRecord(value)) return { wrong: 'must be an object of names and texts' };
  const entries = Object.entries(value);
  const bad = entries.find(([name, item]) => !/^[A-Za-z_.-][\w.-]*$/.test(name) || typeof item !== 'string');
  return bad === undefined ? { value } : { wrong: `${bad[0]} must be a name with a text: put the value in quotes` };
}
