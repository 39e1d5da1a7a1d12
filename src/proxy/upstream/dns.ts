import type { Clock } from '../../base/clock.ts';
import { errorCode, messageOf } from '../../base/errors.ts';
import { isIP, isIPv4 } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { type TimerWheel, WheelTimer } from '../../base/timer-wheel.ts';
import type { DnsSettings } from '../../model/cluster.ts';
import type { LoadAssignment } from '../../model/endpoint.ts';
import type { ClusterStats } from './stats.ts';

/** Looks a name up: IPv4 and IPv6 addresses in the resolver's order. Rejects when there is none. */
export type Resolver = (name: string) => Promise<readonly string[]>;

/** The system's resolver (getaddrinfo): it knows /etc/hosts, search domains and nsswitch, as other programs do. */
export const systemResolver: Resolver = (name) =>
  new Promise((resolve, reject) => {
    // Loaded by the first name: most sidecars are given addresses.
    process.getBuiltinModule('node:dns').lookup(name, { all: true, order: 'verbatim' }, (error, addresses) => {
      if (error !== null) reject(error);
      else resolve(addresses.map((entry) => entry.address));
    });
  });

interface DnsEnvironment {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly random: Random;
  readonly log: Logger;
  readonly resolve: Resolver;
}

/** One name that is looked up again and again; the last good answer stands until a better one. */
interface Target {
  readonly name: string;
  readonly timer: WheelTimer;
  addresses: readonly string[];
  /** It was looked up at least once, with success or not. */
  settled: boolean;
  /** Failures in a row. */
  failures: number;
}

/**
 * Turns an assignment of names into assignments of addresses and publishes a new one whenever an answer changes.
 * STRICT_DNS takes every address of a name, LOGICAL_DNS one: the one it has for as long as answers contain it.
 * The first is published when each name was looked up once, whether or not it resolved.
 */
export class DnsDiscovery {
  /** Hears of every new assignment; replaced when another cluster object takes the discovery over. */
  onAssignment: (assignment: LoadAssignment) => void;
  /** What was published last; null before the first. */
  current: LoadAssignment | null = null;
  readonly #assignment: LoadAssignment;
  readonly #settings: DnsSettings;
  readonly #logical: boolean;
  readonly #stats: ClusterStats;
  readonly #env: DnsEnvironment;
  readonly #targets = new Map<string, Target>();
  #closed = false;

  constructor(
    assignment: LoadAssignment,
    settings: DnsSettings,
    kind: 'STRICT_DNS' | 'LOGICAL_DNS',
    stats: ClusterStats,
    env: DnsEnvironment,
    onAssignment: (assignment: LoadAssignment) => void,
  ) {
    this.#assignment = assignment;
    this.#settings = settings;
    this.#logical = kind === 'LOGICAL_DNS';
    this.#stats = stats;
    this.#env = env;
    this.onAssignment = onAssignment;
  }

  /** Begins; publishes before it returns when there is nothing to look up. */
  start(): void {
    for (const group of this.#assignment.localities) {
      for (const endpoint of group.endpoints) {
        const name = endpoint.address.host;
        if (literal(name, this.#settings.lookupFamily) !== null || this.#targets.has(name)) continue;
        const timer = new WheelTimer(() => this.#lookUp(target));
        const target: Target = { name, timer, addresses: [], settled: false, failures: 0 };
        this.#targets.set(name, target);
      }
    }
    if (this.#targets.size === 0) this.#publish();
    for (const target of this.#targets.values()) this.#lookUp(target);
  }

  close(): void {
    this.#closed = true;
    for (const target of this.#targets.values()) this.#env.wheel.release(target.timer);
  }

  #lookUp(target: Target): void {
    this.#stats.count('update_attempt');
    this.#env.resolve(target.name).then(
      (answer) => this.#answered(target, answer),
      (error: unknown) => this.#failed(target, errorCode(error) ?? messageOf(error)),
    );
  }

  #answered(target: Target, answer: readonly string[]): void {
    if (this.#closed) return;
    const addresses = choose(answer, this.#settings.lookupFamily);
    if (addresses.length === 0) {
      this.#stats.count('update_empty');
      this.#failed(target, `no address of family ${this.#settings.lookupFamily}`);
      return;
    }
    const { random, wheel, log } = this.#env;
    const { refreshMs, jitterMs } = this.#settings;
    this.#stats.count('update_success');
    if (target.failures > 0) log.info('name resolves again', { name: target.name });
    target.failures = 0;
    wheel.arm(target.timer, refreshMs + random.next() * jitterMs);
    const wanted = this.#logical ? [stay(target.addresses[0], addresses)] : [...new Set(addresses)].sort();
    const changed = !target.settled || wanted.join() !== target.addresses.join();
    target.addresses = wanted;
    target.settled = true;
    if (changed) this.#publish();
    else this.#stats.count('update_no_rebuild');
  }

  #failed(target: Target, reason: string): void {
    if (this.#closed) return;
    const { random, wheel, log } = this.#env;
    const { failureBaseMs, failureMaxMs } = this.#settings;
    this.#stats.count('update_failure');
    if (target.failures === 0) {
      log.warn('name does not resolve', {
        name: target.name,
        reason,
        keeping: target.addresses.length === 0 ? undefined : target.addresses.join(),
      });
    }
    target.failures++;
    const cap = Math.min(failureMaxMs, failureBaseMs * 2 ** Math.min(30, target.failures - 1));
    wheel.arm(target.timer, cap / 2 + (random.next() * cap) / 2);
    if (target.settled) return;
    target.settled = true;
    this.#publish();
  }

  #publish(): void {
    for (const target of this.#targets.values()) if (!target.settled) return;
    this.current = this.#resolved();
    this.onAssignment(this.current);
  }

  #resolved(): LoadAssignment {
    const localities = this.#assignment.localities.map((group) => ({
      ...group,
      endpoints: group.endpoints.flatMap((endpoint) => {
        const { host, port } = endpoint.address;
        const hosts = literal(host, this.#settings.lookupFamily) ?? this.#targets.get(host)!.addresses;
        const hostname = endpoint.hostname === '' ? host : endpoint.hostname;
        return hosts.map((address) => ({ ...endpoint, hostname, address: { host: address, port } }));
      }),
    }));
    return { ...this.#assignment, localities };
  }
}

/** Addresses that need no look-up; null when one is needed. */
function literal(name: string, family: DnsSettings['lookupFamily']): readonly string[] | null {
  if (isIP(name) !== 0) return [name];
  if (name !== 'localhost') return null;
  if (family === 'V6_ONLY') return ['::1'];
  return family === 'ALL' ? ['127.0.0.1', '::1'] : ['127.0.0.1'];
}

/** The addresses that the cluster wants, in the resolver's order. AUTO prefers IPv6, as Envoy does. */
function choose(answer: readonly string[], family: DnsSettings['lookupFamily']): readonly string[] {
  const v4 = answer.filter((address) => isIPv4(address));
  const v6 = answer.filter((address) => !isIPv4(address));
  switch (family) {
    case 'V4_ONLY':
      return v4;
    case 'V6_ONLY':
      return v6;
    case 'V4_PREFERRED':
      return v4.length > 0 ? v4 : v6;
    case 'AUTO':
      return v6.length > 0 ? v6 : v4;
    case 'ALL':
      return answer;
  }
}

function stay(present: string | undefined, answer: readonly string[]): string {
  return present !== undefined && answer.includes(present) ? present : answer[0]!;
}
