import type { Cluster } from '../../../xds/proto/gen/envoy/config/cluster/v3.ts';
import type { FilterChain, Listener, ListenerFilter } from '../../../xds/proto/gen/envoy/config/listener/v3.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import type { MeshService, PortProtocol, ServiceEndpoint } from '../../mesh/service.ts';
import { compareText } from '../names.ts';
import { type CaptureFacts, INBOUND_PORT, wildcards } from './capture.ts';
import { socket } from './endpoint.ts';
import { inboundCluster } from './names.ts';
import {
  DETECTED,
  HTTP_INSPECTOR,
  httpFilter,
  httpProtocols,
  ORIGINAL_DST,
  rds,
  tcpFilter,
} from './network-filters.ts';
import { blackHoleChain } from './outbound.ts';
import { inboundRoute } from './route.ts';

/** Istio's name for ports of the app that no service has. */
export const INBOUND_PASSTHROUGH = 'InboundPassthroughCluster';

/** A port of the app that services call it by. */
export interface AppPort {
  /** The app's own. */
  readonly port: number;
  readonly protocol: PortProtocol;
  readonly service: MeshService;
}

/** Endpoints of in-mesh services by address. */
export class InboundIndex {
  readonly #byAddress = new Map<string, { readonly service: MeshService; readonly endpoint: ServiceEndpoint }[]>();

  constructor(mesh: Mesh) {
    for (const service of mesh.services.values()) {
      if (service.external) continue;
      for (const endpoint of service.endpoints) {
        const there = this.#byAddress.get(endpoint.address);
        if (there === undefined) this.#byAddress.set(endpoint.address, [{ service, endpoint }]);
        else there.push({ service, endpoint });
      }
    }
  }

  /** The ports that a pod is called at. Where several services have one, the first by name says what it speaks. */
  portsAt(addresses: readonly string[]): readonly AppPort[] {
    const ports = new Map<number, AppPort>();
    const found = addresses.flatMap((address) => this.#byAddress.get(address) ?? []);
    found.sort((a, b) => compareText(a.service.host, b.service.host));
    for (const { service, endpoint } of found) {
      for (const { number, protocol } of service.ports) {
        const port = endpoint.ports.get(number);
        if (port !== undefined && !ports.has(port)) ports.set(port, { port, protocol, service });
      }
    }
    return [...ports.values()].sort((a, b) => a.port - b.port);
  }
}

export function isHttpPort(protocol: PortProtocol): boolean {
  return protocol === 'http' || protocol === 'http2' || protocol === 'grpc' || protocol === 'auto';
}

/** Where iptables redirect what others call: a chain for each port, and for the rest of them. */
export function virtualInbound(facts: CaptureFacts, ports: readonly AppPort[], http2: boolean): Listener {
  const [first = '', ...more] = wildcards(facts.families);
  return {
    name: 'virtualInbound',
    address: socket(first, INBOUND_PORT),
    ...(more.length > 0
      ? { additional_addresses: more.map((address) => ({ address: socket(address, INBOUND_PORT) })) }
      : {}),
    traffic_direction: 'INBOUND',
    ...(facts.transparent ? { transparent: true } : {}),
    listener_filters: [ORIGINAL_DST, inspector(ports)],
    listener_filters_timeout: 0,
    continue_on_listener_filters_timeout: true,
    filter_chains: [
      blackHoleChain('virtualInbound-blackhole', INBOUND_PORT),
      ...passthroughChains(http2),
      ...ports.filter(({ port }) => port !== INBOUND_PORT).flatMap((port) => portChains(port, http2)),
    ],
    metadata: DETECTED,
  };
}

/** Looks for HTTP where nobody said what is spoken. */
function inspector(ports: readonly AppPort[]): ListenerFilter {
  const rules = ports
    .filter(({ protocol }) => protocol !== 'auto')
    .map(({ port }) => ({ destination_port_range: { start: port, end: port + 1 } }));
  if (rules.length === 0) return HTTP_INSPECTOR;
  return { ...HTTP_INSPECTOR, filter_disabled: rules.length === 1 ? rules[0] : { or_match: { rules } } };
}

function portChains({ port, protocol }: AppPort, http2: boolean): FilterChain[] {
  const name = `0.0.0.0_${port}`;
  const cluster = inboundCluster(port);
  const tcp: FilterChain = { name, filter_chain_match: { destination_port: port }, filters: [tcpFilter(cluster)] };
  if (!isHttpPort(protocol)) return [tcp];
  const detected = protocol === 'auto';
  const http: FilterChain = {
    name,
    filter_chain_match: {
      destination_port: port,
      ...(detected ? { application_protocols: httpProtocols(http2) } : {}),
    },
    filters: [httpFilter({ stat_prefix: `inbound_${name}`, rds: rds(cluster) }, 'captured')],
  };
  return detected ? [http, tcp] : [http];
}

function passthroughChains(http2: boolean): FilterChain[] {
  const routes = {
    name: INBOUND_PASSTHROUGH,
    virtual_hosts: [
      {
        name: 'inbound|http|0',
        domains: ['*'],
        routes: [inboundRoute(INBOUND_PASSTHROUGH, 'a port of the app that no service has')],
      },
    ],
    validate_clusters: false,
  };
  const http = httpFilter({ stat_prefix: INBOUND_PASSTHROUGH, route_config: routes }, 'captured');
  const match = { application_protocols: httpProtocols(http2) };
  return [
    { name: 'virtualInbound-catchall-http', filter_chain_match: match, filters: [http] },
    { name: 'virtualInbound', filters: [tcpFilter(INBOUND_PASSTHROUGH)] },
  ];
}

/** The sources that connections to the app come from. */
export function fromProxy(sources: readonly string[]): Pick<Cluster, 'upstream_bind_config'> {
  const [first = '', ...more] = sources.map((address) => ({ address, port_value: 0 }));
  return {
    upstream_bind_config: {
      source_address: first as { address: string; port_value: number },
      ...(more.length > 0 ? { extra_source_addresses: more.map((address) => ({ address })) } : {}),
    },
  };
}
