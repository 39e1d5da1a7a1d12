import type { JsonObject } from '../proto/codec.ts';
import type { Node } from '../proto/gen/envoy/config/core/v3.ts';

/** Who a proxy is, in Istio's form, as the control server reads it out of the node's id. */
export interface ProxyIdentity {
  readonly type: 'sidecar' | 'router' | 'waypoint' | 'ztunnel';
  readonly ip: string;
  readonly pod: string;
  readonly namespace: string;
  /** `default.svc.cluster.local` */
  readonly domain: string;
}

const TYPES: ReadonlySet<string> = new Set<ProxyIdentity['type']>(['sidecar', 'router', 'waypoint', 'ztunnel']);

/** `sidecar~10.1.2.3~reviews-v1-x.default~default.svc.cluster.local` */
export function formatNodeId({ type, ip, pod, namespace, domain }: ProxyIdentity): string {
  return `${type}~${ip}~${pod}.${namespace}~${domain}`;
}

/** Null for an id of another form, as a plain Envoy may have. */
export function parseNodeId(id: string): ProxyIdentity | null {
  const [type = '', ip = '', name = '', domain = '', ...rest] = id.split('~');
  if (!TYPES.has(type) || domain === '' || rest.length > 0) return null;
  // The name of a pod may hold dots, that of a namespace may not.
  const dot = name.lastIndexOf('.');
  if (dot <= 0) return null;
  return { type: type as ProxyIdentity['type'], ip, pod: name.slice(0, dot), namespace: name.slice(dot + 1), domain };
}

/** The node of a bootstrap, with nothing left open. */
export interface NodeConfig {
  readonly id: string;
  readonly cluster: string;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  readonly metadata: JsonObject;
}

export function decodeNode(node: Node | undefined): NodeConfig {
  const { region = '', zone = '', sub_zone = '' } = node?.locality ?? {};
  return {
    id: node?.id ?? '',
    cluster: node?.cluster ?? '',
    locality: { region, zone, subZone: sub_zone },
    metadata: node?.metadata ?? {},
  };
}

/** The node as the first discovery request carries it. */
export function encodeNode(node: NodeConfig, version: string): Node {
  const { region, zone, subZone } = node.locality;
  return {
    id: node.id,
    cluster: node.cluster,
    metadata: node.metadata,
    ...(region === '' && zone === '' && subZone === '' ? {} : { locality: { region, zone, sub_zone: subZone } }),
    user_agent_name: 'remora',
    user_agent_version: version,
  };
}
