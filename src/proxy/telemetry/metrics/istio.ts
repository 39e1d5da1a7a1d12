import { grpcStatus, isGrpcType } from '../grpc-status.ts';
import { formatResponseFlags } from '../response-flags.ts';
import type { ClusterInfo, StreamInfo } from '../stream-info.ts';
import type { TlsInfo } from '../tls-info.ts';
import { identityOfEndpoint, UNKNOWN, type WorkloadIdentity } from './identity.ts';
import { DEFAULT_BUCKETS, type Labels, type StatScope, type StatStore } from './store.ts';

/** Slots of one label set, and when it was last seen to move. */
interface RequestSeries {
  readonly scope: StatScope;
  readonly requests: number;
  readonly duration: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  seen: number;
  seenAt: number;
}

/** Slots that a TCP connection counts in as long as it is open. */
export interface TcpSeries {
  readonly opened: number;
  readonly closed: number;
  readonly sent: number;
  readonly received: number;
}

interface TcpLabelSet extends TcpSeries {
  readonly scope: StatScope;
  /** Connections that are open under it. */
  users: number;
  seen: number;
  seenAt: number;
}

/** What requests to one endpoint, or to a cluster when none was reached, are counted under. */
interface Peer {
  readonly cluster: ClusterInfo | null;
  readonly workload: string;
  readonly inbound: boolean;
  /** URI names of both certificates where TLS is mutual; '' where it is not. */
  readonly principal: string;
  readonly own: string;
  /** Of `RequestMetrics` when `series` was filled: what was evicted since may be in it. */
  readonly generation: number;
  /** By status, flags, TLS and gRPC status in one number. */
  readonly series: Map<number, RequestSeries>;
  lastKey: number;
  last: RequestSeries | null;
}

/** Stand for the upstream of requests that had none. */
const NONE_INBOUND = {};
const NONE_OUTBOUND = {};
const MAX_SERIES_PER_PEER = 256;

/** A label set without a request for so long goes; sooner when there is no room for new ones. */
const IDLE_MS = 3_600_000;
const IDLE_WHEN_FULL_MS = 300_000;

const BUCKETS = Float64Array.from(DEFAULT_BUCKETS);
const BUCKET_COUNT = BUCKETS.length;

/**
 * Istio's standard metrics of requests and TCP connections. `record` runs once a request, so it builds no string and no label set:
 * the slots of a label set are found once and then kept beside the endpoint they belong to.
 *
 * The number of label sets is bounded: over `maxLabelSets` all further ones share one that says `overflow="true"`.
 * `sweep` evicts those that are idle, so that pods long gone make room for those that are there.
 */
export class RequestMetrics {
  readonly #store: StatStore;
  readonly #identity: WorkloadIdentity;
  readonly #maxLabelSets: number;
  /** By endpoint object, else cluster object: what the config drops goes with its key. */
  readonly #peers = new WeakMap<object, Peer>();
  readonly #labelSets = new Map<string, RequestSeries>();
  /** Changes when label sets were evicted: peers then look theirs up again. */
  #generation = 0;
  #overflow: RequestSeries | null = null;
  readonly #tcp = new Map<string, TcpLabelSet>();
  #tcpOverflow: TcpLabelSet | null = null;

  constructor(store: StatStore, identity: WorkloadIdentity, maxLabelSets = 1000) {
    this.#store = store;
    this.#identity = identity;
    this.#maxLabelSets = maxLabelSets;
  }

  record(info: StreamInfo): void {
    const { upstream, cluster, request, response } = info;
    const inbound = info.connection.direction === 'INBOUND';
    const workload = upstream === null ? '' : upstream.workload;
    const tls = (inbound ? info.connection.tls : info.upstreamTls) ?? null;
    // The clients of one app are many: each connection finds what it counts in once.
    const object =
      (inbound && tls !== null && isMutual(tls) ? tls : upstream) ??
      cluster ??
      (inbound ? NONE_INBOUND : NONE_OUTBOUND);
    let peer = this.#peers.get(object);
    if (
      peer === undefined ||
      peer.cluster !== cluster ||
      peer.inbound !== inbound ||
      peer.workload !== workload ||
      // A request that reached no server says nothing of who it is.
      (tls !== null && peer.principal !== principalOf(tls)) ||
      peer.generation !== this.#generation
    ) {
      const generation = this.#generation;
      peer = { cluster, workload, inbound, generation, ...principals(tls), series: new Map(), lastKey: -1, last: null };
      this.#peers.set(object, peer);
    }
    const grpc = request.method === 'POST' ? grpcOf(info) : NOT_GRPC;
    const key =
      info.flags * 0x10000 + info.responseCode + (info.connection.tlsVersion === '' ? 0 : 0x400) + grpc * 0x800;
    let series = peer.lastKey === key ? peer.last : peer.series.get(key);
    if (series === undefined || series === null) series = this.#find(peer, key, info, grpc);
    peer.lastKey = key;
    peer.last = series;

    const store = this.#store;
    store.add(series.requests, 1);
    observe(store, series.duration, info.end - info.start);
    observe(store, series.requestBytes, request.headers.raw.length + info.bytesReceived);
    // The head as it came from the upstream and what was added to it: near enough, and without serializing it.
    const { added, raw } = response.headers;
    let size = raw.length + info.bytesSent;
    for (let i = 0; i < added.length; i += 2) size += added[i]!.length + added[i + 1]!.length + 4;
    observe(store, series.responseBytes, size);
  }

  /** A TCP connection has its upstream: its bytes are counted in these slots until {@link tcpClosed}. */
  tcpOpened(info: StreamInfo): TcpSeries {
    const series = this.#findTcp(info, 0);
    series.users++;
    this.#store.inc(series.opened);
    return series;
  }

  /** It ended, under the flags that it has now. */
  tcpClosed(series: TcpSeries, info: StreamInfo): void {
    (series as TcpLabelSet).users--;
    this.#store.inc((info.flags === 0 ? series : this.#findTcp(info, info.flags)).closed);
  }

  #findTcp(info: StreamInfo, flags: number): TcpLabelSet {
    const { upstream, cluster, connection } = info;
    const inbound = connection.direction === 'INBOUND';
    const workload = upstream === null ? '' : upstream.workload;
    const tls = (inbound ? connection.tls : info.upstreamTls) ?? null;
    const both = principals(tls);
    const name = `${inbound} ${cluster?.name} ${cluster?.service?.host} ${workload} ${flags} ${both.principal} ${both.own}`;
    let series = this.#tcp.get(name);
    if (series === undefined) {
      if (this.#tcp.size >= this.#maxLabelSets) {
        this.#tcpOverflow ??= this.#tcpSlots({ overflow: 'true' });
        return this.#tcpOverflow;
      }
      const peer = { cluster, workload, inbound, generation: 0, ...both, series: new Map(), lastKey: -1, last: null };
      const { response_code: _, grpc_response_status: __, ...labels } = this.#labels(peer, info, NOT_GRPC);
      series = this.#tcpSlots({ ...labels, request_protocol: 'tcp', response_flags: formatResponseFlags(flags) });
      this.#tcp.set(name, series);
    }
    return series;
  }

  #tcpSlots(labels: Labels): TcpLabelSet {
    const scope = this.#store.scope();
    return {
      scope,
      users: 0,
      seen: 0,
      seenAt: -1,
      opened: scope.counter('istio_tcp_connections_opened_total', labels),
      closed: scope.counter('istio_tcp_connections_closed_total', labels),
      sent: scope.counter('istio_tcp_sent_bytes_total', labels),
      received: scope.counter('istio_tcp_received_bytes_total', labels),
    };
  }

  #sweepTcp(now: number): void {
    const idle = this.#tcp.size >= this.#maxLabelSets ? IDLE_WHEN_FULL_MS : IDLE_MS;
    for (const [name, series] of this.#tcp) {
      const count = this.#store.value(series.opened) + this.#store.value(series.closed);
      if (count !== series.seen || series.seenAt < 0 || series.users > 0) {
        series.seen = count;
        series.seenAt = now;
      } else if (now - series.seenAt >= idle) {
        this.#tcp.delete(name);
        series.scope.discard();
      }
    }
  }

  /** Evicts label sets that no request has met for a while. Monotonic ms. */
  sweep(now: number): void {
    const idle = this.#labelSets.size >= this.#maxLabelSets ? IDLE_WHEN_FULL_MS : IDLE_MS;
    let evicted = false;
    for (const [name, series] of this.#labelSets) {
      const count = this.#store.value(series.requests);
      if (count !== series.seen || series.seenAt < 0) {
        series.seen = count;
        series.seenAt = now;
      } else if (now - series.seenAt >= idle) {
        this.#labelSets.delete(name);
        series.scope.discard();
        evicted = true;
      }
    }
    if (evicted) this.#generation++;
    this.#sweepTcp(now);
  }

  /** Series of a combination that this peer has not had yet. */
  #find(peer: Peer, key: number, info: StreamInfo, grpc: number): RequestSeries {
    if (peer.series.size >= MAX_SERIES_PER_PEER) return this.#overflowSeries();
    const name = `${peer.inbound} ${peer.cluster?.name} ${peer.cluster?.service?.host} ${peer.workload} ${peer.principal} ${peer.own} ${key}`;
    let series = this.#labelSets.get(name);
    if (series === undefined) {
      if (this.#labelSets.size >= this.#maxLabelSets) series = this.#overflowSeries();
      else {
        series = this.#slots(this.#labels(peer, info, grpc));
        this.#labelSets.set(name, series);
      }
    }
    peer.series.set(key, series);
    return series;
  }

  #overflowSeries(): RequestSeries {
    this.#overflow ??= this.#slots({ overflow: 'true' });
    return this.#overflow;
  }

  #slots(labels: Labels): RequestSeries {
    const scope = this.#store.scope();
    return {
      scope,
      seen: 0,
      seenAt: -1,
      requests: scope.counter('istio_requests_total', labels),
      duration: scope.histogram('istio_request_duration_milliseconds', labels),
      requestBytes: scope.histogram('istio_request_bytes', labels),
      responseBytes: scope.histogram('istio_response_bytes', labels),
    };
  }

  /** Istio's labels, in Istio's order. */
  #labels(peer: Peer, info: StreamInfo, grpc: number): Labels {
    const { inbound, cluster } = peer;
    const other = { ...identityOfEndpoint(inbound ? '' : peer.workload), principal: peer.principal };
    const self = { ...this.#identity, principal: peer.own };
    const source = inbound ? other : self;
    const destination = inbound ? self : other;
    const service = serviceOf(cluster, destination.namespace);
    return {
      reporter: inbound ? 'destination' : 'source',
      source_workload: source.workload,
      source_canonical_service: source.canonicalService,
      source_canonical_revision: source.canonicalRevision,
      source_workload_namespace: source.namespace,
      source_principal: source.principal || UNKNOWN,
      source_app: source.app,
      source_version: source.version,
      source_cluster: source.cluster,
      destination_workload: destination.workload,
      destination_workload_namespace: destination.namespace,
      destination_principal: destination.principal || UNKNOWN,
      destination_app: destination.app,
      destination_version: destination.version,
      destination_service: service.host,
      destination_canonical_service: destination.canonicalService,
      destination_canonical_revision: destination.canonicalRevision,
      destination_service_name: service.name,
      destination_service_namespace: service.namespace,
      destination_cluster: destination.cluster,
      request_protocol: grpc === NOT_GRPC ? 'http' : 'grpc',
      response_code: String(info.responseCode),
      grpc_response_status: grpc <= GRPC_STATUS_MISSING ? '' : String(grpc - GRPC_STATUS_0),
      response_flags: formatResponseFlags(info.flags),
      // As in Istio, of what the server saw: clients say `unknown`.
      connection_security_policy: !inbound ? UNKNOWN : peer.principal === '' ? 'none' : 'mutual_tls',
    };
  }
}

function isMutual({ peer, validated }: TlsInfo): boolean {
  return validated && peer !== null;
}

function principalOf(tls: TlsInfo): string {
  return isMutual(tls) ? (tls.peer?.uriSans[0] ?? '') : '';
}

function principals(tls: TlsInfo | null): { readonly principal: string; readonly own: string } {
  if (tls === null || !isMutual(tls)) return { principal: '', own: '' };
  return { principal: principalOf(tls), own: tls.local?.uriSans[0] ?? '' };
}

/** The histogram's slots are its buckets, +Inf, then the sum. */
function observe(store: StatStore, id: number, value: number): void {
  let i = 0;
  while (i < BUCKET_COUNT && value > BUCKETS[i]!) i++;
  store.add(id + i, 1);
  store.add(id + BUCKET_COUNT + 1, value);
}

const NOT_GRPC = 0;
const GRPC_STATUS_MISSING = 1;
const GRPC_STATUS_0 = 2;
/** gRPC has 17 codes; others are no status. */
const GRPC_STATUSES = 17;

/** Whether a request is gRPC, and its status. */
function grpcOf(info: StreamInfo): number {
  if (!isGrpcType(info.request.headers.get('content-type'))) return NOT_GRPC;
  const status = grpcStatus(info);
  return status === undefined || status >= GRPC_STATUSES ? GRPC_STATUS_MISSING : GRPC_STATUS_0 + status;
}

/** Istio's names of the clusters that stand for no service. */
const SPECIAL = new Set(['BlackHoleCluster', 'PassthroughCluster', 'InboundPassthroughCluster']);

/**
 * The service a cluster stands for. Where its metadata does not say, Istio takes the Host header, which any
 * client can make up: here it is the host in a cluster name of Istio's form, else the cluster's own name.
 */
function serviceOf(cluster: ClusterInfo | null, namespace: string): { host: string; name: string; namespace: string } {
  if (cluster === null) return { host: UNKNOWN, name: UNKNOWN, namespace: UNKNOWN };
  const { name, service } = cluster;
  if (service !== null) {
    const { host } = service;
    return {
      host: host || UNKNOWN,
      name: service.name || host || UNKNOWN,
      namespace: service.namespace || namespace,
    };
  }
  if (SPECIAL.has(name)) return { host: UNKNOWN, name, namespace: UNKNOWN };
  const host = /^(?:in|out)bound\|\d*\|[^|]*\|([^|]+)$/.exec(name)?.[1];
  if (host === undefined) return { host: UNKNOWN, name, namespace };
  const kube = /^([^.]+)\.([^.]+)\.svc\./.exec(host);
  return { host, name: kube?.[1] ?? host, namespace: kube?.[2] ?? namespace };
}
