import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { TimerWheel } from '../../base/timer-wheel.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { LoadAssignment } from '../../model/endpoint.ts';
import type { StatStore } from '../telemetry/metrics/store.ts';
import type { ClusterInfo } from '../telemetry/stream-info.ts';
import type { TlsContexts } from '../tls/contexts.ts';
import { CircuitBreaker, sharedBreakers } from './circuit-breaker.ts';
import { type ClusterDescription, describeEndpoint } from './describe.ts';
import { forwardDestination, originalDestination } from './destination.ts';
import { DnsDiscovery, type Resolver } from './dns.ts';
import type { UpstreamEndpoint } from './endpoint.ts';
import { fingerprint } from './fingerprint.ts';
import type { Balancer, BalancerType, PickContext } from './lb/balancer.ts';
import { Membership } from './membership.ts';
import { OnDemandEndpoints } from './on-demand-endpoints.ts';
import { clearEjection, OutlierDetector, type SharedEjections } from './outlier.ts';
import { ClusterStats } from './stats.ts';
import { ClusterTls, tlsPrint } from './tls.ts';

/** What clusters need of the process they run in. */
export interface UpstreamEnvironment {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly random: Random;
  readonly stats: StatStore;
  readonly log: Logger;
  /** By kind: `standardBalancers` of lb/standard.ts. */
  readonly tls: TlsContexts;
  readonly balancers: { get(kind: string): BalancerType | undefined };
  readonly resolve: Resolver;
  /** What workers have in common; absent: this thread is the only one. */
  readonly workers?: SharedEjections | null;
}

/** How an attempt failed without a response; see ResetReason and PoolFailure of the pools. */
export type AttemptFailure =
  | 'connection-failure'
  | 'connection-timeout'
  | 'connection-termination'
  | 'protocol-error'
  | 'overflow'
  | 'drained';

/**
 * A cluster at run time, under one config. A changed config makes a new object that takes over from its
 * predecessor, at its first assignment, the endpoints that stay, with their connections, counts and ejections;
 * breakers and stats are shared from the start. So no change of config closes a connection that could be kept.
 */
export class UpstreamCluster implements ClusterInfo {
  readonly name: string;
  readonly config: Cluster;
  readonly altStatName: string;
  readonly service: ClusterInfo['service'];
  readonly stats: ClusterStats;
  readonly breakers: { readonly DEFAULT: CircuitBreaker; readonly HIGH: CircuitBreaker };
  readonly outlier: OutlierDetector | null;
  /** How its endpoints are connected to; null: plain TCP. */
  readonly tls: ClusterTls | null;
  /** The assignment in force; null before the first. */
  assignment: LoadAssignment | null = null;
  readonly #env: UpstreamEnvironment;
  readonly #members: Membership;
  #onDemand: OnDemandEndpoints | null = null;
  #dns: DnsDiscovery | null = null;
  #predecessor: UpstreamCluster | null;
  #drops: LoadAssignment['dropOverloads'] = [];
  #warm = false;
  #onWarm: (() => void)[] = [];
  #closed = false;

  constructor(config: Cluster, env: UpstreamEnvironment, predecessor: UpstreamCluster | null = null) {
    this.config = config;
    this.name = config.name;
    this.altStatName = config.statName;
    this.service = config.service;
    this.#env = env;
    this.#predecessor = predecessor;
    if (predecessor !== null && predecessor.config.statName === config.statName) {
      this.stats = predecessor.stats;
      this.breakers = predecessor.breakers;
      this.breakers.DEFAULT.update(config.circuitBreakers.default);
      this.breakers.HIGH.update(config.circuitBreakers.high);
    } else {
      this.stats = new ClusterStats(env.stats, config.statName);
      const shared = sharedBreakers(env.workers?.counts ?? null, config.name, config.statName);
      this.breakers = {
        DEFAULT: new CircuitBreaker('default', config.circuitBreakers.default, this.stats, shared),
        HIGH: new CircuitBreaker('high', config.circuitBreakers.high, this.stats, shared),
      };
    }
    this.stats.retain();
    this.tls = this.#makeTls(predecessor);
    this.#members = new Membership(this.#balancerFactory(), config.healthyPanicThreshold, this.stats, env.random);
    this.outlier =
      config.outlierDetection === null || isOnDemand(config)
        ? null
        : new OutlierDetector(config.outlierDetection, this, this.stats, env);
    this.#discover(predecessor);
  }

  get total(): number {
    return this.#onDemand === null ? this.#members.total : this.#onDemand.size;
  }
  /** Counts of endpoints, for answers and pages that say why nobody could be picked. */
  get membership(): { total: number; healthy: number; degraded: number; ejected: number } {
    const { total } = this;
    if (this.#onDemand !== null) return { total, healthy: total, degraded: 0, ejected: 0 };
    return {
      total,
      healthy: this.#members.healthy,
      degraded: this.#members.degraded,
      ejected: this.outlier?.ejected ?? 0,
    };
  }
  endpoints(): IterableIterator<UpstreamEndpoint> {
    return this.#onDemand === null ? this.#members.endpoints() : this.#onDemand.endpoints();
  }

  // === picking ===

  /** An endpoint for a request, or null when nobody may take it. */
  pick(context: PickContext): UpstreamEndpoint | null {
    if (this.#onDemand !== null) return this.#pickOnDemand(this.#onDemand, context);
    return this.#members.pick(context);
  }

  #pickOnDemand(endpoints: OnDemandEndpoints, context: PickContext): UpstreamEndpoint | null {
    const { discovery } = this.config;
    if (discovery.kind === 'ORIGINAL_DST') {
      const destination = originalDestination(context, discovery.useHttpHeader);
      if (destination !== null) return endpoints.pick(destination);
      this.stats.count('original_dst_host_invalid');
      return null;
    }
    const destination = forwardDestination(context);
    return destination === null ? null : endpoints.pick(destination, destination.host);
  }

  /** Picks again, up to `maxAttempts` times, while the choice is among `context.avoid`; then takes what comes. */
  pickAvoiding(context: PickContext, maxAttempts: number): UpstreamEndpoint | null {
    const { avoid } = context;
    let endpoint = this.pick(context);
    if (avoid === null) return endpoint;
    for (let i = 0; i < maxAttempts && endpoint !== null && avoid.includes(endpoint); i++)
      endpoint = this.pick(context);
    return endpoint;
  }

  /** The category under which the control plane wants this request dropped; null: it may go on. */
  shouldDrop(random: { int(bound: number): number }): string | null {
    const drops = this.#drops;
    for (let i = 0; i < drops.length; i++) {
      const drop = drops[i]!;
      if (random.int(1_000_000) >= drop.partsPerMillion) continue;
      this.stats.count('upstream_rq_drop_overload');
      this.stats.countStatus(503);
      return drop.category;
    }
    return null;
  }

  // === results ===

  /** The head of a response came. */
  recordResponse(endpoint: UpstreamEndpoint, status: number): void {
    const { outlier } = this;
    if (status >= 500) endpoint.errors++;
    else endpoint.successes++;
    if (outlier === null) return;
    outlier.recordResponse(endpoint, status);
    outlier.recordSuccessLocalOrigin(endpoint);
  }

  /** An attempt ended without a response. What the proxy itself caused does not speak against the endpoint. */
  recordFailure(endpoint: UpstreamEndpoint, failure: AttemptFailure): void {
    if (failure === 'overflow' || failure === 'drained') return;
    endpoint.errors++;
    this.outlier?.recordLocalOriginFailure(endpoint);
  }

  /** An attempt, or the whole request while it was waiting for this endpoint, ran out of time. */
  recordTimeout(endpoint: UpstreamEndpoint): void {
    endpoint.errors++;
    this.outlier?.recordLocalOriginFailure(endpoint);
  }

  // === life ===

  /** Whether it knows its endpoints: requests may be sent here. */
  get warm(): boolean {
    return this.#warm;
  }
  /** Calls back once when it is warm, or closed; at once when it already is. */
  onWarm(callback: () => void): void {
    if (this.#warm || this.#closed) callback();
    else this.#onWarm.push(callback);
  }
  /** Stops waiting for an assignment that does not come (EDS fetch timeout). */
  giveUpWarming(): void {
    this.#warmed();
  }

  /** New endpoints. Objects of addresses that stay are kept, pools of those that left drain. */
  updateAssignment(assignment: LoadAssignment): void {
    if (this.#closed || this.#onDemand !== null || assignment === this.assignment) return;
    this.assignment = assignment;
    this.#drops = assignment.dropOverloads;
    const predecessor = this.#predecessor;
    this.#predecessor = null;
    const samePools = predecessor !== null && connectionPrint(predecessor.config) === connectionPrint(this.config);
    const left = this.#members.update(assignment, (address) => predecessor?.handOver(address, this, samePools));
    for (const endpoint of left) {
      this.outlier?.left(endpoint);
      retire(endpoint);
    }
    if (this.#env.workers && this.outlier !== null) this.#followOthers(this.outlier);
    this.#warmed();
  }

  /** What other workers know of endpoints that are new here. */
  #followOthers(outlier: OutlierDetector): void {
    const before = outlier.ejected;
    for (const endpoint of this.#members.endpoints()) outlier.adopt(endpoint);
    if (outlier.ejected !== before) this.#members.recompute();
  }

  /** Another worker has ejected the endpoint of that address. */
  followEjection(address: string): void {
    for (const endpoint of this.#members.endpoints()) if (endpoint.address === address) this.outlier?.follow(endpoint);
  }

  /** An endpoint was ejected or let back. */
  onHealthChange(_endpoint: UpstreamEndpoint): void {
    this.#members.recompute();
  }

  /** No new requests come here: look-ups stop, idle connections close, busy ones finish their request. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#predecessor = null;
    this.#dns?.close();
    this.tls?.release();
    this.outlier?.close();
    for (const endpoint of this.#onDemand?.close() ?? []) retire(endpoint);
    for (const endpoint of this.#members.endpoints()) retire(endpoint);
    const { DEFAULT, HIGH } = this.breakers;
    this.stats.release(() => DEFAULT.inUse || HIGH.inUse);
    this.#notifyWarm();
  }

  describe(): ClusterDescription {
    return {
      name: this.name,
      statName: this.config.statName,
      origin: this.config.origin,
      discovery: this.config.discovery.kind,
      lbPolicy: this.config.lbPolicy.kind,
      warm: this.#warm,
      thresholds: this.config.circuitBreakers,
      membership: this.membership,
      endpoints: [...this.endpoints()].map((endpoint) => describeEndpoint(endpoint, this.#env.clock.now())),
    };
  }

  /** Gives an endpoint to a successor of this cluster. */
  private handOver(address: string, to: UpstreamCluster, withPool: boolean): UpstreamEndpoint | undefined {
    const endpoint = this.#members.release(address);
    if (endpoint === undefined) return undefined;
    this.outlier?.forget(endpoint);
    if (to.outlier === null) clearEjection(endpoint);
    else to.outlier.adopt(endpoint);
    if (!withPool) {
      endpoint.pool?.drain();
      endpoint.pool = null;
    }
    return endpoint;
  }

  #discover(predecessor: UpstreamCluster | null): void {
    const { discovery } = this.config;
    const same = predecessor !== null && fingerprint(predecessor.config.discovery) === fingerprint(discovery);
    // What is inherited counts in the stats that it was made with.
    const sameStats = predecessor !== null && predecessor.stats === this.stats;
    switch (discovery.kind) {
      case 'STATIC':
        this.updateAssignment(discovery.assignment);
        break;
      case 'EDS':
        if (same && predecessor.assignment !== null) this.updateAssignment(predecessor.assignment);
        break;
      case 'STRICT_DNS':
      case 'LOGICAL_DNS': {
        const publish = (assignment: LoadAssignment): void => this.updateAssignment(assignment);
        const inherited = same && sameStats ? predecessor.#dns : null;
        if (inherited === null) {
          this.#dns = new DnsDiscovery(
            discovery.assignment,
            discovery.dns,
            discovery.kind,
            this.stats,
            this.#env,
            publish,
          );
          this.#dns.start();
          break;
        }
        predecessor!.#dns = null;
        this.#dns = inherited;
        inherited.onAssignment = publish;
        if (inherited.current !== null) publish(inherited.current);
        break;
      }
      case 'ORIGINAL_DST':
      case 'DYNAMIC_FORWARD_PROXY': {
        const inherited = same && sameStats ? predecessor.#onDemand : null;
        if (inherited !== null && connectionPrint(predecessor!.config) === connectionPrint(this.config)) {
          this.#onDemand = inherited;
          predecessor!.#onDemand = null;
        } else {
          const { clock, wheel } = this.#env;
          const limit = discovery.kind === 'ORIGINAL_DST' ? undefined : discovery.maxHosts;
          this.#onDemand = new OnDemandEndpoints(clock, wheel, this.stats, limit);
        }
        this.#warmed();
      }
    }
  }

  /** The predecessor's when the config is the same: it has sessions, and secrets that have come. */
  #makeTls(predecessor: UpstreamCluster | null): ClusterTls | null {
    const { tls = null, socketMatches = [], statName } = this.config;
    if (tls === null && socketMatches.every((match) => match.tls === null)) return null;
    const before = predecessor?.tls ?? null;
    if (
      before !== null &&
      predecessor!.config.statName === statName &&
      tlsPrint(predecessor!.config) === tlsPrint(this.config)
    ) {
      return before.retain();
    }
    return new ClusterTls(tls, socketMatches, statName, this.#env.tls);
  }

  #balancerFactory(): () => Balancer {
    const { kind, config } = this.config.lbPolicy;
    const { balancers, random, log } = this.#env;
    let type = balancers.get(kind);
    let decoded = config;
    if (type === undefined) {
      type = balancers.get('round_robin')!;
      decoded = type.defaults;
      if (!isOnDemand(this.config)) {
        log.error('unknown balancing policy; using round_robin', { cluster: this.config.name, policy: kind });
      }
    }
    const known = type;
    return () => known.create(decoded, random);
  }

  #warmed(): void {
    if (this.#warm) return;
    this.#warm = true;
    this.#notifyWarm();
  }

  #notifyWarm(): void {
    const callbacks = this.#onWarm;
    this.#onWarm = [];
    for (const callback of callbacks) callback();
  }
}

/** Its callers name the endpoints. */
function isOnDemand({ discovery }: Cluster): boolean {
  return discovery.kind === 'ORIGINAL_DST' || discovery.kind === 'DYNAMIC_FORWARD_PROXY';
}

/** An endpoint that left: it finishes what it has. */
function retire(endpoint: UpstreamEndpoint): void {
  endpoint.present = false;
  endpoint.pool?.drain();
}

/**
 * What of a config concerns connections that are open: when it is the same, they are kept. Timeouts and limits are
 * not in it, because pools ask the newest config for those.
 */
function connectionPrint(config: Cluster): string {
  return fingerprint([
    config.protocol,
    config.tcpKeepalive,
    config.bindAddresses,
    config.autoSni ?? null,
    tlsPrint(config),
  ]);
}
