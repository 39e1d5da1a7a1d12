import { readFileSync } from 'node:fs';
import { loadCLibrary } from '../../base/c-library.ts';
import type { Clock, TimerHandle } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { type Count, LocalCount, SharedCount, type SharedCounts } from '../../base/shared-counts.ts';
import type { Listener as ListenerConfig } from '../../model/listener.ts';
import type { OverloadAction, OverloadActionName, OverloadConfig, ResourceMonitor } from '../../model/overload.ts';
import type { OverloadState } from '../http/overload-state.ts';
import { type Admission, Verdict } from '../listener/admission.ts';
import type { StatStore } from '../telemetry/metrics/store.ts';

/** What the manager asks of the process; tests give their own. */
export interface OverloadProbes {
  /** Bytes in use: heap and buffers. */
  heapBytes(): number;
  /** Frees what nobody refers to. */
  collectGarbage(): void;
  readFile(path: string): string;
  /** How many descriptors the process may have open. */
  descriptors(): number;
  /** The worst delay of all threads' event loops since they last said, ms, of which this one's is `own`. */
  delayMs?(own: number): number;
}

interface OverloadParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly stats: StatStore;
  /** What workers have in common; absent: this thread is the only one. */
  readonly workers?: { readonly counts: SharedCounts } | null;
}

/** How often the delay of the event loop is sampled; a refresh takes the worst since the last. */
const SAMPLE_MS = 100;
/** A full collection takes tens of milliseconds: not more often, however short memory is. */
const COLLECT_EVERY_MS = 10_000;
/** Of the descriptors: for listening sockets, files, the admin port and the control server. */
const OWN_DESCRIPTORS = 64;

interface Monitor {
  readonly config: ResourceMonitor;
  readonly gauge: number;
  readonly failures: number;
  /** The lowest pressure at which something happens. */
  readonly lowest: number;
  pressure: number;
}

interface Action {
  readonly config: OverloadAction;
  readonly active: number;
  readonly percent: number;
  /** 0 to 1. */
  value: number;
}

/**
 * Keeps the process alive when it gets more than it can take: it watches resources, and sheds by what their pressure
 * says (envoy.config.overload.v3). Without a config there is still a limit on connections, by the descriptors.
 */
export class OverloadManager implements Admission {
  /** Read by connection managers. */
  readonly state: OverloadState & { requests: number; keepAlive: number } = { requests: 0, keepAlive: 0 };
  /** Called when held connections may be served. */
  onRelief: (() => void) | null = null;
  readonly #parts: OverloadParts;
  readonly #probes: OverloadProbes;
  readonly #refreshMs: number;
  readonly #monitors: readonly Monitor[];
  readonly #actions: readonly Action[];
  readonly #maxConnections: number;
  /** The limit is our own guess. */
  readonly #guessed: boolean;
  readonly #open: Count;
  #reject = 0;
  #hold = false;
  #warned = false;
  #collectedAt = Number.NEGATIVE_INFINITY;
  #delayMs = 0;
  #refresh: TimerHandle | null = null;
  #sample: TimerHandle | null = null;

  constructor(config: OverloadConfig | null, parts: OverloadParts, probes: OverloadProbes = processProbes()) {
    this.#parts = parts;
    this.#probes = probes;
    const { stats, workers = null } = parts;
    this.#open = workers === null ? new LocalCount() : new SharedCount(workers.counts.counters('connections', 1));
    const actions = config?.actions ?? [];
    this.#refreshMs = config?.refreshMs ?? 0;
    this.#actions = actions.map((action) => ({
      config: action,
      active: gauge(stats, action.name, 'active'),
      percent: gauge(stats, action.name, 'scale_percent'),
      value: 0,
    }));
    this.#monitors = (config?.monitors ?? []).map((monitor) => ({
      config: monitor,
      gauge: gauge(stats, monitor.name, 'pressure'),
      failures: stats.counter(statName(monitor.name, 'failed_updates'), {}, `overload.${monitor.name}.failed_updates`),
      lowest: lowestTrigger(actions, monitor.name),
      pressure: 0,
    }));
    const limits = (config?.monitors ?? []).flatMap((monitor) => (monitor.kind === 'connections' ? [monitor.max] : []));
    this.#guessed = limits.length === 0;
    this.#maxConnections = this.#guessed
      ? Math.max(1, Math.floor((probes.descriptors() - OWN_DESCRIPTORS) / 2))
      : Math.min(...limits);
  }

  get maxConnections(): number {
    return this.#maxConnections;
  }
  get connections(): number {
    return this.#open.sum;
  }

  /** Begins to watch. */
  start(): void {
    if (!this.#guessed) this.#warnOfDescriptors();
    if (this.#monitors.length === 0) return;
    this.#armRefresh();
    if (this.#monitors.some(({ config }) => config.kind === 'event-loop-delay')) this.#armSample();
  }
  close(): void {
    this.#refresh?.cancel();
    this.#sample?.cancel();
  }

  // === Admission ===

  judge(config: ListenerConfig): Verdict {
    if (this.#open.sum >= this.#maxConnections && !config.ignoreGlobalConnLimit) {
      this.#warnOfLimit();
      return Verdict.Overflow;
    }
    if (config.bypassOverloadManager) return Verdict.Serve;
    if (this.#reject > 0 && this.#parts.random.next() < this.#reject) return Verdict.Reject;
    return this.#hold ? Verdict.Hold : Verdict.Serve;
  }
  opened(): void {
    this.#open.take();
  }
  closed(): void {
    this.#open.release();
  }

  /** Once: each connection that is refused is counted, not logged. */
  #warnOfLimit(): void {
    if (this.#warned) return;
    this.#warned = true;
    const why = this.#guessed
      ? `what ${this.#probes.descriptors()} descriptors allow, with an upstream connection for each: raise the limit (ulimit -n), or set one in overload_manager (envoy.resource_monitors.global_downstream_max_connections)`
      : 'set by overload_manager';
    this.#parts.log.warn(
      `the limit of ${this.#maxConnections} client connections is reached, more are refused; it is ${why}`,
    );
  }

  /** The kernel ends connections beyond, unseen, and the requests of others are 503, since upstreams cannot be dialled. */
  #warnOfDescriptors(): void {
    const limit = this.#probes.descriptors();
    if (this.#maxConnections <= limit - OWN_DESCRIPTORS) return;
    this.#parts.log.warn(
      `overload_manager allows ${this.#maxConnections} client connections, and the process may have ${limit} descriptors open: raise that limit (ulimit -n)`,
    );
  }

  // === watching ===

  #armRefresh(): void {
    this.#refresh = this.#parts.clock.after(this.#refreshMs, () => {
      this.refresh();
      this.#armRefresh();
    });
  }

  #armSample(): void {
    const { clock } = this.#parts;
    const due = clock.now() + SAMPLE_MS;
    this.#sample = clock.after(SAMPLE_MS, () => {
      this.#delayMs = Math.max(this.#delayMs, clock.now() - due);
      this.#armSample();
    });
  }

  /** Measures every resource and sets every action by it. */
  refresh(): void {
    const { stats } = this.#parts;
    for (const monitor of this.#monitors) {
      monitor.pressure = this.#measure(monitor);
      stats.set(monitor.gauge, Math.round(monitor.pressure * 100));
    }
    this.#delayMs = 0;
    for (const action of this.#actions) this.#set(action);
    const of = (...names: OverloadActionName[]): number =>
      Math.max(0, ...this.#actions.filter(({ config }) => names.includes(config.name)).map(({ value }) => value));
    this.state.requests = of(
      'envoy.overload_actions.stop_accepting_requests',
      'envoy.load_shed_points.http_connection_manager_decode_headers',
    );
    this.state.keepAlive = of('envoy.overload_actions.disable_http_keepalive');
    this.#reject = of(
      'envoy.overload_actions.reject_incoming_connections',
      'envoy.load_shed_points.tcp_listener_accept',
    );
    if (of('envoy.overload_actions.shrink_heap') > 0) this.#collect();
    const held = this.#hold;
    this.#hold = of('envoy.overload_actions.stop_accepting_connections') >= 1;
    if (held && !this.#hold) this.onRelief?.();
  }

  #set(action: Action): void {
    const { stats, log } = this.#parts;
    const { name, triggers } = action.config;
    let value = 0;
    let cause: Monitor | undefined;
    for (const { monitor, from, to } of triggers) {
      const found = this.#monitors.find(({ config }) => config.name === monitor);
      const reached = scaled(found?.pressure ?? 0, from, to);
      if (reached <= value) continue;
      value = reached;
      cause = found;
    }
    if (value > 0 && action.value === 0)
      log.warn(`overload: ${name} is on`, { because: cause?.config.name, pressure: percentOf(cause?.pressure ?? 0) });
    else if (value === 0 && action.value > 0) log.info(`overload: ${name} is off`);
    action.value = value;
    stats.set(action.active, value >= 1 ? 1 : 0);
    stats.set(action.percent, Math.round(value * 100));
  }

  #measure(monitor: Monitor): number {
    const { config } = monitor;
    switch (config.kind) {
      case 'heap': {
        const before = this.#probes.heapBytes() / config.maxBytes;
        // Garbage is no pressure; and what is shed allocates nothing, so that nobody else would collect it.
        return before >= monitor.lowest && this.#collect() ? this.#probes.heapBytes() / config.maxBytes : before;
      }
      case 'connections':
        return this.#open.sum / config.max;
      case 'event-loop-delay':
        return (this.#probes.delayMs?.(this.#delayMs) ?? this.#delayMs) / config.maxMs;
      case 'file':
        return this.#read(monitor, config.path);
    }
  }

  #read(monitor: Monitor, path: string): number {
    try {
      const pressure = Number(this.#probes.readFile(path).trim());
      if (pressure >= 0 && pressure <= 1) return pressure;
    } catch {
      // Counted below; the last value holds, as in Envoy.
    }
    this.#parts.stats.inc(monitor.failures);
    return monitor.pressure;
  }

  #collect(): boolean {
    const now = this.#parts.clock.now();
    if (now - this.#collectedAt < COLLECT_EVERY_MS) return false;
    this.#collectedAt = now;
    this.#probes.collectGarbage();
    return true;
  }
}

/** A threshold (`from` and `to` the same) is reached by what equals it. */
function scaled(pressure: number, from: number, to: number): number {
  if (pressure >= to) return 1;
  return pressure <= from ? 0 : (pressure - from) / (to - from);
}

function lowestTrigger(actions: readonly OverloadAction[], monitor: string): number {
  const own = actions.flatMap(({ triggers }) => triggers).filter((trigger) => trigger.monitor === monitor);
  return Math.min(Number.POSITIVE_INFINITY, ...own.map(({ from }) => from));
}

function percentOf(share: number): string {
  return `${Math.round(share * 100)}%`;
}

function statName(of: string, stat: string): string {
  return `envoy_overload_${of.replaceAll(/[^A-Za-z0-9_]/g, '_')}_${stat}`;
}

function gauge(stats: StatStore, of: string, stat: string): number {
  return stats.gauge(statName(of, stat), {}, `overload.${of}.${stat}`);
}

/** Of this thread; descriptors are the process's. */
export function processProbes(): OverloadProbes {
  let gc: (() => void) | null = null;
  let trim: (() => void) | null = null;
  return {
    heapBytes() {
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    },
    collectGarbage() {
      if (gc === null) {
        process.getBuiltinModule('node:v8').setFlagsFromString('--expose-gc');
        // Loaded when it is needed first.
        gc = process.getBuiltinModule('node:vm').runInNewContext('gc') as () => void;
        trim = loadTrim();
      }
      gc();
      trim?.();
    },
    readFile: (path) => readFileSync(path, 'utf8'),
    descriptors: descriptorLimit,
  };
}

/**
 * malloc_trim(3): gives pages back to the system that buffers have left in the C library's heap, which keeps them
 * otherwise; null where there is none (musl) or it cannot be called.
 */
function loadTrim(): (() => void) | null {
  try {
    const c = loadCLibrary();
    if (c === null) return null;
    const trim = c.library.getFunction('malloc_trim', { arguments: ['uint64'], return: 'int32' });
    return () => void trim(0n);
  } catch {
    return null;
  }
}

/** Where it cannot be read, what macOS and most distributions allow at least after Node has raised it. */
const UNKNOWN_LIMIT = 10_240;

function descriptorLimit(): number {
  try {
    const line = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
    return line === null ? UNKNOWN_LIMIT : Number(line[1]);
  } catch {
    return UNKNOWN_LIMIT;
  }
}
