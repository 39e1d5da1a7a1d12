import type { Clock, TimerHandle } from '../../base/clock.ts';
import type { SharedBlock, SharedCounts } from '../../base/shared-counts.ts';

/** How often a worker says that it gets back to its event loop. */
const BEAT_MS = 1000;
/** How often that is looked at: whoever is well has said so in between. */
const LOOK_MS = 2000;
/** Of CPU time in one go. No config takes a worker so long, and none of its connections is served meanwhile. */
const HUNG_MS = 10_000;

/** A number for each member, which goes up while its event loop turns. */
export function beatsBlock(counts: SharedCounts): SharedBlock {
  return counts.numbers('beats', counts.members);
}

/** What a worker does for whoever watches it. */
export function beat(counts: SharedCounts, clock: Clock): void {
  const { words, at } = beatsBlock(counts);
  Atomics.add(words, at + counts.member, 1);
  clock.after(BEAT_MS, () => beat(counts, clock));
}

export interface WatchedWorker {
  /** Another number than before: its event loop has turned. */
  beats(): number;
  /** CPU time of its thread, ms; rejects where that has ended. */
  cpuMs(): Promise<number>;
}

/**
 * Finds out that a worker hangs: that its thread has run for 10 s without getting back to its event loop. What counts is
 * its CPU time: one that gets no CPU, or that stood still with the whole machine, is not hanging.
 */
export class WorkerWatch {
  readonly #clock: Clock;
  readonly #worker: WatchedWorker;
  readonly #onHung: (busyMs: number) => void;
  readonly #hungMs: number;
  #timer: TimerHandle;
  #beats: number;
  /** What its CPU time was when it was seen without a beat first; null: its last look had one. */
  #cpuMs: number | null = null;
  #stopped = false;

  constructor(clock: Clock, worker: WatchedWorker, onHung: (busyMs: number) => void, hungMs = HUNG_MS) {
    this.#clock = clock;
    this.#worker = worker;
    this.#onHung = onHung;
    this.#hungMs = hungMs;
    this.#beats = worker.beats();
    this.#timer = this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer.cancel();
  }

  #arm(): TimerHandle {
    return this.#clock.after(Math.min(LOOK_MS, this.#hungMs), () => void this.#look());
  }

  async #look(): Promise<void> {
    if (this.#beating() || !(await this.#isHung())) {
      if (!this.#stopped) this.#timer = this.#arm();
    }
  }

  #beating(): boolean {
    const beats = this.#worker.beats();
    if (beats === this.#beats) return false;
    this.#beats = beats;
    this.#cpuMs = null;
    return true;
  }

  async #isHung(): Promise<boolean> {
    let cpuMs: number;
    try {
      cpuMs = await this.#worker.cpuMs();
    } catch {
      // It has ended, or not begun.
      return false;
    }
    if (this.#stopped || this.#beating()) return false;
    this.#cpuMs ??= cpuMs;
    const busyMs = cpuMs - this.#cpuMs;
    if (busyMs < this.#hungMs) return false;
    this.#onHung(busyMs);
    return true;
  }
}
