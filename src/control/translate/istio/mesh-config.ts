import { type AccessLogSettings, DEFAULT_SETTINGS, type MeshSettings } from '../../mesh/settings.ts';
import { type ConfigObject, type Finding, objectName } from '../../source/collection.ts';
import { readEmbedded } from '../../source/embedded.ts';
import { findingAt } from '../../source/finding.ts';
import { isRecord, type Path, type Sink, show } from '../../source/schema/type.ts';
import type { Decoded } from '../decoded.ts';
import type { ConfigMapValue } from '../kubernetes/fields.ts';
import { checkExportTo } from './check.ts';
import { keepAlive } from './destination-rule.ts';
import { type MeshConfigValue, meshConfig } from './fields/mesh-config.ts';
import { readProxyConfig } from './proxy-config.ts';
import { checkRetryOn } from './retry-on.ts';
import { ruleRetries } from './virtual-service.ts';

/** As istiod reads it: the key `mesh` of the ConfigMap `istio`. */
export const MESH_CONFIG_MAP = 'istio';
const KEY = 'mesh';
const AT: Path = ['data', KEY];
const DEFAULT_TRUST_DOMAIN = 'cluster.local';

/** Other ConfigMaps are nobody's business here. */
export function checkConfigMap(value: ConfigMapValue, sink: Sink, { name }: ConfigObject): void {
  if (name !== MESH_CONFIG_MAP) return;
  if (textOf(value) === undefined) {
    sink.warning('no-effect', ['data'], `there is no ${KEY}, which would hold the mesh’s config as text`);
    return;
  }
  const config = read(value, sink);
  if (config !== undefined) settingsOf(config, sink);
}

/** What the mesh's ConfigMap says, over the defaults; of several the oldest counts. */
export function meshSettings(configMaps: readonly Decoded<'ConfigMap'>[]): {
  readonly settings: MeshSettings;
  readonly findings: readonly Finding[];
} {
  const found = configMaps.filter(
    ({ object, value }) => object.name === MESH_CONFIG_MAP && textOf(value) !== undefined,
  );
  const [first, ...others] = found;
  if (first === undefined) return { settings: DEFAULT_SETTINGS, findings: [] };
  const config = read(first.value, SILENT) ?? {};
  const findings = others.map(({ object }) => {
    const message = `${objectName(first.object)} is the mesh’s config, which counts; this one has no effect`;
    return findingAt(object, 'warning', 'conflicting-mesh-config', AT, message);
  });
  return { settings: settingsOf(config, SILENT), findings };
}

/** It was checked when it was read. */
const SILENT: Sink = { error: () => {}, warning: () => {} };

function textOf({ data }: ConfigMapValue): string | undefined {
  const text = isRecord(data) ? data[KEY] : undefined;
  return typeof text === 'string' ? text : undefined;
}

function read(value: ConfigMapValue, sink: Sink): MeshConfigValue | undefined {
  const embedded = readEmbedded(textOf(value) ?? '');
  if ('problem' in embedded) {
    sink.error('wrong-yaml', AT, embedded.problem);
    return undefined;
  }
  return meshConfig.read(embedded.value ?? {}, AT, sink);
}

function settingsOf(config: MeshConfigValue, sink: Sink): MeshSettings {
  const { trustDomain = '', connectTimeout = 0, dnsRefreshRate = 0, defaultHttpRetryPolicy: retries } = config;
  if (trustDomain !== '' && trustDomain !== DEFAULT_TRUST_DOMAIN) {
    const message = 'trustDomain has no effect: certificates are of the control server’s --trust-domain; give it there';
    sink.warning('no-effect', [...AT, 'trustDomain'], message);
  }
  if (retries !== undefined) {
    checkRetryOn(retries.retryOn ?? '', [...AT, 'defaultHttpRetryPolicy', 'retryOn'], sink);
  }
  for (const field of [
    'defaultServiceExportTo',
    'defaultVirtualServiceExportTo',
    'defaultDestinationRuleExportTo',
  ] as const)
    checkExportTo(config[field], [...AT, field], sink);
  return {
    outbound: config.outboundTrafficPolicy?.mode ?? DEFAULT_SETTINGS.outbound,
    accessLog: accessLogOf(config, sink),
    connectTimeoutMs: connectTimeout || DEFAULT_SETTINGS.connectTimeoutMs,
    dnsRefreshMs: dnsRefreshRate || DEFAULT_SETTINGS.dnsRefreshMs,
    autoMtls: config.enableAutoMtls ?? DEFAULT_SETTINGS.autoMtls,
    rootNamespace: config.rootNamespace || DEFAULT_SETTINGS.rootNamespace,
    retries: retries === undefined ? DEFAULT_SETTINGS.retries : ruleRetries({ retries }),
    keepAlive: keepAlive(config.tcpKeepalive),
    exportTo: {
      services: config.defaultServiceExportTo ?? [],
      virtualServices: config.defaultVirtualServiceExportTo ?? [],
      destinationRules: config.defaultDestinationRuleExportTo ?? [],
    },
    proxyConfig: proxyConfigOf(config, sink),
  };
}

/** Read as in an annotation of a pod. */
function proxyConfigOf({ defaultConfig = null }: MeshConfigValue, sink: Sink): MeshSettings['proxyConfig'] {
  if (defaultConfig === null) return null;
  const at = (path: string): Path => [...AT, 'defaultConfig', ...(path === '' ? [] : [path])];
  return readProxyConfig(defaultConfig, {
    error: (path, message) => sink.error('wrong-value', at(path), message),
    warning: (path, message) => sink.warning('no-effect', at(path), message),
  });
}

/** Istio's, for JSON without a format (pilot/pkg/model/telemetry_logging.go). */
const JSON_FIELDS = {
  start_time: '%START_TIME%',
  route_name: '%ROUTE_NAME%',
  method: '%REQ(:METHOD)%',
  path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  protocol: '%PROTOCOL%',
  response_code: '%RESPONSE_CODE%',
  response_flags: '%RESPONSE_FLAGS%',
  response_code_details: '%RESPONSE_CODE_DETAILS%',
  connection_termination_details: '%CONNECTION_TERMINATION_DETAILS%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  duration: '%DURATION%',
  upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
  x_forwarded_for: '%REQ(X-FORWARDED-FOR)%',
  user_agent: '%REQ(USER-AGENT)%',
  request_id: '%REQ(X-REQUEST-ID)%',
  authority: '%REQ(:AUTHORITY)%',
  upstream_host: '%UPSTREAM_HOST%',
  upstream_cluster: '%UPSTREAM_CLUSTER%',
  upstream_local_address: '%UPSTREAM_LOCAL_ADDRESS%',
  downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
  downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
  requested_server_name: '%REQUESTED_SERVER_NAME%',
  upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
};

/** Nothing written is our default, standard output; an empty file's name is none, as in Istio. */
function accessLogOf(config: MeshConfigValue, sink: Sink): AccessLogSettings | null {
  const { accessLogFile: path = DEFAULT_SETTINGS.accessLog?.path ?? '', accessLogFormat: format = '' } = config;
  const at = [...AT, 'accessLogFormat'];
  if (path !== '' && !path.startsWith('/')) {
    sink.error('wrong-value', [...AT, 'accessLogFile'], `expected a path such as /dev/stdout, got ${show(path)}`);
  }
  if (path === '') return null;
  if (config.accessLogEncoding !== 'JSON') {
    return { path, format: format === '' ? null : format.endsWith('\n') ? format : `${format}\n` };
  }
  if (format === '') return { path, format: JSON_FIELDS };
  const embedded = readEmbedded(format);
  if ('value' in embedded && isRecord(embedded.value)) return { path, format: embedded.value };
  sink.error('wrong-value', at, 'with accessLogEncoding JSON the format is a JSON object of names and operators');
  return { path, format: JSON_FIELDS };
}
