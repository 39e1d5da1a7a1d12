import type { Clock } from '../../base/clock.ts';
import { type TimerWheel, WheelTimer } from '../../base/timer-wheel.ts';
import type { StatStore } from '../telemetry/metrics/store.ts';

/** A request that is held until its host is there, or known not to be. */
export interface HostWaiter {
  /** Changes when it is another request. */
  readonly generation: number;
  hostAnswered(): void;
}

/** A route table, as far as its name. */
export interface NamedTable {
  readonly config: { readonly name: string };
}

/** Where requests wait for hosts that are not here yet. */
export interface HostQueue {
  /** Whether the request waits: then `waiter.hostAnswered()` is called later, once. */
  wait(table: NamedTable, authority: string, waiter: HostWaiter): boolean;
  /** Tables have changed: whoever waits may have its host now. */
  tablesChanged(): void;
  close(): void;
}

/** Route tables by name, as far as who waits for hosts looks into them. */
export interface HostTables {
  get(routes: string): { readonly table: HostTable | null } | undefined;
}
export interface HostTable {
  /** No host that is here is meant for this one in particular. */
  lacks(authority: string): boolean;
  readonly hostIndex: { find(authority: string): FoundHost | null };
}
interface FoundHost {
  readonly use: { seen: boolean } | null;
}

/** Threads that use the tables' hosts, when it is not this one. */
export interface HostUsers {
  /** Resolves when `use` says of each host whether any of them has used it since they were asked last. Never rejects. */
  look(): Promise<void>;
  /** These are not remembered any more: neither that they are here nor that they are not. */
  forgotten(names: readonly string[]): void;
}

/** Who knows the hosts: discovery. */
export interface HostSource {
  readonly connected: boolean;
  /** Sets the hosts that are wanted, all of them each time, as `<route configuration>/<host>`. */
  ask(names: ReadonlySet<string>): void;
}

export interface HostLimits {
  /** A request waits no longer than this. */
  readonly waitMs?: number;
  /** A host that no request was for in this time is let go. */
  readonly idleMs?: number;
  /** For how long it is remembered that there is no such host. */
  readonly absentMs?: number;
  /** Hosts that are remembered at most. */
  readonly maxHosts?: number;
  /** Requests that wait at most. */
  readonly maxWaiting?: number;
}

type State = 'asking' | 'here' | 'late' | 'absent';

interface Entry {
  readonly routes: string;
  readonly host: string;
  /** `late`: nobody waits for it any more, but it may come. */
  state: State;
  /** When it came into this state, or was last seen in use. */
  since: number;
  readonly waiters: { readonly waiter: HostWaiter; readonly generation: number }[];
}

const SWEEP_MS = 30_000;
/** Longer than any host with its port. */
const MAX_HOST = 300;

/** Requests that wait at most. */
export const MAX_WAITING = 1000;

/** The host that is to be asked for; null: it can be none. */
export function askableHost(authority: string): string | null {
  if (authority === '' || authority.length > MAX_HOST || authority.includes('/')) return null;
  return authority.toLowerCase();
}

/**
 * Virtual hosts on demand (Envoy's `envoy.filters.http.on_demand` with VHDS): a request for a host that is not here
 * waits while the control server is asked, a bounded time, and goes on by what there is then. Hosts that nobody calls
 * any more are let go, and with them whatever the server sent for their sake. Costs a request whose host is here nothing.
 */
export class HostRequests implements HostQueue {
  readonly #clock: Clock;
  readonly #wheel: TimerWheel;
  readonly #stats: StatStore;
  readonly #limits: Required<HostLimits>;
  readonly #entries = new Map<string, Entry>();
  readonly #timeout = new WheelTimer(() => this.#giveUp());
  readonly #sweep = new WheelTimer(() => void this.#sweepUnused());
  readonly #counts: Readonly<Record<'asked' | 'absent' | 'timeout' | 'overflow' | 'idle', number>>;
  readonly #hosts: number;
  #waiting = 0;
  #source: HostSource | null = null;
  #tables: HostTables = new Map();
  #users: HostUsers | null = null;
  #changed = false;
  #forgotten: string[] = [];

  constructor(clock: Clock, wheel: TimerWheel, stats: StatStore, limits: HostLimits = {}) {
    this.#clock = clock;
    this.#wheel = wheel;
    this.#stats = stats;
    this.#limits = {
      waitMs: 2000,
      idleMs: 10 * 60_000,
      absentMs: 60_000,
      maxHosts: 10_000,
      maxWaiting: MAX_WAITING,
      ...limits,
    };
    const count = (name: string): number =>
      stats.counter('envoy_on_demand_hosts', { event: name }, `on_demand.${name}`);
    this.#counts = {
      asked: count('asked'),
      absent: count('absent'),
      timeout: count('timeout'),
      overflow: count('overflow'),
      idle: count('idle'),
    };
    this.#hosts = stats.gauge('envoy_on_demand_hosts_active', {}, 'on_demand.hosts_active');
  }

  /** Asks `source` from now on, and finds tables there, which `users` use; null: this thread does. */
  follow(source: HostSource, tables: HostTables, users: HostUsers | null = null): void {
    this.#source = source;
    this.#tables = tables;
    this.#users = users;
  }

  wait({ config: { name: routes } }: NamedTable, authority: string, waiter: HostWaiter): boolean {
    const source = this.#source;
    const host = askableHost(authority);
    if (source === null || host === null) return false;
    const key = `${routes}/${host}`;
    const entry = this.#entries.get(key) ?? this.#add(key, routes, host, source.connected ? 'asking' : 'late');
    if (entry === null) return false;
    // The server took it away: it may have another for this name.
    if (entry.state === 'here' && source.connected) this.#wait(entry);
    if (entry.state !== 'asking') return false;
    if (this.#waiting >= this.#limits.maxWaiting) {
      this.#stats.add(this.#counts.overflow, 1);
      return false;
    }
    this.#waiting++;
    entry.waiters.push({ waiter, generation: waiter.generation });
    return true;
  }

  /** Whether a host that is not here is known not to come soon: until {@link HostUsers.forgotten} names it. */
  isKnownAbsent(name: string): boolean {
    const state = this.#entries.get(name)?.state;
    return state === 'absent' || state === 'late';
  }

  /** Hosts that an earlier process asked for and that are here again. */
  restore(names: readonly string[]): void {
    for (const name of names) {
      const slash = name.lastIndexOf('/');
      if (slash > 0 && !this.#entries.has(name)) this.#add(name, name.slice(0, slash), name.slice(slash + 1), 'here');
    }
  }

  /** The server has said that these do not exist. */
  absent(names: readonly string[]): void {
    for (const name of names) {
      const entry = this.#entries.get(name);
      if (entry?.state !== 'asking') continue;
      this.#stats.add(this.#counts.absent, 1);
      this.#settle(entry, 'absent');
    }
  }

  tablesChanged(): void {
    for (const entry of this.#entries.values()) {
      if (entry.state === 'here' || this.#hostOf(entry) === null) continue;
      this.#settle(entry, 'here');
    }
  }

  close(): void {
    this.#wheel.release(this.#timeout);
    this.#wheel.release(this.#sweep);
    this.#entries.clear();
  }

  /** Null when there are too many, and all are in use or asked for. */
  #add(key: string, routes: string, host: string, state: State): Entry | null {
    if (this.#entries.size >= this.#limits.maxHosts && !this.#evictOne()) {
      this.#stats.add(this.#counts.overflow, 1);
      return null;
    }
    const entry: Entry = { routes, host, state, since: this.#clock.now(), waiters: [] };
    this.#entries.set(key, entry);
    this.#stats.add(this.#counts.asked, 1);
    if (state === 'asking') this.#wait(entry);
    if (!this.#sweep.isArmed) this.#wheel.arm(this.#sweep, SWEEP_MS);
    this.#askSoon();
    return entry;
  }

  #wait(entry: Entry): void {
    entry.state = 'asking';
    entry.since = this.#clock.now();
    if (!this.#timeout.isArmed) this.#wheel.arm(this.#timeout, this.#limits.waitMs);
  }

  /** Hosts that one turn of reads asks for go out together. */
  #askSoon(): void {
    this.#stats.set(this.#hosts, this.#entries.size);
    if (this.#changed) return;
    this.#changed = true;
    queueMicrotask(() => {
      this.#changed = false;
      this.#source?.ask(new Set(this.#entries.keys()));
      if (this.#forgotten.length === 0) return;
      this.#users?.forgotten(this.#forgotten);
      this.#forgotten = [];
    });
  }

  #settle(entry: Entry, state: State): void {
    entry.state = state;
    entry.since = this.#clock.now();
    const waiters = entry.waiters.splice(0);
    this.#waiting -= waiters.length;
    for (const { waiter, generation } of waiters) if (waiter.generation === generation) waiter.hostAnswered();
  }

  #giveUp(): void {
    const now = this.#clock.now();
    let next = Number.POSITIVE_INFINITY;
    for (const entry of this.#entries.values()) {
      if (entry.state !== 'asking') continue;
      const left = entry.since + this.#limits.waitMs - now;
      if (left > 0) {
        next = Math.min(next, left);
        continue;
      }
      this.#stats.add(this.#counts.timeout, 1);
      this.#settle(entry, 'late');
    }
    if (next < Number.POSITIVE_INFINITY) this.#wheel.arm(this.#timeout, next);
  }

  async #sweepUnused(): Promise<void> {
    if (this.#users !== null) await this.#users.look();
    this.#letGo();
  }

  #letGo(): void {
    const now = this.#clock.now();
    const seen = new Set<FoundHost>();
    for (const entry of this.#entries.values()) {
      const host = this.#hostOf(entry);
      if (host?.use?.seen !== true) continue;
      entry.since = now;
      seen.add(host);
    }
    for (const { use } of seen) if (use !== null) use.seen = false;
    let gone = false;
    for (const [key, { state, since }] of this.#entries) {
      const limit = state === 'here' ? this.#limits.idleMs : this.#limits.absentMs;
      if (state === 'asking' || now - since < limit) continue;
      if (state === 'here') this.#stats.add(this.#counts.idle, 1);
      this.#forget(key);
      gone = true;
    }
    if (gone) this.#askSoon();
    if (this.#entries.size > 0) this.#wheel.arm(this.#sweep, SWEEP_MS);
  }

  /** The oldest of those that there are not. */
  #evictOne(): boolean {
    for (const [key, { state }] of this.#entries) {
      if (state !== 'absent' && state !== 'late') continue;
      this.#forget(key);
      return true;
    }
    return false;
  }

  /** Whoever calls this asks anew soon. */
  #forget(key: string): void {
    this.#entries.delete(key);
    if (this.#users !== null) this.#forgotten.push(key);
  }

  /** The virtual host that is meant by it; null while there is none. */
  #hostOf({ routes, host }: Entry): FoundHost | null {
    const table = this.#tables.get(routes)?.table ?? null;
    return table === null || table.lacks(host) ? null : table.hostIndex.find(host);
  }
}
