import { stringify } from 'yaml';
import { isIP } from '../../base/ip.ts';
import type { JsonObject } from '../proto/codec.ts';
import { formatNodeId } from './node.ts';

/** What `remora proxy --sidecar|--router --control ADDR` knows. */
export interface ProxyFlags {
  readonly type: 'sidecar' | 'router';
  /** `host:port` of the control server's plain xDS port. */
  readonly control: string;
  readonly ip: string;
  readonly pod: string;
  readonly namespace: string;
  readonly domainSuffix?: string;
  readonly serviceAccount?: string;
  readonly workload?: string;
  readonly labels?: { readonly [name: string]: string };
  readonly clusterId?: string;
  readonly interception?: 'REDIRECT' | 'TPROXY' | 'NONE';
  readonly locality?: { readonly region: string; readonly zone: string; readonly subZone: string };
  /** More node metadata; it wins over what the flags give. */
  readonly metadata?: JsonObject;
  readonly admin?: { readonly host: string; readonly port: number };
  /** Incremental xDS, the default. */
  readonly delta?: boolean;
}

/** `layered_runtime` of a proxy whose local replies say why: where people debug, its use is worth more than secrecy. */
export const EXPLAIN: JsonObject = {
  layers: [{ name: 'remora', static_layer: { 'remora.local_reply.explain': true } }],
};

const CONTROL_CLUSTER = 'xds-grpc';

/** The bootstrap of a proxy that gets all else from a control server; Envoy starts with it as well. */
export function proxyBootstrap(flags: ProxyFlags): JsonObject {
  const domain = `${flags.namespace}.svc.${flags.domainSuffix ?? 'cluster.local'}`;
  const ads = { resource_api_version: 'V3', ads: {} };
  return {
    node: {
      id: formatNodeId({ ...flags, domain }),
      cluster: `${flags.workload ?? flags.labels?.app ?? flags.pod}.${flags.namespace}`,
      ...(flags.locality === undefined ? {} : { locality: localityOf(flags.locality) }),
      metadata: metadataOf(flags),
    },
    admin: { address: address(flags.admin?.host ?? '127.0.0.1', flags.admin?.port ?? 15000) },
    dynamic_resources: {
      ads_config: {
        api_type: flags.delta === false ? 'GRPC' : 'DELTA_GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: CONTROL_CLUSTER } }],
      },
      lds_config: ads,
      cds_config: ads,
    },
    static_resources: { clusters: [controlCluster(flags.control)] },
  };
}

/** The same as YAML. */
export function writeProxyBootstrap(flags: ProxyFlags): string {
  return stringify(proxyBootstrap(flags), { lineWidth: 0, aliasDuplicateObjects: false });
}

function metadataOf(flags: ProxyFlags): JsonObject {
  return {
    NAMESPACE: flags.namespace,
    NAME: flags.pod,
    INSTANCE_IPS: flags.ip,
    LABELS: { ...flags.labels },
    SERVICE_ACCOUNT: flags.serviceAccount ?? 'default',
    WORKLOAD_NAME: flags.workload ?? flags.pod,
    CLUSTER_ID: flags.clusterId ?? 'Kubernetes',
    INTERCEPTION_MODE: flags.interception ?? 'NONE',
    ...flags.metadata,
  };
}

function localityOf({ region, zone, subZone }: { region: string; zone: string; subZone: string }): JsonObject {
  return { region, zone, sub_zone: subZone };
}

function controlCluster(control: string): JsonObject {
  const colon = control.lastIndexOf(':');
  const host = control.slice(0, Math.max(colon, 0)).replace(/^\[(.*)\]$/, '$1');
  const port = Number(control.slice(colon + 1));
  return {
    name: CONTROL_CLUSTER,
    type: isIP(host) === 0 ? 'STRICT_DNS' : 'STATIC',
    connect_timeout: '1s',
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    load_assignment: {
      cluster_name: CONTROL_CLUSTER,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(host, port) } }] }],
    },
  };
}

function address(host: string, port: number): JsonObject {
  return { socket_address: { address: host, port_value: port } };
}
