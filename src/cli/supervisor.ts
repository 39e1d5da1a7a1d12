import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { FromSupervisor, ToSupervisor } from '../proxy/runtime/hot-restart.ts';

/** A listening socket that this process has open and never accepts on. */
export interface KeptSocket {
  close(): void;
}

/** One proxy process. */
export interface ProxyProcess {
  readonly pid: number;
  send(message: FromSupervisor, socket?: KeptSocket): void;
  onMessage(listener: (message: ToSupervisor, socket: KeptSocket | undefined) => void): void;
  /** How it ended: its code, or null and the signal. */
  onExit(listener: (code: number | null, signal: string | null) => void): void;
  kill(signal: NodeJS.Signals): void;
}

export interface SupervisorParts {
  readonly clock: Clock;
  readonly log: Logger;
  start(epoch: number): ProxyProcess;
  /** All is over. */
  exit(code: number): void;
  /** How long a process that was replaced may go on (`--parent-shutdown-time-s`). */
  readonly shutdownMs: number;
}

interface Generation {
  readonly epoch: number;
  readonly process: ProxyProcess;
  /** Keys of sockets that it listens on. */
  readonly claimed: Set<string>;
  ready: boolean;
  /** It was told that another takes over: it will not serve again. */
  leaving: boolean;
}

const MIN_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;
/** One that was up for so long before it crashed is started again at once. */
const STEADY_MS = 60_000;
/** To say that it accepts no more, and after its time is over to end. */
const GRACE_MS = 5_000;

/**
 * Starts proxies, one generation after the other, and keeps their listening sockets: it stays while they are replaced,
 * for a new configuration that needs a start, a new build, or after a crash. It takes part in no connection.
 *
 * A replacement: the next one starts, warms up and listens on the same sockets; then the one before accepts no more and
 * drains; then the next one opens its admin ports. If the next one does not come so far, nothing has happened.
 */
export class Supervisor {
  readonly #parts: SupervisorParts;
  readonly #sockets = new Map<string, KeptSocket>();
  readonly #generations = new Set<Generation>();
  readonly #startedAt: number;
  #epoch = 0;
  /** The one that serves; null: none, one is to be started. */
  #current: Generation | null = null;
  #next: Generation | null = null;
  #stopping = false;
  /** Asked for while one took over from another: to begin when that is done. */
  #again = false;
  #pauseMs = MIN_PAUSE_MS;
  #servingSince = 0;

  constructor(parts: SupervisorParts) {
    this.#parts = parts;
    this.#startedAt = parts.clock.wall();
  }

  start(): void {
    this.#start();
  }

  /** SIGHUP: another process takes over; a start that is under way and comes to nothing is given up for it. */
  restart(): void {
    if (this.#stopping) return;
    // The one before goes already: to give the next up would leave nobody.
    if (this.#next?.ready) {
      this.#again = true;
      return;
    }
    this.#parts.log.info('hot restart: starting the next process', { epoch: this.#epoch });
    const given = this.#next;
    this.#next = null;
    given?.process.kill('SIGKILL');
    this.#start();
  }

  /** SIGUSR1: all have the files of access logs open. One that only starts does not know the signal yet. */
  reopenLogs(): void {
    for (const { process, ready } of this.#generations) if (ready) process.kill('SIGUSR1');
  }

  /** All processes are told; the end of the last is ours. */
  stop(signal: NodeJS.Signals): void {
    this.#stopping = true;
    for (const { process } of this.#generations) process.kill(signal);
    if (this.#generations.size === 0) this.#parts.exit(0);
  }

  #start(): void {
    const epoch = this.#epoch++;
    const generation: Generation = {
      epoch,
      process: this.#parts.start(epoch),
      claimed: new Set(),
      ready: false,
      leaving: false,
    };
    this.#generations.add(generation);
    this.#next = generation;
    generation.process.onMessage((message, socket) => this.#onMessage(generation, message, socket));
    generation.process.onExit((code, signal) => this.#onExit(generation, code, signal));
    generation.process.send({ type: 'start', alone: this.#current === null, startedAt: this.#startedAt });
  }

  #onMessage(from: Generation, message: ToSupervisor, socket: KeptSocket | undefined): void {
    switch (message.type) {
      case 'take': {
        const kept = this.#sockets.get(message.key);
        if (kept !== undefined) from.claimed.add(message.key);
        from.process.send({ type: 'socket', key: message.key, found: kept !== undefined }, kept);
        return;
      }
      case 'keep':
        this.#keep(from, message.key, socket);
        return;
      case 'release':
        this.#release(from, message.key);
        return;
      case 'ready':
        this.#onReady(from);
        return;
      case 'counted':
        // Nobody else is to count what it did.
        (from === this.#current ? this.#next : this.#current)?.process.send(message);
        return;
      case 'left':
        if (from === this.#current && this.#next?.ready) this.#promote(this.#next);
        return;
      case 'settled':
        if (from === this.#current) this.#closeUnclaimed(from);
    }
  }

  /** What the process before listened on and this one does not. */
  #closeUnclaimed({ claimed }: Generation): void {
    for (const [key, socket] of this.#sockets) {
      if (claimed.has(key)) continue;
      socket.close();
      this.#sockets.delete(key);
    }
  }

  #keep(from: Generation, key: string, socket: KeptSocket | undefined): void {
    if (socket === undefined) return;
    // Too late: the process that bound it is to leave, and the next has sockets of its own.
    if (from !== this.#current && from !== this.#next) {
      socket.close();
      return;
    }
    this.#sockets.get(key)?.close();
    this.#sockets.set(key, socket);
    from.claimed.add(key);
  }

  /** Nobody listens on it any more, unless the other of the two does. */
  #release(from: Generation, key: string): void {
    from.claimed.delete(key);
    if (from !== this.#current && from !== this.#next) return;
    if (this.#current?.claimed.has(key) || this.#next?.claimed.has(key)) return;
    this.#sockets.get(key)?.close();
    this.#sockets.delete(key);
  }

  #onReady(next: Generation): void {
    if (next !== this.#next) return;
    next.ready = true;
    const before = this.#current;
    if (before === null) {
      this.#promote(next);
      return;
    }
    before.leaving = true;
    before.process.send({ type: 'leave' });
    // One that hangs must not keep the next from serving.
    this.#parts.clock.after(GRACE_MS, () => {
      if (this.#current === before && this.#next === next) this.#promote(next);
    });
    this.#parts.clock.after(this.#parts.shutdownMs + GRACE_MS, () => {
      if (this.#generations.has(before)) before.process.kill('SIGKILL');
    });
  }

  #promote(next: Generation): void {
    this.#current = next;
    this.#next = null;
    this.#servingSince = this.#parts.clock.now();
    next.process.send({ type: 'serve' });
    this.#parts.log.info('hot restart: the process serves', { epoch: next.epoch, pid: next.process.pid });
    if (!this.#again) return;
    this.#again = false;
    this.restart();
  }

  #onExit(ended: Generation, code: number | null, signal: string | null): void {
    const { log } = this.#parts;
    this.#generations.delete(ended);
    const how = signal === null ? `with code ${code}` : `by ${signal}`;
    if (ended === this.#next) {
      this.#next = null;
      // The one before is on its way out and does not come back: it ends beside whoever comes now.
      if (this.#current?.leaving) this.#current = null;
      if (this.#current !== null) {
        if (!this.#stopping)
          log.error(`hot restart: the next process ended ${how} before it was ready: nothing changes`);
      } else if (!this.#stopping && this.#servingSince === 0) {
        // It never worked: its own message says why.
        this.#parts.exit(code ?? 1);
        return;
      } else if (!this.#stopping) this.#startLater(how);
    } else if (ended === this.#current) {
      this.#current = null;
      if (this.#next?.ready) this.#promote(this.#next);
      else if (code === 0 && !this.#stopping) {
        // It was asked to (POST /quitquitquit).
        this.stop('SIGTERM');
        return;
      } else if (!this.#stopping && this.#next === null) this.#startLater(how);
    }
    if (this.#stopping && this.#generations.size === 0) this.#parts.exit(0);
  }

  /** After a crash: who connects meanwhile waits in the sockets' queues. */
  #startLater(how: string): void {
    const { clock, log } = this.#parts;
    this.#pauseMs = clock.now() - this.#servingSince >= STEADY_MS ? MIN_PAUSE_MS : this.#pauseMs;
    log.error(`the proxy ended ${how}: it is started again`, { inMs: this.#pauseMs });
    clock.after(this.#pauseMs, () => {
      if (!this.#stopping && this.#current === null && this.#next === null) this.#start();
    });
    this.#pauseMs = Math.min(MAX_PAUSE_MS, this.#pauseMs * 2);
  }
}
