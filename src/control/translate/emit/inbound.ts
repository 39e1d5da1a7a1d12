import type { AccessLog } from '../../../xds/proto/gen/envoy/config/accesslog/v3.ts';
import type { Cluster } from '../../../xds/proto/gen/envoy/config/cluster/v3.ts';
import type {
  FilterChain,
  FilterChainMatch,
  Listener,
  ListenerFilter,
} from '../../../xds/proto/gen/envoy/config/listener/v3.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import type { MeshService, PortProtocol, ServiceEndpoint } from '../../mesh/service.ts';
import { compareText } from '../names.ts';
import { portMtls, type WorkloadMtls } from '../peer-authentication.ts';
import { DEFAULT_LOGS } from './access-log.ts';
import { type CaptureFacts, wildcards } from './capture.ts';
import { addressesOf, socket } from './endpoint.ts';
import { type ChainKind, chainKinds, FORWARDED_CERTIFICATE, mutualChain } from './mtls.ts';
import { inboundCluster } from './names.ts';
import {
  DETECTED,
  declaredHttp,
  HTTP_INSPECTOR,
  httpFilter,
  httpProtocols,
  ORIGINAL_DST,
  rds,
  TLS_INSPECTOR,
  tcpFilter,
} from './network-filters.ts';
import { blackHoleChain } from './outbound.ts';
import { inboundRoute } from './route.ts';
import type { Scope } from './scope.ts';

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
        for (const address of addressesOf(endpoint)) {
          const there = this.#byAddress.get(address);
          if (there === undefined) this.#byAddress.set(address, [{ service, endpoint }]);
          else there.push({ service, endpoint });
        }
      }
    }
  }

  /** Services that are served at an address and port, by name, each with the number that the port has there. */
  instancesAt(address: string, port: number) {
    return (this.#byAddress.get(address) ?? [])
      .flatMap(({ service, endpoint }) =>
        [...endpoint.ports].flatMap(([number, at]) => (at === port ? [{ service, endpoint, number }] : [])),
      )
      .sort((a, b) => compareText(a.service.host, b.service.host));
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
export function virtualInbound(
  facts: CaptureFacts,
  ports: readonly AppPort[],
  { http2, detects }: Pick<Scope, 'http2' | 'detects'>,
  mtls: WorkloadMtls,
  logs: readonly AccessLog[] = DEFAULT_LOGS,
): Listener {
  const [first = '', ...more] = wildcards(facts.families);
  const own = facts.ports.inbound;
  return {
    name: 'virtualInbound',
    address: socket(first, own),
    ...(more.length > 0 ? { additional_addresses: more.map((address) => ({ address: socket(address, own) })) } : {}),
    traffic_direction: 'INBOUND',
    ...(facts.transparent ? { transparent: true } : {}),
    listener_filters: [ORIGINAL_DST, ...tlsInspector(mtls), inspector(ports, detects)],
    listener_filters_timeout: 0,
    continue_on_listener_filters_timeout: true,
    filter_chains: [
      blackHoleChain('virtualInbound-blackhole', own, logs),
      ...passthroughChains(http2, ports, own, mtls, logs),
      ...ports.filter(({ port }) => port !== own).flatMap((port) => portChains(port, http2, detects, mtls, logs)),
    ],
    metadata: DETECTED,
  };
}

/** Looks for TLS where some is taken; not on ports that take none, whose servers may speak first. */
export function tlsInspector({ mode, ports }: WorkloadMtls): ListenerFilter[] {
  const plain = [...ports].filter(([, one]) => one === 'DISABLE').map(([port]) => port);
  const mutual = [...ports].filter(([, one]) => one !== 'DISABLE').map(([port]) => port);
  if (mode === 'DISABLE' && mutual.length === 0) return [];
  const disabled = mode === 'DISABLE' ? { not_match: anyPort(mutual) } : plain.length === 0 ? null : anyPort(plain);
  return [disabled === null ? TLS_INSPECTOR : { ...TLS_INSPECTOR, filter_disabled: disabled }];
}

function anyPort(ports: readonly number[]) {
  const rules = ports.map((port) => ({ destination_port_range: { start: port, end: port + 1 } }));
  return rules.length === 1 ? rules[0]! : { or_match: { rules } };
}

/** Looks for HTTP where nobody said what is spoken, and where HTTP was said: charts are often wrong (pains row 23). */
function inspector(ports: readonly AppPort[], detects: boolean): ListenerFilter {
  const rules = ports
    .filter(({ protocol }) => spoken(protocol, detects) === 'http' || spoken(protocol, detects) === 'tcp')
    .map(({ port }) => ({ destination_port_range: { start: port, end: port + 1 } }));
  if (rules.length === 0) return HTTP_INSPECTOR;
  return { ...HTTP_INSPECTOR, filter_disabled: rules.length === 1 ? rules[0] : { or_match: { rules } } };
}

function portChains(
  { port, protocol, service }: AppPort,
  http2: boolean,
  detects: boolean,
  mtls: WorkloadMtls,
  logs: readonly AccessLog[],
): FilterChain[] {
  const name = `0.0.0.0_${port}`;
  const cluster = inboundCluster(port);
  return chainKinds(portMtls(mtls, port), spoken(protocol, detects), httpProtocols(http2)).map((kind) => {
    const manager = { stat_prefix: `inbound_${name}`, rds: rds(cluster) };
    const chain = chainOf(kind, http2, name, { destination_port: port }, cluster, manager, logs);
    if (!detects || protocol !== 'http' || kind.speaks === 'http') return chain;
    return { ...chain, metadata: declaredHttp(`${service.written.object} target port ${port}`, true) };
  });
}

function spoken(protocol: PortProtocol, detects: boolean): Parameters<typeof chainKinds>[1] {
  if (protocol === 'auto') return 'auto';
  if (protocol === 'http' && detects) return 'declared-http';
  return isHttpPort(protocol) ? 'http' : 'tcp';
}

type Manager = Parameters<typeof httpFilter>[0];

function chainOf(
  { match, speaks, mutual }: ChainKind,
  http2: boolean,
  name: string,
  at: FilterChainMatch,
  cluster: string,
  manager: Manager,
  logs: readonly AccessLog[],
): FilterChain {
  const filter =
    speaks === 'tcp'
      ? tcpFilter(cluster, logs)
      : httpFilter(mutual ? { ...manager, ...FORWARDED_CERTIFICATE } : manager, false, logs);
  const filter_chain_match = { ...at, ...match };
  return {
    name,
    ...(Object.keys(filter_chain_match).length === 0 ? {} : { filter_chain_match }),
    filters: [filter],
    ...(mutual ? mutualChain(speaks, http2) : {}),
  };
}

function passthroughChains(
  http2: boolean,
  ports: readonly AppPort[],
  own: number,
  mtls: WorkloadMtls,
  logs: readonly AccessLog[],
): FilterChain[] {
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
  const manager = { stat_prefix: INBOUND_PASSTHROUGH, route_config: routes };
  const known = new Set(ports.map(({ port }) => port));
  const chains = (at: FilterChainMatch, mode: WorkloadMtls['mode'], suffix: string): FilterChain[] =>
    chainKinds(mode, 'auto', httpProtocols(http2)).map((kind) => {
      const name = kind.speaks === 'http' ? 'virtualInbound-catchall-http' : 'virtualInbound';
      return chainOf(kind, http2, `${name}${suffix}`, at, INBOUND_PASSTHROUGH, manager, logs);
    });
  return [
    ...chains({}, mtls.mode, ''),
    // Ports that a policy names and no service has.
    ...[...mtls.ports].flatMap(([port, mode]) =>
      known.has(port) || port === own ? [] : chains({ destination_port: port }, mode, `_${port}`),
    ),
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
