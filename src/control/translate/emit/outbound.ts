import type { AccessLog } from '../../../xds/proto/gen/envoy/config/accesslog/v3.ts';
import type { FilterChain, Listener } from '../../../xds/proto/gen/envoy/config/listener/v3.ts';
import type { MeshService, ServicePort } from '../../mesh/service.ts';
import { compareText, hostMatches, isAddress } from '../names.ts';
import { DEFAULT_LOGS } from './access-log.ts';
import { type CapturePorts, type Families, type OutboundPolicy, wildcards } from './capture.ts';
import { addressesOf, socket } from './endpoint.ts';
import { domainHost, INSTANCES, outboundCluster, withPort } from './names.ts';
import {
  DETECTED,
  declaredHttp,
  HTTP_INSPECTOR,
  httpFilter,
  httpProtocols,
  rds,
  TLS_INSPECTOR,
  tcpFilter,
} from './network-filters.ts';
import { BLACK_HOLE, PASSTHROUGH } from './outside.ts';
import { isHttp, isPopulated, protocolFor, type Scope } from './scope.ts';

/** What a listener of the app's own calls is made of; two that say the same are the same. */
export interface OutboundPlan {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly port: number;
  /** Route configuration of what is HTTP; '' there is none. */
  readonly routes: string;
  /** Its routes are of one service alone, of which nobody knows what it speaks. */
  readonly detected: boolean;
  /** TLS by server name, and ranges of addresses, each with its cluster. */
  readonly names: readonly { readonly host: string; readonly cluster: string }[];
  readonly ranges: readonly { readonly range: string; readonly cluster: string }[];
  /** Whether HTTP/2 is HTTP. */
  readonly http2: boolean;
  /** What its routes lack is asked for. */
  readonly asks: boolean;
  /** Where everything else goes. */
  readonly rest: string;
  /** Who says that it is HTTP, where its routes are of what was declared; '' nobody. */
  readonly declaredBy: string;
}

/** A service that HTTP to its own addresses is for, whatever host the request names. */
export interface DetectedService extends PortOfService {
  readonly routes: string;
}

export interface PortOfService {
  readonly service: MeshService;
  readonly port: ServicePort;
}

export interface OutboundPlans {
  readonly listeners: readonly OutboundPlan[];
  /** Ports with HTTP by host, and the services there. */
  readonly hosts: ReadonlyMap<number, readonly PortOfService[]>;
  readonly detected: readonly DetectedService[];
  /** What is not captured as somebody may think. */
  readonly notes: readonly string[];
}

/** Everything of a port that has no address of its own: HTTP by host, TLS by server name, ranges. */
class WildcardPort {
  /** null: nothing is HTTP there. */
  http: PortOfService[] | null = null;
  readonly names: { host: string; cluster: string }[] = [];
  readonly ranges: { range: string; cluster: string }[] = [];
}

/** A port of which nobody says what it speaks, at addresses that tell its connections from others. */
export function isDetected(service: MeshService, port: ServicePort): boolean {
  return port.protocol === 'auto' && (service.addresses.length > 0 || service.resolution === 'endpoints');
}

/** Where connections of captured apps go: by the address that was called, else by its port, else outside. */
export function outboundPlans(scope: Scope, families: Families, policy: OutboundPolicy): OutboundPlans {
  const { http2 } = scope;
  const planner = new Planner(scope);
  for (const service of scope.services.values()) {
    for (const port of service.ports) planner.add(service, { ...port, protocol: protocolFor(http2, port.protocol) });
  }
  // Hosts that only routing rules know are called at port 80.
  const unknown = scope
    .tables('mesh')
    .hosts.entries()
    .filter(([host, rules]) => !scope.services.has(host) && scope.mayCall(host, rules))
    .map(([host]) => host);
  const alone = (host: string): boolean => !scope.services.keys().some((known) => hostMatches(host, known));
  if (unknown.some(alone)) planner.wildcard(80).http ??= [];
  return planner.plans(families, policy);
}

class Planner {
  readonly #own = new Map<string, OutboundPlan>();
  readonly #taken = new Set<string>();
  readonly #wildcards = new Map<number, WildcardPort>();
  readonly #detected: DetectedService[] = [];
  readonly #notes: string[] = [];
  readonly #http2: boolean;
  readonly #detects: boolean;
  readonly #reserved: ReadonlySet<number>;
  readonly #asks: boolean;

  constructor({ http2, detects, asks, ports }: Scope) {
    this.#http2 = http2;
    this.#detects = detects;
    this.#reserved = new Set([ports.outbound, ports.inbound]);
    this.#asks = asks;
  }

  add(service: MeshService, port: ServicePort): void {
    // Its addresses are those of the service that it is another name of, whose listeners these are.
    if (service.aliasOf !== undefined && (!isHttp(port) || isDetected(service, port))) return;
    const addresses = service.addresses.filter(isAddress);
    const ranges = service.addresses.filter((address) => address.includes('/'));
    const cluster = outboundCluster(port.number, '', service.host);
    const direct = addresses.length === 0 && ranges.length === 0;
    const { protocol } = port;
    if (isHttp(port) && !isDetected(service, port)) {
      const wildcard = this.wildcard(port.number);
      wildcard.http ??= [];
      wildcard.http.push({ service, port });
      return;
    }
    if (addresses.length > 0) this.#addressed(service, port, addresses, port.number, cluster);
    for (const range of ranges) this.wildcard(port.number).ranges.push({ range, cluster });
    if (!direct) return;
    if (protocol === 'tls' || protocol === 'https') {
      if (this.#reachable(service, port)) this.wildcard(port.number).names.push({ host: service.host, cluster });
    } else if (service.resolution === 'endpoints') this.#endpoints(service, port, cluster);
    else {
      const remedy = 'give it addresses: calls of it pass as those to unknown hosts do';
      this.#notes.push(`${service.written.object} port ${port.number}: TCP is told apart by addresses only; ${remedy}`);
    }
  }

  wildcard(port: number): WildcardPort {
    let wildcard = this.#wildcards.get(port);
    if (wildcard === undefined) {
      wildcard = new WildcardPort();
      this.#wildcards.set(port, wildcard);
    }
    return wildcard;
  }

  plans(families: Families, policy: OutboundPolicy): OutboundPlans {
    const addresses = wildcards(families);
    const rest = policy === 'ALLOW_ANY' ? PASSTHROUGH : BLACK_HOLE;
    const ports = [...this.#wildcards].sort(([a], [b]) => a - b);
    const listeners = ports.flatMap(([port, { http, names, ranges }]): OutboundPlan[] => {
      if (this.#reserved.has(port)) {
        this.#notes.push(`port ${port} is the proxy's own: HTTP services there cannot be called`);
        return [];
      }
      const routes = http === null ? '' : String(port);
      const name = `${domainHost(addresses[0] ?? '')}_${port}`;
      return [
        {
          name,
          addresses,
          port,
          routes,
          detected: false,
          names: each(names),
          ranges: eachRange(ranges),
          http2: this.#http2,
          asks: this.#asks && http !== null,
          rest,
          declaredBy: http === null || !this.#detects ? '' : declarers(port, http),
        },
      ];
    });
    const served = ports.filter(([port]) => !this.#reserved.has(port));
    const hosts = new Map(served.flatMap(([port, { http }]) => (http === null ? [] : [[port, http] as const])));
    return {
      listeners: [...listeners, ...this.#own.values()],
      hosts,
      detected: this.#detected,
      notes: this.#notes,
    };
  }

  /** A listener for the service's own addresses. */
  #addressed(service: MeshService, port: ServicePort, addresses: readonly string[], at: number, cluster: string): void {
    const free = addresses.filter((address) => !this.#taken.has(withPort(address, at)));
    const [first] = free;
    if (first === undefined) {
      this.#notes.push(`${service.written.object} port ${port.number}: another service has its addresses`);
      return;
    }
    for (const address of free) this.#taken.add(withPort(address, at));
    const detected = port.protocol === 'auto';
    const routes = detected ? withPort(service.host, port.number) : '';
    if (detected && !this.#detected.some((other) => other.routes === routes)) {
      this.#detected.push({ routes, service, port });
    }
    const name = `${domainHost(first)}_${at}`;
    this.#own.set(name, {
      name,
      addresses: free,
      port: at,
      routes,
      detected,
      names: [],
      ranges: [],
      http2: this.#http2,
      asks: false,
      rest: cluster,
      declaredBy: '',
    });
  }

  /** Without an address of its own its instances are called by theirs. */
  #endpoints(service: MeshService, port: ServicePort, cluster: string): void {
    const endpoints = service.endpoints.toSorted((a, b) => compareText(a.address, b.address));
    for (const endpoint of endpoints) {
      const at = endpoint.ports.get(port.number);
      if (at === undefined) continue;
      for (const address of addressesOf(endpoint)) {
        if (!isAddress(address) || this.#taken.has(withPort(address, at))) continue;
        this.#addressed(service, port, [address], at, cluster);
      }
    }
  }

  #reachable(service: MeshService, port: ServicePort): boolean {
    if (service.host === '*') return false;
    return service.resolution === 'endpoints' || isPopulated(service, port.number, {});
  }
}

/** As many services as a warning names; with more the address that was called tells which one it is. */
const MAX_NAMED = 3;

function declarers(port: number, services: readonly PortOfService[]): string {
  const names = [...new Set(services.map(({ service }) => service.written.object))].sort();
  if (names.length === 0) return '';
  if (names.length > MAX_NAMED) return `one of the services with port ${port}`;
  return `${names.join(' or ')} port ${port}`;
}

/** Envoy refuses two chains with one match: the first has it. */
function each(names: readonly { host: string; cluster: string }[]): { host: string; cluster: string }[] {
  return names.filter(({ host }, i) => names.findIndex((other) => other.host === host) === i);
}

function eachRange(ranges: readonly { range: string; cluster: string }[]): { range: string; cluster: string }[] {
  return ranges.filter(({ range }, i) => ranges.findIndex((other) => other.range === range) === i);
}

/** Gets what virtualOutbound hands on: it has no socket of its own. */
export function outboundListener(plan: OutboundPlan, logs: readonly AccessLog[] = DEFAULT_LOGS): Listener {
  const { name, addresses, port, routes, detected, names, ranges, rest } = plan;
  const [first = '', ...more] = addresses;
  const chains: FilterChain[] = [];
  for (const { host, cluster } of names) {
    chains.push({
      name: withPort(host, port),
      filter_chain_match: { server_names: [host] },
      filters: [tcpFilter(cluster, logs)],
    });
  }
  for (const { range, cluster } of ranges) {
    const [address_prefix = '', bits = ''] = range.split('/');
    const match = { prefix_ranges: [{ address_prefix, prefix_len: Number(bits) }] };
    chains.push({ name: `${range}_${port}`, filter_chain_match: match, filters: [tcpFilter(cluster, logs)] });
  }
  if (routes !== '') {
    const manager = { stat_prefix: `outbound_${name}`, rds: rds(routes) };
    const match = { transport_protocol: 'raw_buffer', application_protocols: httpProtocols(plan.http2) };
    chains.push({ name, filter_chain_match: match, filters: [httpFilter(manager, plan.asks, logs)] });
  }
  const other: FilterChain = {
    name: rest,
    filters: [tcpFilter(rest, logs)],
    ...(plan.declaredBy === '' ? {} : { metadata: declaredHttp(plan.declaredBy, false, routes) }),
  };
  const filters = [...(names.length > 0 ? [TLS_INSPECTOR] : []), ...(routes === '' ? [] : [HTTP_INSPECTOR])];
  return {
    name,
    address: socket(first, port),
    ...(more.length > 0 ? { additional_addresses: more.map((address) => ({ address: socket(address, port) })) } : {}),
    bind_to_port: false,
    traffic_direction: 'OUTBOUND',
    ...(filters.length > 0
      ? { listener_filters: filters, listener_filters_timeout: 0, continue_on_listener_filters_timeout: true }
      : {}),
    ...(chains.length > 0 ? { filter_chains: chains, default_filter_chain: other } : { filter_chains: [other] }),
    ...(detected || plan.declaredBy !== '' ? { metadata: DETECTED } : {}),
  };
}

/** Where iptables redirect what the app calls; what nobody is for goes on outside. */
export function virtualOutbound(
  families: Families,
  { outbound }: CapturePorts,
  policy: OutboundPolicy,
  ranges: readonly string[],
  logs: readonly AccessLog[] = DEFAULT_LOGS,
): Listener {
  const [first = '', ...more] = wildcards(families);
  return {
    name: 'virtualOutbound',
    address: socket(first, outbound),
    ...(more.length > 0
      ? { additional_addresses: more.map((address) => ({ address: socket(address, outbound) })) }
      : {}),
    traffic_direction: 'OUTBOUND',
    use_original_dst: true,
    filter_chains: [
      blackHoleChain('virtualOutbound-blackhole', outbound, logs),
      ...(ranges.length > 0 ? [instancesChain(ranges, logs)] : []),
      {
        name: 'virtualOutbound-catchall-tcp',
        filters: [tcpFilter(policy === 'ALLOW_ANY' ? PASSTHROUGH : BLACK_HOLE, logs)],
      },
    ],
  };
}

/** Called by addresses of these ranges: the control server knows which service or host has them. */
function instancesChain(ranges: readonly string[], logs: readonly AccessLog[]): FilterChain {
  const prefix_ranges = ranges.map((range) => {
    const [address_prefix = '', bits] = range.split('/');
    return { address_prefix, prefix_len: Number(bits) };
  });
  return {
    name: 'virtualOutbound-instances',
    filter_chain_match: { prefix_ranges },
    filters: [tcpFilter(PASSTHROUGH, logs)],
    metadata: { filter_metadata: { remora: { address_routes: INSTANCES } } },
  };
}

/** Whoever calls a port of ours itself would be passed through to it again, for ever. */
export function blackHoleChain(name: string, destination_port: number, logs: readonly AccessLog[]): FilterChain {
  return { name, filter_chain_match: { destination_port }, filters: [tcpFilter(BLACK_HOLE, logs)] };
}
