import { Worker } from 'node:worker_threads';
import type { Clock } from '../../base/clock.ts';
import { errorCode, messageOf, RemoraError, stackOf } from '../../base/errors.ts';
import type { Logger, LogLevel } from '../../base/log.ts';
import { SharedCounts } from '../../base/shared-counts.ts';
import { EMPTY_SNAPSHOT, type Snapshot } from '../../model/snapshot.ts';
import type { TlsSecret } from '../../model/tls.ts';
import type { Bootstrap } from '../../xds/bootstrap/bootstrap.ts';
import type { AdminReply } from '../admin/route.ts';
import type { HostRequests } from '../http/host-requests.ts';
import type { ListenSockets } from '../io/listen-sockets.ts';
import { MergedStats } from '../telemetry/metrics/merged.ts';
import type { StatStore } from '../telemetry/metrics/store.ts';
import { StatSweeper } from '../telemetry/metrics/sweeper.ts';
import { systemResolver } from '../upstream/dns.ts';
import { Channel, type Handlers } from './channel.ts';
import { filterTypes } from './data-plane.ts';
import type { DrainFollowers, DrainSettings, ListenerDrain, TerminationPlan } from './drain.ts';
import type { Duplicate } from './listen-handle.ts';
import { mapChange, plainSecrets, type SnapshotChange, snapshotChange } from './portable.ts';
import { SharedHosts } from './shared-hosts.ts';
import { offsetOf, PROBES, probesBlock } from './worker-probes.ts';
import type {
  BoundListener,
  MainCalls,
  SecretKind,
  WorkerCalls,
  WorkerCounts,
  WorkerStart,
  WorkerView,
} from './worker-protocol.ts';
import { WorkerSockets } from './worker-sockets.ts';
import { beatsBlock, WorkerWatch } from './worker-watch.ts';

export interface WorkersParts {
  readonly count: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** What workers say, whole lines. */
  readonly logLine: (line: string) => void;
  readonly logLevel: LogLevel;
  /** Of this thread. */
  readonly stats: StatStore;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  readonly bootstrap: Bootstrap;
  readonly drain: DrainSettings | undefined;
  readonly version: string;
  readonly duplicate: Duplicate;
  /** Who keeps sockets beyond this process; null: nobody. */
  readonly sockets: ListenSockets | null;
  /** Who asks for hosts that the workers' requests are for. */
  readonly hostRequests: HostRequests;
  /** How long a worker's thread may run without serving, ms of CPU; 10 s. */
  readonly hungMs?: number;
}

type WorkerChannel = Channel<MainCalls, WorkerCalls>;

/** By where they come from. */
type Secrets = Readonly<Record<SecretKind, ReadonlyMap<string, TlsSecret>>>;
const NO_SECRETS: Secrets = { discovered: new Map(), own: new Map() };

/** A place for a worker: who is in it changes when one ends. */
interface Seat {
  readonly index: number;
  worker: Worker | null;
  channel: WorkerChannel | null;
  /** What the worker in it was told last. */
  snapshot: Snapshot;
  secrets: Secrets;
  /** Config is in force in it. */
  serves: boolean;
  restarts: number;
  startedAt: number;
  pauseMs: number;
}

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;
/** A seat that is empty for longer leaves its sockets: the kernel shares connections among the others. */
const KEEP_SOCKETS_MS = 1000;
/** One that was up for so long is started again at once. */
const STEADY_MS = 60_000;
/** A worker that does not answer must not keep admin pages waiting. */
const ANSWER_MS = 5000;
const HEAP_EVERY_MS = 1000;

/**
 * The threads that serve, for the one that has the process: xDS, the admin port, signals, standard streams and the
 * listening sockets. Config is decoded here and goes to each as plain data, what changes of it; numbers are read where
 * the workers write them. One that ends is started again, and the others go on.
 */
export class Workers implements DrainFollowers {
  readonly stats: MergedStats;
  /** What the workers listen on. */
  listeners: readonly BoundListener[] = [];
  /** The hosts that they have. */
  readonly hosts: SharedHosts;
  readonly #parts: WorkersParts;
  readonly #counts: SharedCounts;
  readonly #ticketSeed = process.getBuiltinModule('node:crypto').randomBytes(32);
  readonly #sockets: WorkerSockets;
  readonly #seats: readonly Seat[];
  readonly #filters = filterTypes();
  readonly #restarts: number;
  readonly #hung: number;
  readonly #sweeper: StatSweeper;
  readonly #probes: ReturnType<typeof probesBlock>;
  readonly #beats: ReturnType<typeof beatsBlock>;
  #snapshot: Snapshot = EMPTY_SNAPSHOT;
  /** The last that could be applied. */
  #inForce: Snapshot = EMPTY_SNAPSHOT;
  /** The last that could not. */
  #rejected: Snapshot | null = null;
  #secrets = NO_SECRETS;
  #logLevel: LogLevel;
  /** Each has been told a config that is in force. */
  #serving = false;
  #failStart: ((error: Error) => void) | null = null;
  /** What workers say of the same thing is said once; null: they do different things. */
  #said: SaidLines | null = null;
  #together = 0;
  readonly #resolving = new Map<string, Promise<readonly string[]>>();
  // What one that is started while the process drains has to hear.
  #healthCheckFailed = false;
  readonly #listenerDrains: ListenerDrain[] = [];
  #termination: { readonly plan: TerminationPlan; readonly at: number } | null = null;
  readonly #terminating = new Set<Promise<unknown>>();
  /** Who ends now is not started again. */
  #leaving = false;
  #closed = false;

  constructor(parts: WorkersParts) {
    const { count, clock, stats } = parts;
    this.#parts = parts;
    this.#logLevel = parts.logLevel;
    this.stats = new MergedStats(stats);
    this.#sweeper = new StatSweeper(clock, [this.stats]);
    this.#restarts = stats.counter('envoy_server_worker_restarts', {}, 'server.worker_restarts');
    this.#hung = stats.counter('envoy_server_worker_hung', {}, 'server.worker_hung');
    this.#sockets = new WorkerSockets(parts.duplicate, parts.sockets);
    this.hosts = new SharedHosts(parts.hostRequests, {
      usedHosts: () => this.#answers((channel) => channel.ask('usedHosts', null)),
      forgetHosts: (names) => this.#tell((channel) => channel.tell('forgetHosts', names)),
    });
    this.#counts = new SharedCounts(SharedCounts.allocate(), count, count + 1, offsetOf(clock));
    this.#probes = probesBlock(this.#counts);
    this.#beats = beatsBlock(this.#counts);
    this.#seats = Array.from({ length: count }, (_, index) => ({
      index,
      worker: null,
      channel: null,
      snapshot: EMPTY_SNAPSHOT,
      secrets: NO_SECRETS,
      serves: false,
      restarts: 0,
      startedAt: 0,
      pauseMs: 0,
    }));
  }

  start(): void {
    for (const seat of this.#seats) this.#start(seat);
    this.#sweeper.start();
    if (this.#parts.bootstrap.overload?.monitors.some(({ kind }) => kind === 'heap')) this.#weigh();
  }

  /** The last that was to be applied. */
  get snapshot(): Snapshot {
    return this.#snapshot;
  }

  /** At least one is there. */
  get serve(): boolean {
    return this.#seats.some(({ serves }) => serves);
  }

  get count(): number {
    return this.#seats.length;
  }

  // === config ===

  /** Resolves when `snapshot`, or a later one, is in force everywhere; rejects with what a worker finds wrong with it. */
  async apply(snapshot: Snapshot): Promise<void> {
    this.#snapshot = snapshot;
    this.hosts.tell(snapshot.routes);
    this.#together++;
    this.#said ??= new SaidLines();
    try {
      const failed = new Promise<never>((_, reject) => {
        if (!this.#serving) this.#failStart = reject;
      });
      const changes = new Map<Snapshot, SnapshotChange>();
      const bound = await Promise.race([
        Promise.all(this.#seats.map((seat) => this.#apply(seat, snapshot, changes))),
        failed,
      ]);
      this.#serving = true;
      this.#failStart = null;
      this.#inForce = snapshot;
      this.listeners = bound.find((of) => of !== null) ?? this.listeners;
      this.hosts.update(snapshot.routes);
    } catch (error) {
      this.#rejected = snapshot;
      throw error;
    } finally {
      if (--this.#together === 0) this.#said = null;
    }
  }

  /** Null: the worker has ended, and gets it when it is started again. */
  async #apply(
    seat: Seat,
    snapshot: Snapshot,
    changes: Map<Snapshot, SnapshotChange>,
  ): Promise<readonly BoundListener[] | null> {
    const { channel, snapshot: before } = seat;
    if (channel === null) return null;
    // Most often all are told the same.
    let change = changes.get(before);
    if (change === undefined) {
      change = snapshotChange(before, snapshot, (kind) => this.#filters.get(kind)?.routeData);
      changes.set(before, change);
    }
    seat.snapshot = snapshot;
    try {
      const bound = await channel.ask('apply', change);
      seat.serves = seat.channel === channel;
      return bound;
    } catch (error) {
      if (seat.channel !== channel) return null;
      throw error;
    }
  }

  updateSecrets(kind: SecretKind, secrets: ReadonlyMap<string, TlsSecret>): void {
    this.#secrets = { ...this.#secrets, [kind]: secrets };
    for (const seat of this.#seats) this.#tellSecrets(seat);
  }

  #tellSecrets(seat: Seat): void {
    for (const kind of ['discovered', 'own'] as const) {
      const change = mapChange(seat.secrets[kind], this.#secrets[kind], plainSecrets);
      if (change !== null) seat.channel?.tell('secrets', { kind, change });
    }
    seat.secrets = this.#secrets;
  }

  // === the seats ===

  #start(seat: Seat): void {
    const { bootstrap, drain, version, clock } = this.#parts;
    const { node, runtime, overload, secrets } = bootstrap;
    const start: WorkerStart = {
      worker: seat.index,
      workers: this.count,
      restarts: seat.restarts,
      counts: this.#counts.memory,
      ticketSeed: this.#ticketSeed,
      bootstrap: { node, runtime, overload, secrets: plainSecrets(secrets) },
      drain,
      logLevel: this.#logLevel,
      version,
    };
    const worker = new Worker(entry(), { workerData: start, name: `worker ${seat.index}` });
    const channel: WorkerChannel = new Channel(worker, this.#handlers(seat));
    seat.worker = worker;
    seat.channel = channel;
    seat.snapshot = EMPTY_SNAPSHOT;
    seat.secrets = NO_SECRETS;
    seat.startedAt = clock.now();
    this.stats.begin(seat.index);
    let why = '';
    let stack: string | undefined;
    worker.on('error', (error) => {
      why = `by an error: ${messageOf(error)}`;
      // Those of Node itself (it is out of memory) are nowhere in the program.
      if (errorCode(error) === undefined) stack = stackOf(error);
    });
    const watch = this.#watch(seat, worker, () => {
      why = 'because it hung';
    });
    worker.on('exit', (code) => {
      watch.stop();
      this.#onExit(seat, why === '' ? `with code ${code}` : why, stack);
    });
  }

  /** One that hangs is ended, as if it had crashed. */
  #watch({ index }: Seat, worker: Worker, onHung: () => void): WorkerWatch {
    const { clock, log, stats, hungMs } = this.#parts;
    const { words, at } = this.#beats;
    const watched = {
      beats: () => Atomics.load(words, at + index),
      cpuMs: async () => {
        const { user, system } = await worker.cpuUsage();
        return (user + system) / 1000;
      },
    };
    const end = (busyMs: number): void => {
      onHung();
      stats.inc(this.#hung);
      const seconds = (busyMs / 1000).toFixed(1);
      log.error(`worker ${index} hangs: its thread has run for ${seconds} s without serving; it is ended`);
      void worker.terminate();
    };
    return new WorkerWatch(clock, watched, end, hungMs);
  }

  #onExit(seat: Seat, how: string, stack: string | undefined): void {
    seat.channel?.close();
    seat.channel = null;
    seat.worker = null;
    seat.serves = false;
    if (this.#closed) return;
    this.stats.end(seat.index);
    this.#counts.dropMember(seat.index);
    this.#probes.words.fill(0, this.#probes.at + PROBES * seat.index, this.#probes.at + PROBES * (seat.index + 1));
    const { log, clock, stats } = this.#parts;
    if (this.#failStart !== null) {
      this.#failStart(new RemoraError('worker', `worker ${seat.index} ended ${how} before it served`));
      return;
    }
    if (this.#leaving) {
      log.error(`worker ${seat.index} ended ${how}`, { stack });
      return;
    }
    stats.inc(this.#restarts);
    if (clock.now() - seat.startedAt >= STEADY_MS) seat.pauseMs = 0;
    log.error(`worker ${seat.index} ended ${how}: it is started again`, { inMs: seat.pauseMs, stack });
    if (seat.pauseMs > KEEP_SOCKETS_MS) this.#sockets.releaseAll(seat.index);
    clock.after(seat.pauseMs, () => this.#restart(seat));
    seat.pauseMs = Math.min(MAX_PAUSE_MS, seat.pauseMs === 0 ? FIRST_PAUSE_MS : seat.pauseMs * 2);
  }

  #restart(seat: Seat): void {
    if (this.#closed || this.#leaving) return;
    seat.restarts++;
    this.#start(seat);
    this.#tellSecrets(seat);
    const { channel, worker } = seat;
    const latest = this.#snapshot === this.#rejected ? this.#inForce : this.#snapshot;
    // One that listens on nothing is none, and its sockets would have their share of the connections.
    const fail = (why: string): void => {
      this.#parts.log.error(`worker ${seat.index} cannot serve: ${why}`);
      void worker?.terminate();
    };
    this.#apply(seat, latest, new Map()).then(
      (bound) => {
        if (bound?.length === 0 && this.listeners.length > 0) fail('it could bind no listener');
      },
      (error) => fail(messageOf(error)),
    );
    if (this.#healthCheckFailed) channel?.tell('failHealthCheck', true);
    for (const how of this.#listenerDrains) channel?.tell('drainListeners', how);
    if (this.#termination !== null) this.#terminateSeat(seat, this.#termination);
  }

  #handlers(seat: Seat): Handlers<MainCalls> {
    const { logLine } = this.#parts;
    return {
      take: ({ key, address }) => this.#sockets.take(seat.index, key, address),
      release: (key) => this.#sockets.release(seat.index, key),
      resolve: (name) => this.#resolve(name),
      host: (wanted) => this.hosts.ask(wanted),
      write: ({ stream, bytes }) => this.#write(stream, bytes),
      log: (line) => {
        if (this.#said?.isNews(seat.index, line) !== false) logLine(line);
      },
      stats: (changes) => this.stats.follow(seat.index, changes),
      ejected: (ejection) => {
        for (const other of this.#seats) if (other !== seat) other.channel?.tell('ejected', ejection);
      },
    };
  }

  /** Workers ask for the same names at the same time: the answer is for all. */
  #resolve(name: string): Promise<readonly string[]> {
    let found = this.#resolving.get(name);
    if (found === undefined) {
      found = systemResolver(name).finally(() => this.#resolving.delete(name));
      this.#resolving.set(name, found);
    }
    return found;
  }

  #write(stream: 'stdout' | 'stderr', bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#parts[stream].write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** This thread's heap counts with theirs. */
  #weigh(): void {
    const { heapUsed, external } = process.memoryUsage();
    const { words, at } = this.#probes;
    words[at + PROBES * this.count] = (heapUsed + external) / 1024;
    this.#parts.clock.after(HEAP_EVERY_MS, () => {
      if (!this.#closed) this.#weigh();
    });
  }

  // === what all are told ===

  setLogLevel(level: LogLevel): void {
    this.#logLevel = level;
    this.#tell((channel) => channel.tell('logLevel', level));
  }
  reopenLogs(): void {
    this.#tell((channel) => channel.tell('reopenLogs', null));
  }
  resetCounters(): void {
    this.stats.resetCounters();
    this.#tell((channel) => channel.tell('resetCounters', null));
  }
  failHealthCheck(failed: boolean): void {
    this.#healthCheckFailed = failed;
    this.#tell((channel) => channel.tell('failHealthCheck', failed));
  }
  drainListeners(how: ListenerDrain): void {
    this.#listenerDrains.push(how);
    this.#tell((channel) => channel.tell('drainListeners', how));
  }
  async drain(graceMs: number): Promise<void> {
    this.#leaving = true;
    await this.#untilDone((channel) => channel.ask('drain', graceMs));
  }
  async handOver(shutdownMs: number): Promise<void> {
    this.#leaving = true;
    await this.#untilDone((channel) => channel.ask('handOver', shutdownMs));
  }
  async terminate(plan: TerminationPlan): Promise<void> {
    // Each says what it does; once is enough.
    this.#said ??= new SaidLines();
    this.#together++;
    this.#termination = { plan, at: this.#parts.clock.now() };
    for (const seat of this.#seats) this.#terminateSeat(seat, this.#termination);
    while (this.#terminating.size > 0) await Promise.all(this.#terminating);
    this.#leaving = true;
  }

  #terminateSeat({ channel }: Seat, { plan, at }: { readonly plan: TerminationPlan; readonly at: number }): void {
    if (channel === null) return;
    const passed = this.#parts.clock.now() - at;
    const left = {
      acceptMs: Math.max(0, plan.acceptMs - passed),
      deadlineMs: Math.max(0, plan.deadlineMs - passed),
    };
    const over: Promise<unknown> = channel
      .ask('terminate', left)
      .catch(ended)
      .finally(() => this.#terminating.delete(over));
    this.#terminating.add(over);
  }

  #tell(say: (channel: WorkerChannel) => void): void {
    for (const { channel } of this.#seats) if (channel !== null) say(channel);
  }

  async #untilDone(ask: (channel: WorkerChannel) => Promise<unknown>): Promise<void> {
    await Promise.all(this.#seats.map(({ channel }) => (channel === null ? null : ask(channel).catch(ended))));
  }

  // === what they are asked ===

  /** Numbers that are read from now on are what they are now. */
  sync(): Promise<readonly WorkerCounts[]> {
    return this.#answers((channel) => channel.ask('sync', null));
  }
  views(): Promise<readonly WorkerView[]> {
    return this.#answers((channel) => channel.ask('view', null));
  }
  /** A page that each of them would answer alike. */
  async page(path: string, query: string): Promise<AdminReply> {
    for (const { channel } of this.#seats) {
      if (channel === null) continue;
      const reply = await Promise.race([channel.ask('admin', { path, query }).catch(ended), this.#timeout()]);
      if (reply !== null) return reply;
    }
    return { status: 503, type: 'text/plain; charset=UTF-8', body: 'no worker answers\n' };
  }

  /** Of those who answer in time. */
  async #answers<T>(ask: (channel: WorkerChannel) => Promise<T>): Promise<readonly T[]> {
    const answers = this.#seats.map(({ channel }) =>
      channel === null ? null : Promise.race([ask(channel).catch(ended), this.#timeout()]),
    );
    return (await Promise.all(answers)).filter((answer) => answer !== null);
  }

  #timeout(): Promise<null> {
    return new Promise((resolve) => this.#parts.clock.after(ANSWER_MS, () => resolve(null)));
  }

  /** Cuts every connection and ends the threads. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#sweeper.stop();
    await this.#answers((channel) => channel.ask('close', null));
    await Promise.all(this.#seats.map(({ worker }) => worker?.terminate()));
    this.#sockets.close();
  }
}

/** Lines of workers that do the same: what one has said, the others need not say again. */
class SaidLines {
  /** By line without its time: how often each worker has said it, and how often it was printed. */
  readonly #lines = new Map<string, { readonly by: Map<number, number>; printed: number }>();

  isNews(worker: number, line: string): boolean {
    const text = line.slice(line.indexOf(' '));
    const known = this.#lines.get(text) ?? { by: new Map<number, number>(), printed: 0 };
    this.#lines.set(text, known);
    const times = (known.by.get(worker) ?? 0) + 1;
    known.by.set(worker, times);
    if (times <= known.printed) return false;
    known.printed = times;
    return true;
  }
}

/** The answer of a worker that ended before it gave one; that it ended is dealt with where it is noticed. */
function ended(): null {
  return null;
}

/** The sources run as they are; the bundle has the worker beside its chunks. */
function entry(): URL {
  const url = import.meta.url;
  // Beside this file; beside the proxy's one file; above the folder of the chunks.
  return new URL(url.endsWith('.ts') ? './worker.ts' : url.endsWith('.cjs') ? './worker.js' : '../worker.js', url);
}
