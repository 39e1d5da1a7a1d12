import { formatAddress, type SocketAddress } from '../../model/address.ts';
import type { TrafficDirection } from '../../model/listener.ts';
import type { RequestHead } from '../../protocol/http/message.ts';
import type { ParseError } from '../../protocol/http1/framing.ts';
import { RequestParser } from '../../protocol/http1/parser.ts';
import type { FilterChain } from '../filters/chain.ts';
import type { InjectedFault } from '../filters/filter.ts';
import { ForwardPlan, fillPlan } from '../forward/plan.ts';
import type { ConnectionManager } from '../http/connection-manager.ts';
import { missingTable } from '../http/replies.ts';
import { checkRequest } from '../http/request-check.ts';
import { applyRequestPolicy } from '../http/request-policy.ts';
import { routeFilterConfigs } from '../http/route-filter-configs.ts';
import { describeRedirects, explainRoute, type RouteTrace } from '../router/explain.ts';
import type { CompiledForward, CompiledRoute } from '../router/route.ts';
import type { ClusterTarget } from '../router/weighted.ts';
import { StreamInfo } from '../telemetry/stream-info.ts';
import type { UpstreamCluster } from '../upstream/cluster.ts';
import type { EndpointDescription } from '../upstream/describe.ts';

/** A connection manager and where it serves. */
export interface ExplainTarget {
  readonly listener: string;
  readonly addresses: readonly SocketAddress[];
  readonly direction: TrafficDirection;
  /** '' for a chain without a name. */
  readonly filterChain: string;
  readonly manager: ConnectionManager;
}

export interface ExplainRequest {
  readonly method: string;
  /** `http://reviews:9080/reviews/1`, `reviews:9080/reviews/1`, or a path with the host among the headers. */
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The client's address: whether it counts as internal decides which headers may steer. Default loopback. */
  readonly from?: string;
}

/** What every HTTP listener would do with a request, without anything being sent. */
export interface Explanation {
  readonly request: { readonly method: string; readonly authority: string; readonly path: string };
  readonly listeners: readonly ListenerExplanation[];
}

export interface ListenerExplanation {
  readonly listener: string;
  readonly addresses: readonly string[];
  readonly direction: TrafficDirection;
  readonly filterChain: string;
  readonly statPrefix: string;
  /** '' before one has arrived. */
  readonly routeTable: string;
  /** The caller may steer by `x-envoy-…` headers. */
  readonly internal: boolean;
  /** The outcome in one sentence. */
  readonly outcome: string;
  /** Null when the request is refused before any route is looked at. */
  readonly trace: Omit<RouteTrace, 'route'> | null;
  readonly route: RouteExplanation | null;
  /** In the order in which they run. */
  readonly filters: readonly FilterExplanation[];
}

export interface RouteExplanation {
  readonly name: string;
  readonly virtualHost: string;
  /** The user's object and line that made it; '' unknown. */
  readonly origin: string;
  readonly action: 'forward' | 'redirect' | 'direct';
  /** For `redirect` and `direct`; else 0. */
  readonly status: number;
  /** Where it may go; more than one where traffic is split. */
  readonly targets: readonly TargetExplanation[];
}

export interface TargetExplanation {
  readonly cluster: string;
  readonly weight: number;
  /** Of all weights, percent. */
  readonly share: number;
  /** What is sent upstream. */
  readonly upstream: { readonly authority: string; readonly path: string };
  readonly timeouts: {
    readonly routeMs: number;
    readonly perTryMs: number;
    readonly perTryIdleMs: number;
    readonly idleMs: number;
    readonly connectMs: number;
  };
  /** Null: none but of what was provably not processed. */
  readonly retries: { readonly on: readonly string[]; readonly max: number } | null;
  /** What becomes of redirects that the upstream answers; '' when they are passed on. */
  readonly redirects: string;
  /** Why it cannot be forwarded; '' when it can. */
  readonly refused: string;
  readonly state: ClusterExplanation | null;
  /** What stands in the way of an answer, in words; empty when nothing does. */
  readonly warnings: readonly string[];
}

export interface ClusterExplanation {
  readonly discovery: string;
  readonly lbPolicy: string;
  readonly origin: string;
  readonly warm: boolean;
  readonly membership: {
    readonly total: number;
    readonly healthy: number;
    readonly degraded: number;
    readonly ejected: number;
  };
  readonly endpoints: readonly EndpointDescription[];
}

export interface FilterExplanation {
  readonly name: string;
  /** Off for this request. */
  readonly disabled: boolean;
  /** The route has config of its own for it. */
  readonly routeConfig: boolean;
  /** What it does, with its numbers; '' when nothing, or when it cannot say. */
  readonly says: string;
  readonly fault: InjectedFault | null;
}

/** Where clusters are looked up. */
export interface ExplainClusters {
  get(name: string): UpstreamCluster | undefined;
}

/**
 * Takes a request through what each connection manager does before the first filter, by the same code, and says
 * why. Filters do not run: one of them may answer itself. Throws RangeError for a request that is none.
 */
export function explainRequest(
  targets: readonly ExplainTarget[],
  clusters: ExplainClusters,
  request: ExplainRequest,
): Explanation {
  const wire = writeRequest(request);
  const { head } = readRequest(wire);
  return {
    request: { method: head.method, authority: head.authority, path: head.path },
    listeners: targets.map((target) => explainOne(target, clusters, wire, request.from ?? '127.0.0.1')),
  };
}

function explainOne(target: ExplainTarget, clusters: ExplainClusters, wire: Buffer, from: string): ListenerExplanation {
  const { manager } = target;
  const { config } = manager;
  const prepared = prepare(target, wire, from);
  const table = manager.tableFor(prepared.head);
  const base = {
    listener: target.listener,
    addresses: target.addresses.map(formatAddress),
    direction: target.direction,
    filterChain: target.filterChain,
    statPrefix: config.statPrefix,
    routeTable: table?.config.name ?? '',
    internal: prepared.internal,
  };
  const unrouted = { trace: null, route: null, filters: filtersOf(manager.chain, null) };
  if (prepared.refusal !== '') return { ...base, ...unrouted, outcome: prepared.refusal };
  if (table === null) {
    return { ...base, ...unrouted, outcome: `${missingTable(config.routes)}: 404, NR.` };
  }
  const { head } = prepared;
  const context = {
    internal: prepared.internal,
    tls: false,
    peerPresented: false,
    peerValidated: false,
  };
  const { route, ...trace } = explainRoute(table, head, context);
  if (route === null) return { ...base, ...unrouted, trace, outcome: trace.decision };
  const explained = explainAction(route, target, clusters, wire, from);
  const warnings = explained.targets.flatMap((one) => one.warnings);
  return {
    ...base,
    trace,
    route: explained,
    filters: filtersOf(
      manager.upgradeChains?.choose(head, route) ?? manager.chain,
      route.action.kind === 'forward' ? (route.action.targets.targets[0]?.target ?? route) : route,
    ),
    outcome: warnings.length === 0 ? trace.decision : `${trace.decision} ${warnings.join(' ')}`,
  };
}

interface Prepared {
  readonly head: RequestHead;
  readonly info: StreamInfo;
  readonly parser: RequestParser;
  readonly internal: boolean;
  /** '' when it goes on to the routes. */
  readonly refusal: string;
}

/** A fresh head, as the stream has it when it asks the route table. */
function prepare({ manager, direction }: ExplainTarget, wire: Buffer, from: string): Prepared {
  const { head, parser } = readRequest(wire);
  const info = new StreamInfo();
  info.request = head;
  const client = { host: from, port: 0 };
  info.connection = { ...info.connection, directRemote: client, remote: client, direction };
  const refusal = checkRequest(head, manager);
  if (refusal !== null) {
    return { head, info, parser, internal: false, refusal: `Refused with ${refusal.status}: ${refusal.reason}` };
  }
  const internal = applyRequestPolicy(head, info, manager);
  if (typeof internal === 'object') {
    return { head, info, parser, internal: false, refusal: `Refused with ${internal.status}: ${internal.reason}` };
  }
  return { head, info, parser, internal, refusal: '' };
}

function explainAction(
  route: CompiledRoute,
  target: ExplainTarget,
  clusters: ExplainClusters,
  wire: Buffer,
  from: string,
): RouteExplanation {
  const { action, info } = route;
  const base = { name: info.routeName, virtualHost: info.virtualHost, origin: info.origin, action: action.kind };
  if (action.kind === 'redirect') return { ...base, status: action.status, targets: [] };
  if (action.kind === 'direct') return { ...base, status: action.config.status, targets: [] };
  const { targets } = action.targets;
  const total = targets.reduce((sum, { weight }) => sum + weight, 0);
  return {
    ...base,
    status: 0,
    targets: targets.map((one) => {
      const share = total === 0 ? 0 : Math.round((one.weight / total) * 10_000) / 100;
      const explained = explainTarget(route, action, one.target, clusters, prepare(target, wire, from), target.manager);
      return { ...explained, weight: one.weight, share };
    }),
  };
}

function explainTarget(
  route: CompiledRoute,
  action: CompiledForward,
  target: ClusterTarget,
  clusters: ExplainClusters,
  { head, info, parser, internal }: Prepared,
  manager: ConnectionManager,
): Omit<TargetExplanation, 'weight' | 'share'> {
  const plan = new ForwardPlan();
  info.route = route.info;
  const refusal = fillPlan(plan, route, action, target, info, parser.notes, manager.planSettings, internal);
  const cluster = clusters.get(plan.cluster);
  return {
    cluster: plan.cluster,
    upstream: { authority: head.authority, path: head.path },
    timeouts: {
      routeMs: plan.timeoutMs,
      perTryMs: plan.perTryTimeoutMs,
      perTryIdleMs: plan.perTryIdleMs,
      idleMs: action.config.idleTimeoutMs ?? manager.config.streamIdleTimeoutMs,
      connectMs: cluster?.config.connectTimeoutMs ?? 0,
    },
    retries: plan.retry === null ? null : { on: retryOn(plan, head), max: plan.maxRetries },
    redirects: describeRedirects(action.config.internalRedirects),
    refused: refusal === null ? '' : `${refusal.status}: ${refusal.reason}`,
    state: cluster === undefined ? null : describe(cluster),
    warnings: warningsOf(plan, cluster, target),
  };
}

/** The policy's conditions, and those of the request's own headers are in the plan with them. */
function retryOn(plan: ForwardPlan, head: RequestHead): string[] {
  const asked = head.headers.get('x-envoy-retry-on') ?? '';
  return [...new Set([...(plan.retry?.policy.retryOn ?? []), ...asked.split(',').map((name) => name.trim())])].filter(
    (name) => name !== '',
  );
}

function describe(cluster: UpstreamCluster): ClusterExplanation {
  const { discovery, lbPolicy, origin, warm, membership, endpoints } = cluster.describe();
  return { discovery, lbPolicy, origin, warm, membership, endpoints };
}

function warningsOf(plan: ForwardPlan, cluster: UpstreamCluster | undefined, target: ClusterTarget): string[] {
  const name = JSON.stringify(plan.cluster);
  if (plan.cluster === '' && target.clusterHeader !== '') {
    return [
      `The header ${target.clusterHeader} that should name the cluster is absent: ${plan.clusterNotFoundStatus}, NC.`,
    ];
  }
  if (cluster === undefined) return [`There is no cluster ${name}: ${plan.clusterNotFoundStatus}, NC.`];
  if (!cluster.warm) return [`Cluster ${name} still waits for its endpoints: 503, UH.`];
  const { total, healthy, degraded } = cluster.membership;
  if (cluster.config.discovery.kind === 'ORIGINAL_DST') return [];
  if (total === 0) return [`Cluster ${name} has no endpoints: 503, UH.`];
  if (healthy + degraded === 0) {
    const why = [...cluster.endpoints()].every(({ outlier }) => outlier.ejected) ? 'ejected' : 'unhealthy or ejected';
    return cluster.config.healthyPanicThreshold === 0
      ? [`All ${total} endpoints of cluster ${name} are ${why}: 503, UH.`]
      : [`All ${total} endpoints of cluster ${name} are ${why}: panic, any of them may be picked.`];
  }
  return [];
}

function filtersOf(chain: FilterChain, at: CompiledRoute | ClusterTarget | null): FilterExplanation[] {
  const configs = at === null ? null : routeFilterConfigs(at, chain);
  return chain.filters.map(({ name, filter, disabled: off }, i) => {
    const disabled = configs === null ? off : configs[i]!.disabled;
    const described = disabled || at === null ? null : (filter.describe?.(configs?.[i]?.config ?? null) ?? null);
    return {
      name,
      disabled,
      routeConfig: at?.perFilterConfig.has(name) ?? false,
      says: described?.says ?? '',
      fault: described?.fault ?? null,
    };
  });
}

/** The request's head as bytes: so that it is judged by the parser that judges real ones. */
function writeRequest({ method, url, headers }: ExplainRequest): Buffer {
  const match = /^(?:https?:\/\/)?([^/?#]*)([/?][^#]*)?$/i.exec(url);
  if (match === null || url === '') throw new RangeError(`${JSON.stringify(url)} is neither a URL nor a path`);
  const target = match[2] ?? '/';
  let host = match[1]!;
  const lines: string[] = [];
  for (const [name, value] of headers) {
    if (name.toLowerCase() === 'host') host = value;
    else lines.push(`${name}: ${value}`);
  }
  if (host === '') throw new RangeError('the request names no host: give a whole URL, or a host header');
  const all = [`${method} ${target.startsWith('/') ? target : `/${target}`} HTTP/1.1`, `Host: ${host}`, ...lines];
  if (all.some((line) => /[\r\n\0]/.test(line))) throw new RangeError('the request holds a line break');
  return Buffer.from(`${all.join('\r\n')}\r\n\r\n`);
}

function readRequest(wire: Buffer): { head: RequestHead; parser: RequestParser } {
  const outcome: { head: RequestHead | null; error: ParseError | null } = { head: null, error: null };
  const parser: RequestParser = new RequestParser({
    onHead(head) {
      outcome.head = head;
      parser.pause();
    },
    onData() {},
    onTrailers() {},
    onEnd() {},
    onError(error) {
      outcome.error = error;
    },
  });
  parser.execute(wire);
  const { head, error } = outcome;
  if (head === null) throw new RangeError(error?.reason ?? 'the request is not whole');
  return { head, parser };
}
