import { isIP } from 'node:net';
import { parse } from 'yaml';
import { messageOf } from '../../base/errors.ts';
import { LOG_LEVELS } from '../../base/log.ts';
import { didYouMean } from '../source/schema/suggest.ts';
import { isRecord, show } from '../source/schema/type.ts';
import {
  type ConfigSink,
  INTERCEPTION_MODES,
  type InterceptionMode,
  mergeProxyConfig,
  NO_PROXY_CONFIG,
  type ProxyConfig,
  readProxyConfig,
} from '../translate/istio/proxy-config.ts';

/** What the annotations of a pod ask for; undefined where the mesh's settings decide. */
export interface PodOptions {
  nativeSidecar?: boolean;
  rewriteProbes?: boolean;
  interceptionMode?: InterceptionMode;
  logLevel?: string;
  proxyImage?: string;
  cpu?: string;
  memory?: string;
  cpuLimit?: string;
  memoryLimit?: string;
  userVolumes?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  userVolumeMounts?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** `*` or ports with commas; '' none. */
  includeInboundPorts?: string;
  excludeInboundPorts?: string;
  includeOutboundPorts?: string;
  excludeOutboundPorts?: string;
  /** `*` or CIDRs with commas. */
  includeOutboundIPRanges?: string;
  excludeOutboundIPRanges?: string;
  excludeInterfaces?: string;
  rerouteInterfaces?: string;
  statusPort?: number;
  readinessInitialDelayS?: number;
  readinessPeriodS?: number;
  readinessFailureThreshold?: number;
  mergeMetrics?: boolean;
  preStopDelayS?: number;
  proxyUser?: number;
  config: ProxyConfig;
}

/** Where readers put what is wrong with an annotation. */
export interface AnnotationSink {
  error(annotation: string, message: string): void;
  warning(annotation: string, message: string): void;
}

type Option = Exclude<keyof PodOptions, 'config'>;
/** Throws {@link Wrong}. */
type Read = (text: string) => PodOptions[Option];

class Wrong extends Error {}

/** The annotations that have an effect, by their names. */
const EFFECTIVE: Readonly<Record<string, readonly [option: Option, read: Read]>> = {
  'sidecar.istio.io/nativeSidecar': ['nativeSidecar', boolean],
  'sidecar.istio.io/rewriteAppHTTPProbers': ['rewriteProbes', boolean],
  'sidecar.istio.io/interceptionMode': ['interceptionMode', interceptionMode],
  'sidecar.istio.io/logLevel': ['logLevel', logLevel],
  'sidecar.istio.io/proxyImage': ['proxyImage', image],
  'sidecar.istio.io/proxyCPU': ['cpu', quantity],
  'sidecar.istio.io/proxyMemory': ['memory', quantity],
  'sidecar.istio.io/proxyCPULimit': ['cpuLimit', quantity],
  'sidecar.istio.io/proxyMemoryLimit': ['memoryLimit', quantity],
  'sidecar.istio.io/userVolume': ['userVolumes', namedObjects],
  'sidecar.istio.io/userVolumeMount': ['userVolumeMounts', namedObjects],
  'traffic.sidecar.istio.io/includeInboundPorts': ['includeInboundPorts', portsOrAll],
  'traffic.sidecar.istio.io/excludeInboundPorts': ['excludeInboundPorts', ports],
  'traffic.sidecar.istio.io/includeOutboundPorts': ['includeOutboundPorts', ports],
  'traffic.sidecar.istio.io/excludeOutboundPorts': ['excludeOutboundPorts', ports],
  'traffic.sidecar.istio.io/includeOutboundIPRanges': ['includeOutboundIPRanges', rangesOrAll],
  'traffic.sidecar.istio.io/excludeOutboundIPRanges': ['excludeOutboundIPRanges', ranges],
  'traffic.sidecar.istio.io/excludeInterfaces': ['excludeInterfaces', interfaces],
  'traffic.sidecar.istio.io/kubevirtInterfaces': ['rerouteInterfaces', interfaces],
  'istio.io/reroute-virtual-interfaces': ['rerouteInterfaces', interfaces],
  'status.sidecar.istio.io/port': ['statusPort', portNumber],
  'readiness.status.sidecar.istio.io/initialDelaySeconds': ['readinessInitialDelayS', (text) => count(text, 0)],
  'readiness.status.sidecar.istio.io/periodSeconds': ['readinessPeriodS', (text) => count(text, 1)],
  'readiness.status.sidecar.istio.io/failureThreshold': ['readinessFailureThreshold', (text) => count(text, 1)],
  'prometheus.istio.io/merge-metrics': ['mergeMetrics', boolean],
  'remora.dev/preStopDelaySeconds': ['preStopDelayS', (text) => count(text, 0)],
  'remora.dev/proxyUser': ['proxyUser', user],
};

/** Accepted, and nothing comes of them. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  'sidecar.istio.io/agentLogLevel': 'there is no agent beside the proxy: use sidecar.istio.io/logLevel',
  'sidecar.istio.io/componentLogLevel': 'the proxy has one log level: use sidecar.istio.io/logLevel',
  'sidecar.istio.io/controlPlaneAuthPolicy': 'the control server’s port decides',
  'sidecar.istio.io/discoveryAddress': 'use discoveryAddress in proxy.istio.io/config',
  'sidecar.istio.io/proxyImageType': 'there is one image: use sidecar.istio.io/proxyImage',
  'sidecar.istio.io/enableCoreDump': 'a core of the proxy would hold keys: it is not written',
  'sidecar.istio.io/extraStatTags': 'use a Telemetry object',
  'sidecar.istio.io/statsCompression': 'scrapes are not compressed',
  'sidecar.istio.io/statsInclusionPrefixes': 'all statistics are kept',
  'sidecar.istio.io/statsInclusionRegexps': 'all statistics are kept',
  'sidecar.istio.io/statsInclusionSuffixes': 'all statistics are kept',
  'sidecar.istio.io/statsHistogramBuckets': 'histograms have Envoy’s standard buckets',
  'sidecar.istio.io/statsHistogramBins': 'histograms have Envoy’s standard buckets',
  'sidecar.istio.io/statsFlushInterval': 'statistics are read when they are asked for',
  'sidecar.istio.io/statsEvictionInterval': 'statistics of removed clusters go with them',
  'readiness.status.sidecar.istio.io/applicationPorts':
    'the proxy is ready by its config, not by the application’s ports',
};

/** Accepting them without effect would be wrong. */
const REFUSED: Readonly<Record<string, string>> = {
  'sidecar.istio.io/bootstrapOverride':
    'a bootstrap of one’s own is not read: use EnvoyFilter, or a pod without injection',
  'sidecar.istio.io/capNetBindService': 'the proxy binds no port below 1024',
  'proxy.istio.io/overrides': 'containers are not overridden by annotation: use the sidecar.istio.io ones',
  'inject.istio.io/templates': 'there is one template: take the annotation away',
};

/** Read elsewhere: whether to inject at all, and what was injected. */
const ELSEWHERE = ['sidecar.istio.io/inject', 'sidecar.istio.io/status', 'remora.dev/inject'];

const CONFIG = 'proxy.istio.io/config';

/** Domains that are ours to understand: an unknown name in one of them is a mistake. */
const DOMAINS: ReadonlySet<string> = new Set([
  'sidecar.istio.io',
  'traffic.sidecar.istio.io',
  'status.sidecar.istio.io',
  'readiness.status.sidecar.istio.io',
  'proxy.istio.io',
  'inject.istio.io',
  'prometheus.istio.io',
  'remora.dev',
]);

const KNOWN: readonly string[] = [
  ...Object.keys(EFFECTIVE),
  ...Object.keys(WITHOUT_EFFECT),
  ...Object.keys(REFUSED),
  ...ELSEWHERE,
  CONFIG,
];

/** `mesh`: what holds where the pod's own ProxyConfig says nothing. */
export function readAnnotations(
  annotations: Readonly<Record<string, string>>,
  mesh: ProxyConfig,
  sink: AnnotationSink,
): PodOptions {
  const options: PodOptions = { config: mesh };
  for (const [name, text] of Object.entries(annotations)) {
    const effective = Object.hasOwn(EFFECTIVE, name) ? EFFECTIVE[name] : undefined;
    if (effective !== undefined) {
      const [option, read] = effective;
      try {
        Object.assign(options, { [option]: read(text.trim()) });
      } catch (error) {
        if (!(error instanceof Wrong)) throw error;
        sink.error(name, `${error.message}, got ${show(text)}`);
      }
    } else if (name === CONFIG) {
      const own = parseProxyConfig(text, {
        error: (path, message) => sink.error(name, path === '' ? message : `${path} ${message}`),
        warning: (path, message) => sink.warning(name, `${path} ${message}`),
      });
      options.config = mergeProxyConfig(mesh, own);
    } else if (Object.hasOwn(WITHOUT_EFFECT, name)) {
      sink.warning(name, `has no effect: ${WITHOUT_EFFECT[name]}`);
    } else if (Object.hasOwn(REFUSED, name)) {
      sink.error(name, `is not supported: ${REFUSED[name]}`);
    } else if (DOMAINS.has(name.slice(0, Math.max(0, name.indexOf('/')))) && !ELSEWHERE.includes(name)) {
      sink.error(name, `is no annotation that injection knows${didYouMean(name, KNOWN) || ': take it away'}`);
    }
  }
  return options;
}

/** The annotation is YAML. */
function parseProxyConfig(text: string, sink: ConfigSink): ProxyConfig {
  try {
    return readProxyConfig(parse(text, { maxAliasCount: 0 }), sink);
  } catch (error) {
    sink.error('', `is not YAML: ${messageOf(error).split('\n', 1)[0]}`);
    return NO_PROXY_CONFIG;
  }
}

/** `true` or `false`; null for anything else. */
export function truth(text: string): boolean | null {
  return text === 'true' ? true : text === 'false' ? false : null;
}

function boolean(text: string): boolean {
  const value = truth(text);
  if (value === null) throw new Wrong('must be "true" or "false"');
  return value;
}

function interceptionMode(text: string): InterceptionMode {
  const mode = INTERCEPTION_MODES.find((one) => one === text);
  if (mode === undefined) throw new Wrong(`must be one of ${INTERCEPTION_MODES.join(', ')}`);
  return mode;
}

function logLevel(text: string): string {
  const name = text === 'warn' ? 'warning' : text;
  if (!LOG_LEVELS.some((level) => level === name)) throw new Wrong(`must be one of ${LOG_LEVELS.join(', ')}`);
  return name;
}

function image(text: string): string {
  if (!/^[\w.:/@-]{1,512}$/.test(text)) throw new Wrong('must be the name of an image');
  return text;
}

/** Kubernetes' quantities, resource.Quantity. */
function quantity(text: string): string {
  if (!/^\+?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/.test(text) || !/[1-9]/.test(text))
    throw new Wrong('must be a quantity above 0, such as 100m or 128Mi');
  return text;
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65535) throw new Wrong('must be a port, 1 to 65535');
  return port;
}

/** The items of a list with commas; none for an empty text. */
export function listOf(text: string): string[] {
  const items = text.split(',').map((item) => item.trim());
  return items.filter((item) => item !== '');
}

function ports(text: string): string {
  const items = listOf(text);
  const bad = items.find((item) => !/^\d{1,5}$/.test(item) || Number(item) < 1 || Number(item) > 65535);
  if (bad !== undefined) throw new Wrong(`must be ports with commas between; ${show(bad)} is none`);
  return items.map(Number).join(',');
}

function portsOrAll(text: string): string {
  return text === '*' ? text : ports(text);
}

function ranges(text: string): string {
  const items = listOf(text);
  const bad = items.find((item) => !isCidr(item));
  if (bad !== undefined) throw new Wrong(`must be CIDRs with commas between, such as 10.0.0.0/8; ${show(bad)} is none`);
  return items.join(',');
}

function rangesOrAll(text: string): string {
  return text === '*' ? text : ranges(text);
}

export const USER_ID = 'the number of a user that is not root, 1 to 2147483647';

/** As Kubernetes takes it for runAsUser. */
export function isUserId(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 2_147_483_647;
}

export function isCidr(text: string): boolean {
  const [address = '', bits = '', ...rest] = text.split('/');
  const family = isIP(address);
  return rest.length === 0 && family !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}

/** Names as Linux allows them: they become arguments of iptables. */
function interfaces(text: string): string {
  const items = listOf(text);
  const bad = items.find((item) => !/^[A-Za-z0-9][\w.@-]{0,14}$/.test(item));
  if (bad !== undefined)
    throw new Wrong(`must be names of network interfaces with commas between; ${show(bad)} is none`);
  return items.join(',');
}

function count(text: string, least: number): number {
  if (!/^\d{1,9}$/.test(text) || Number(text) < least) throw new Wrong(`must be a whole number from ${least} on`);
  return Number(text);
}

function user(text: string): number {
  if (!isUserId(Number(text)) || !/^\d+$/.test(text)) throw new Wrong(`must be ${USER_ID}`);
  return Number(text);
}

/** `{"name": {…}}` as JSON: volumes or mounts by their names. */
function namedObjects(text: string): Readonly<Record<string, Readonly<Record<string, unknown>>>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Wrong('must be JSON, such as {"cache": {"emptyDir": {}}}');
  }
  if (!isRecord(value) || !Object.values(value).every(isRecord))
    throw new Wrong('must be a JSON object of objects by name, such as {"cache": {"emptyDir": {}}}');
  const bad = Object.keys(value).find((name) => !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name));
  if (bad !== undefined) throw new Wrong(`must name volumes in lower case; ${show(bad)} is no such name`);
  return value as Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}
