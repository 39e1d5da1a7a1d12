import type { TrafficDirection } from '../../model/listener.ts';
import { type DrainStrategy, DrainWindow } from '../listener/drain-window.ts';
import type { Listener } from '../listener/listener.ts';
import type { SnapshotApplier } from './apply.ts';
import type { ProxyEnvironment } from './environment.ts';

export type { DrainStrategy } from '../listener/drain-window.ts';

/** Envoy's `--drain-time-s` and `--drain-strategy`. */
export interface DrainSettings {
  readonly timeMs: number;
  readonly strategy: DrainStrategy;
}

/** Envoy's defaults. */
export const DEFAULT_DRAIN: DrainSettings = { timeMs: 600_000, strategy: 'gradual' };

/** How a process that was told to end does so. */
export interface TerminationPlan {
  /** It goes on accepting for so long: that it is not ready any more has to reach those who balance. */
  readonly acceptMs: number;
  /** By when it is over, counted from the beginning: what is open then is cut. */
  readonly deadlineMs: number;
}

/** Why connections are asked to leave. A listener that is removed drains by itself. */
export type DrainCause =
  | 'healthcheck/fail'
  | 'drain_listeners'
  | 'termination'
  | 'outbound termination'
  | 'hot restart';

/** The worker threads of a process that has them: they have the connections, and drain as it says. */
export interface DrainFollowers {
  failHealthCheck(failed: boolean): void;
  drainListeners(how: ListenerDrain): void;
  drain(graceMs: number): Promise<void>;
  handOver(shutdownMs: number): Promise<void>;
  terminate(plan: TerminationPlan): Promise<void>;
}

/** `POST /drain_listeners` */
export interface ListenerDrain {
  readonly graceful: boolean;
  readonly inboundOnly: boolean;
  readonly skipExit: boolean;
}

interface Cause {
  readonly applies: (direction: TrafficDirection) => boolean;
  readonly window: DrainWindow;
}

const DIRECTIONS: readonly TrafficDirection[] = ['UNSPECIFIED', 'INBOUND', 'OUTBOUND'];
/** After this share of the time to the deadline, those who call out are asked to end too. */
const OUTBOUND_SHARE = 3 / 4;

const all = (): boolean => true;
const isOutbound = (direction: TrafficDirection): boolean => direction === 'OUTBOUND';
/** What others call us by: a gateway's listeners have no direction. */
const isServing = (direction: TrafficDirection): boolean => direction !== 'OUTBOUND';

/**
 * All reasons why a process, or a side of it, asks its clients to leave, and the order in which it ends. However many
 * reasons there are, a connection is asked once, by the window that ends first.
 */
export class DrainManager {
  readonly #env: ProxyEnvironment;
  readonly #applier: SnapshotApplier;
  readonly #settings: DrainSettings;
  readonly #causes = new Map<DrainCause, Cause>();
  /** The whole process takes no new connections, or soon will not. */
  #leaving = false;
  /** Null: the connections are this thread's. */
  followers: DrainFollowers | null = null;
  /** Those who wait for connections to end. */
  readonly #waiting = new Set<() => void>();

  constructor(env: ProxyEnvironment, applier: SnapshotApplier, settings: DrainSettings = DEFAULT_DRAIN) {
    this.#env = env;
    this.#applier = applier;
    this.#settings = settings;
    env.onListenerEmpty = () => {
      for (const look of [...this.#waiting]) look();
    };
  }

  get settings(): DrainSettings {
    return this.#settings;
  }
  get healthCheckFailed(): boolean {
    return this.#causes.has('healthcheck/fail');
  }
  /** Not to be sent new traffic. */
  get active(): boolean {
    return this.#leaving || this.healthCheckFailed;
  }
  get causes(): readonly DrainCause[] {
    return [...this.#causes.keys()];
  }

  /** `POST /healthcheck/fail` and `/ok`. */
  failHealthCheck(failed: boolean): void {
    if (failed === this.healthCheckFailed) return;
    this.followers?.failHealthCheck(failed);
    if (failed) this.#begin('healthcheck/fail', all, this.#window());
    else {
      this.#causes.delete('healthcheck/fail');
      this.#apply();
    }
  }

  /**
   * `POST /drain_listeners`: clients are asked to leave. Listeners close at once, or when `graceful` at the end of the
   * drain time, or with `skipExit` not at all.
   */
  drainListeners(how: ListenerDrain): void {
    this.followers?.drainListeners(how);
    const applies = how.inboundOnly ? (direction: TrafficDirection): boolean => direction === 'INBOUND' : all;
    if (!how.inboundOnly) this.#leaving = true;
    const window = this.#window();
    this.#begin('drain_listeners', applies, window);
    if (how.skipExit) return;
    const stop = (): void => {
      for (const listener of this.#listeners(applies)) listener.stopAccepting();
    };
    if (how.graceful) this.#env.clock.after(window.ms, stop);
    else stop();
  }

  /** Takes no new connections, ends those without a request, waits for the others, `graceMs` at the most. */
  async drain(graceMs: number): Promise<void> {
    this.#leaving = true;
    const now = this.#env.clock.now();
    this.#begin('termination', all, new DrainWindow(now, 0, 'immediate'));
    const others = this.followers?.drain(graceMs);
    for (const listener of this.#listeners(all)) {
      listener.stopAccepting();
      listener.endIdle();
    }
    await this.#until(() => this.#connections(all) === 0, now + graceMs);
    this.#cut();
    await others;
  }

  /**
   * Another process has the listening sockets too: this one accepts no more, and asks its clients to leave over the
   * drain time. Over when they are gone, or after `shutdownMs`.
   */
  async handOver(shutdownMs: number): Promise<void> {
    this.#leaving = true;
    const window = this.#window();
    this.#begin('hot restart', all, window);
    const others = this.followers?.handOver(shutdownMs);
    for (const listener of this.#listeners(all)) listener.stopAccepting();
    const deadline = window.from + shutdownMs;
    await this.#until(() => this.#connections(all) === 0, Math.min(window.until, deadline));
    for (const listener of this.#listeners(all)) listener.endIdle();
    await this.#until(() => this.#connections(all) === 0, deadline);
    this.#cut();
    await others;
  }

  /**
   * The end of a pod, under one deadline. Readiness fails at once. Then, for `acceptMs`, nothing changes; then inbound
   * clients are asked to leave, over half of what is left at the most, and still served if they come. Outbound
   * listeners stay until the program beside us has closed its connections. Requests are finished; what is open at the
   * deadline is cut.
   */
  async terminate(plan: TerminationPlan): Promise<void> {
    const { clock, log } = this.#env;
    const { acceptMs, deadlineMs } = plan;
    const others = this.followers?.terminate(plan);
    const start = clock.now();
    const deadline = start + deadlineMs;
    this.#leaving = true;
    if (others === undefined) log.info('terminating: not ready any more, still accepting', { acceptMs, deadlineMs });
    if (acceptMs > 0) await this.#until(() => false, start + Math.min(acceptMs, deadlineMs / 2));

    const now = clock.now();
    const window = new DrainWindow(now, Math.min(this.#settings.timeMs, (deadline - now) / 2), this.#settings.strategy);
    if (others === undefined) {
      log.info('terminating: inbound clients are asked to leave', { connections: this.#connections(isServing) });
    }
    this.#begin('termination', isServing, window);
    await this.#until(() => this.#connections(isServing) === 0, window.until);
    for (const listener of this.#listeners(isServing)) {
      listener.stopAccepting();
      listener.endIdle();
    }

    await this.#until(() => this.#connections(all) === 0, start + deadlineMs * OUTBOUND_SHARE);
    if (this.#connections(isOutbound) > 0) {
      const outbound = new DrainWindow(clock.now(), (deadline - clock.now()) / 2, this.#settings.strategy);
      this.#begin('outbound termination', isOutbound, outbound);
    }
    await this.#until(() => this.#connections(all) === 0, deadline);
    this.#cut();
    await others;
  }

  /** The window of a direction, with how much of it is over. */
  windowOf(direction: TrafficDirection): DrainWindow | null {
    return this.#env.drains[direction];
  }

  #window(): DrainWindow {
    return new DrainWindow(this.#env.clock.now(), this.#settings.timeMs, this.#settings.strategy);
  }

  #begin(cause: DrainCause, applies: (direction: TrafficDirection) => boolean, window: DrainWindow): void {
    const before = this.#causes.get(cause);
    // Asked again: what has begun goes on, and may grow from the inbound side to all.
    const grown = before === undefined ? applies : (at: TrafficDirection) => before.applies(at) || applies(at);
    const sooner = before !== undefined && before.window.until <= window.until ? before.window : window;
    this.#causes.set(cause, { applies: grown, window: sooner });
    this.#apply();
  }

  /** Tells the listeners whose window is another than before. */
  #apply(): void {
    for (const direction of DIRECTIONS) {
      let chosen: DrainWindow | null = null;
      for (const { applies, window } of this.#causes.values()) {
        if (applies(direction) && (chosen === null || window.until < chosen.until)) chosen = window;
      }
      if (this.#env.drains[direction] === chosen) continue;
      this.#env.drains[direction] = chosen;
      for (const listener of this.#applier.listeners.values()) {
        if (listener.config.trafficDirection === direction) listener.setDrain(chosen);
      }
    }
  }

  *#listeners(applies: (direction: TrafficDirection) => boolean): Generator<Listener> {
    for (const listener of this.#applier.listeners.values()) {
      if (applies(listener.config.trafficDirection)) yield listener;
    }
  }

  /** Those of listeners that were removed before count too: they are finished as well. */
  #connections(applies: (direction: TrafficDirection) => boolean): number {
    let count = 0;
    for (const listener of this.#listeners(applies)) count += listener.connectionCount;
    for (const listener of this.#applier.drainingListeners) {
      if (applies(listener.config.trafficDirection)) count += listener.connectionCount;
    }
    return count;
  }

  #cut(): void {
    const left = this.#connections(all);
    if (left > 0) this.#env.log.warn('the time to drain is over: connections are cut', { connections: left });
    for (const listener of this.#listeners(all)) listener.destroy();
    for (const listener of [...this.#applier.drainingListeners]) listener.destroy();
  }

  /** Resolves when `done` holds, looked at whenever a listener has lost its last connection, or at `time`. */
  #until(done: () => boolean, time: number): Promise<void> {
    return new Promise((resolve) => {
      const over = (): void => {
        timer.cancel();
        this.#waiting.delete(look);
        resolve();
      };
      const timer = this.#env.clock.after(Math.max(0, time - this.#env.clock.now()), over);
      const look = (): void => {
        if (done()) over();
      };
      this.#waiting.add(look);
      look();
    });
  }
}
