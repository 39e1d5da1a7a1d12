import type { JsonObject, JsonValue } from '../../xds/proto/codec.ts';
import type { Node } from '../../xds/proto/gen/envoy/config/core/v3.ts';

/** Who a proxy is, by what it says of itself. Everything is bounded; what is absent or too long is '' or left out. */
export interface ProxyNode {
  /** As sent: `sidecar~10.0.0.7~reviews-v1-abc.default~default.svc.cluster.local`. */
  readonly id: string;
  readonly kind: 'sidecar' | 'router' | 'other';
  readonly ip: string;
  /** Its own addresses, `ip` first. */
  readonly addresses: readonly string[];
  readonly pod: string;
  readonly namespace: string;
  /** Such as `default.svc.cluster.local`. */
  readonly domain: string;
  /** Envoy's `--service-cluster`. */
  readonly cluster: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly workload: string;
  readonly serviceAccount: string;
  readonly clusterId: string;
  readonly network: string;
  /** `NONE`, `REDIRECT`, `TPROXY`. */
  readonly interceptionMode: string;
  /** The SPIFFE ID that it says it gets certificates for; '' none. Of connections by TLS its namespace is proved. */
  readonly identity: string;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  /** `envoy/1.40.0`, for people. */
  readonly userAgent: string;
  /** Takes the virtual hosts of a route configuration one by one (VHDS). */
  readonly virtualHosts: boolean;
  /** Asks for a host when its app first calls it. */
  readonly onDemand: boolean;
  /** What else it says of itself, as sent; whoever reads a part of it decodes that strictly. */
  readonly metadata: JsonObject;
  /** It was shown that it is who it says: only then it gets keys. */
  readonly proved: boolean;
  /** Two nodes with the same key get the same snapshot: the source may cache by it. */
  readonly key: string;
}

/** Node `client_features` of our proxies. */
const FEATURE_VIRTUAL_HOSTS = 'remora.virtual_hosts';
const FEATURE_ON_DEMAND = 'remora.on_demand';

const MAX_TEXT = 1024;
const MAX_LABELS = 128;
const MAX_ADDRESSES = 16;

/** Reads a node. Never fails: a node that says nothing is one of kind `other` that only common config fits. */
export function proxyNode(node: Node | undefined, { proved = false, delta = false } = {}): ProxyNode {
  const id = text(node?.id);
  const metadata: JsonObject = node?.metadata ?? Object.create(null);
  const parts = id.split('~');
  const [kind, ip, podAndNamespace, domain] = parts.length === 4 ? parts : [];
  const dot = podAndNamespace?.lastIndexOf('.') ?? -1;
  const named = podAndNamespace ?? '';
  const addresses = addressesOf(ip ?? '', text(metadata.INSTANCE_IPS));
  const identity = {
    id,
    kind: kind === 'sidecar' || kind === 'router' ? kind : 'other',
    ip: addresses[0] ?? '',
    addresses,
    pod: text(metadata.NAME) || (dot > 0 ? named.slice(0, dot) : named),
    namespace: text(metadata.NAMESPACE) || (dot > 0 ? named.slice(dot + 1) : ''),
    domain: domain ?? '',
    cluster: text(node?.cluster),
    labels: labelsOf(metadata.LABELS),
    workload: text(metadata.WORKLOAD_NAME),
    serviceAccount: text(metadata.SERVICE_ACCOUNT),
    clusterId: text(metadata.CLUSTER_ID),
    network: text(metadata.NETWORK),
    interceptionMode: text(metadata.INTERCEPTION_MODE),
    proved,
    ...discoveryOf(node, delta),
    identity: text(metadata.REMORA_IDENTITY),
    locality: {
      region: text(node?.locality?.region),
      zone: text(node?.locality?.zone),
      subZone: text(node?.locality?.sub_zone),
    },
  } as const;
  return {
    ...identity,
    metadata,
    userAgent: [text(node?.user_agent_name), userVersion(node)].filter((part) => part !== '').join('/'),
    key: JSON.stringify({ ...identity, labels: [...identity.labels].sort() }),
  };
}

/** What of VHDS it speaks: our proxies say so themselves, and Envoy takes it over delta ADS since 1.40. */
function discoveryOf(node: Node | undefined, delta: boolean): Pick<ProxyNode, 'virtualHosts' | 'onDemand'> {
  const features = delta ? (node?.client_features ?? []) : [];
  const { major_number: major = 0, minor_number: minor = 0 } = node?.user_agent_build_version?.version ?? {};
  const envoy = node?.user_agent_name === 'envoy' && (major > 1 || minor >= 40);
  return {
    virtualHosts: delta && (envoy || features.includes(FEATURE_VIRTUAL_HOSTS)),
    onDemand: features.includes(FEATURE_ON_DEMAND),
  };
}

function text(value: JsonValue | undefined): string {
  return typeof value === 'string' && value.length <= MAX_TEXT && !hasControl(value) ? value : '';
}

/** Names go to logs and terminals; a control character in one is not a name. */
function hasControl(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) return true;
  }
  return false;
}

function addressesOf(ip: string, list: string): string[] {
  const all = [ip, ...list.split(',')].map((address) => address.trim()).filter((address) => address !== '');
  return [...new Set(all)].slice(0, MAX_ADDRESSES);
}

function labelsOf(value: JsonValue | undefined): ReadonlyMap<string, string> {
  const labels = new Map<string, string>();
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return labels;
  for (const key in value) {
    const label = value[key];
    if (typeof label !== 'string' || text(key) === '' || text(label) !== label) continue;
    labels.set(key, label);
    if (labels.size === MAX_LABELS) break;
  }
  return labels;
}

function userVersion(node: Node | undefined): string {
  const version = node?.user_agent_build_version?.version;
  if (version === undefined) return text(node?.user_agent_version);
  return `${version.major_number ?? 0}.${version.minor_number ?? 0}.${version.patch ?? 0}`;
}
