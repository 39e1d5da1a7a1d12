import type { Random } from '../../base/random.ts';
import { formatAddress } from '../../model/address.ts';
import type { Endpoint, LoadAssignment, LocalityEndpoints } from '../../model/endpoint.ts';
import { eyeballsOf, UpstreamEndpoint } from './endpoint.ts';
import { fingerprint } from './fingerprint.ts';
import type { Balancer, PickContext, Picker } from './lb/balancer.ts';
import { type LoadShares, splitLoad } from './priority.ts';
import type { ClusterStats } from './stats.ts';

/** A list of endpoints and the picker over it, kept while the list stays the same. */
class Slot {
  readonly #balancer: Balancer;
  #endpoints: readonly UpstreamEndpoint[] = [];
  picker: Picker | null = null;

  constructor(balancer: Balancer) {
    this.#balancer = balancer;
  }
  set(endpoints: readonly UpstreamEndpoint[], weightsChanged: boolean): void {
    const old = this.#endpoints;
    if (!weightsChanged && this.picker !== null && old.length === endpoints.length) {
      if (old.every((endpoint, i) => endpoint === endpoints[i])) return;
    }
    this.#endpoints = endpoints;
    this.picker = endpoints.length === 0 ? null : this.#balancer.update(endpoints);
  }
}

/** One priority level: who is in it, and a picker for each of the ways it may be used. */
class Level {
  all: UpstreamEndpoint[] = [];
  readonly healthy: Slot;
  readonly degraded: Slot;
  readonly everybody: Slot;
  healthyCount = 0;
  degradedCount = 0;

  constructor(balancer: () => Balancer) {
    this.healthy = new Slot(balancer());
    this.degraded = new Slot(balancer());
    this.everybody = new Slot(balancer());
  }
}

/** One of the lists that traffic is split over. */
interface Target {
  /** Shares summed up to and including this one, percent. */
  readonly upTo: number;
  readonly picker: Picker | null;
  readonly panic: boolean;
}

/**
 * The endpoints of a cluster, by address and by priority, and the choice among them. The slow side calls `update`
 * and `recompute`; `pick` reads what they published.
 */
export class Membership {
  readonly #stats: ClusterStats;
  readonly #random: Random;
  readonly #balancer: () => Balancer;
  readonly #panicThreshold: number;
  readonly #byAddress = new Map<string, UpstreamEndpoint>();
  #levels: Level[] = [];
  #overprovisioningFactor = 140;
  /** The only target, when there is but one: the common case needs no draw. */
  #single: Target = NOBODY;
  #targets: readonly Target[] | null = null;
  healthy = 0;
  degraded = 0;

  constructor(balancer: () => Balancer, panicThreshold: number, stats: ClusterStats, random: Random) {
    this.#balancer = balancer;
    this.#panicThreshold = panicThreshold;
    this.#stats = stats;
    this.#random = random;
  }

  get total(): number {
    return this.#byAddress.size;
  }
  endpoints(): IterableIterator<UpstreamEndpoint> {
    return this.#byAddress.values();
  }

  pick(context: PickContext): UpstreamEndpoint | null {
    const target = this.#targets === null ? this.#single : this.#draw(this.#targets);
    if (target.panic) this.#stats.store.inc(this.#stats.lbHealthyPanic);
    return target.picker === null ? null : target.picker.pick(context);
  }

  /** Takes an endpoint out so that another membership can have it. */
  release(address: string): UpstreamEndpoint | undefined {
    const endpoint = this.#byAddress.get(address);
    if (endpoint !== undefined) this.#byAddress.delete(address);
    return endpoint;
  }

  /**
   * Makes this the membership that `assignment` says. Objects of addresses that stay are kept; new addresses are
   * asked from `adopt` before they are made. Gives back those that left.
   */
  update(assignment: LoadAssignment, adopt: (address: string) => UpstreamEndpoint | undefined): UpstreamEndpoint[] {
    let changed = assignment.overprovisioningFactor !== this.#overprovisioningFactor;
    this.#overprovisioningFactor = assignment.overprovisioningFactor;
    const before = this.#byAddress.size;
    const byLevel: UpstreamEndpoint[][] = [];
    const seen = new Set<string>();
    let reweighted = false;
    let joined = 0;
    for (const group of assignment.localities) {
      while (byLevel.length <= group.priority) byLevel.push([]);
      for (const config of group.endpoints) {
        const address = formatAddress(config.address);
        if (seen.has(address)) continue;
        seen.add(address);
        let endpoint = this.#byAddress.get(address);
        if (endpoint === undefined) {
          joined++;
          endpoint = adopt(address) ?? new UpstreamEndpoint(config, group.priority, group.locality);
          this.#byAddress.set(address, endpoint);
        }
        if (endpoint.weight !== config.weight) reweighted = true;
        if (apply(endpoint, config, group)) changed = true;
        byLevel[group.priority]!.push(endpoint);
      }
    }
    const left: UpstreamEndpoint[] = [];
    if (before + joined > seen.size) {
      for (const [address, endpoint] of this.#byAddress) {
        if (seen.has(address)) continue;
        this.#byAddress.delete(address);
        left.push(endpoint);
      }
    }
    if (changed || joined > 0 || left.length > 0 || byLevel.length !== this.#levels.length) {
      if (joined > 0 || left.length > 0) this.#stats.store.inc(this.#stats.membershipChange);
      while (this.#levels.length < byLevel.length) this.#levels.push(new Level(this.#balancer));
      this.#levels.length = byLevel.length;
      byLevel.forEach((endpoints, priority) => {
        this.#levels[priority]!.all = endpoints;
      });
      this.recompute(reweighted);
    }
    return left;
  }

  /** Publishes new pickers after the health of an endpoint, or (`reweighted`) a weight, changed. */
  recompute(reweighted = false): void {
    this.healthy = 0;
    this.degraded = 0;
    for (const level of this.#levels) {
      const healthy: UpstreamEndpoint[] = [];
      const degraded: UpstreamEndpoint[] = [];
      for (const endpoint of level.all) {
        if (!endpoint.isHealthy) continue;
        (endpoint.health === 'DEGRADED' ? degraded : healthy).push(endpoint);
      }
      level.healthyCount = healthy.length;
      level.degradedCount = degraded.length;
      this.healthy += healthy.length;
      this.degraded += degraded.length;
      level.healthy.set(healthy, reweighted);
      level.degraded.set(degraded, reweighted);
    }
    const shares = splitLoad(
      this.#levels.map((level) => ({
        total: level.all.length,
        healthy: level.healthyCount,
        degraded: level.degradedCount,
      })),
      this.#overprovisioningFactor,
      this.#panicThreshold,
    );
    this.#publish(shares, reweighted);
    const { store, membershipTotal, membershipHealthy, membershipDegraded } = this.#stats;
    store.set(membershipTotal, this.total);
    store.set(membershipHealthy, this.healthy);
    store.set(membershipDegraded, this.degraded);
  }

  #publish(shares: LoadShares, reweighted: boolean): void {
    const targets: Target[] = [];
    let upTo = 0;
    const add = (share: number, picker: Picker | null, panic: boolean): void => {
      if (share <= 0) return;
      upTo += share;
      targets.push({ upTo, picker, panic });
    };
    this.#levels.forEach((level, i) => {
      const panic = shares.panic[i]!;
      if (panic) level.everybody.set(level.all, reweighted);
      add(shares.healthy[i]!, panic ? level.everybody.picker : level.healthy.picker, panic);
    });
    this.#levels.forEach((level, i) => {
      const panic = shares.panic[i]!;
      add(shares.degraded[i]!, panic ? level.everybody.picker : level.degraded.picker, panic);
    });
    this.#single = targets[0] ?? NOBODY;
    this.#targets = targets.length > 1 ? targets : null;
  }

  #draw(targets: readonly Target[]): Target {
    const point = this.#random.int(100);
    for (const target of targets) if (point < target.upTo) return target;
    return targets[targets.length - 1]!;
  }
}

const NOBODY: Target = { upTo: 100, picker: null, panic: false };

/** Gives an endpoint what config says of it now; true when that matters to picking. */
function apply(endpoint: UpstreamEndpoint, config: Endpoint, group: LocalityEndpoints): boolean {
  const changed =
    endpoint.weight !== config.weight || endpoint.health !== config.health || endpoint.priority !== group.priority;
  endpoint.weight = config.weight;
  endpoint.health = config.health;
  endpoint.priority = group.priority;
  endpoint.locality = group.locality;
  endpoint.eyeballs = eyeballsOf(config, endpoint.eyeballs);
  endpoint.hostname = config.hostname;
  endpoint.workload = config.workload;
  const socketMatch = config.socketMatch ?? null;
  // Connections made by another transport socket serve no new request.
  if (socketMatch !== endpoint.socketMatch && fingerprint(socketMatch) !== fingerprint(endpoint.socketMatch)) {
    endpoint.pool?.drain();
    endpoint.pool = null;
  }
  endpoint.socketMatch = socketMatch;
  return changed;
}
