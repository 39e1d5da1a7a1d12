import type { Server } from 'node:net';
import type { ListenSockets } from '../io/listen-sockets.ts';
import type { Counted } from '../telemetry/metrics/carried.ts';

/** What a proxy tells the supervisor that started it. */
export type ToSupervisor =
  /** Asks for the socket that is kept under the key. */
  | { readonly type: 'take'; readonly key: string }
  /** With the socket: keep it. */
  | { readonly type: 'keep'; readonly key: string }
  | { readonly type: 'release'; readonly key: string }
  /** Everything is warm and listens: the process before may go. */
  | { readonly type: 'ready' }
  /** Listens on all that it will: sockets that it did not take are of no use any more. */
  | { readonly type: 'settled' }
  /** Accepts no more: the next one is alone. */
  | { readonly type: 'left' }
  | CountedMessage;

/** What a process that leaves has counted since it said so last: for the one that has taken over. */
export interface CountedMessage {
  readonly type: 'counted';
  readonly counted: readonly Counted[];
}

/** What a supervisor tells a proxy. */
export type FromSupervisor =
  /** First of all. `alone`: no process serves that this one takes over from. `startedAt`: wall time of the first epoch. */
  | { readonly type: 'start'; readonly alone: boolean; readonly startedAt: number }
  /** Answers `take`; the socket comes with it when there is one. */
  | { readonly type: 'socket'; readonly key: string; readonly found: boolean }
  /** The process before has left: this one is the proxy now. */
  | { readonly type: 'serve' }
  /** Another process is the proxy now. */
  | { readonly type: 'leave' }
  | CountedMessage;

/** Messages to the supervisor and back, each with a socket or without. */
export interface SupervisorChannel {
  /** `sent`: called when it has left this process, or never will. */
  send(message: ToSupervisor, handle?: object, sent?: () => void): void;
  onMessage(listener: (message: FromSupervisor, handle: object | undefined) => void): void;
}

/** Series in one message: no turn of an event loop is to be long. */
const COUNTED_PART = 500;

/**
 * A proxy's side of a hot restart. Its listening sockets are kept by the supervisor, which gives them to the next
 * process; none is ever closed in between, so that no connection in their queues is lost.
 */
export class HotRestart implements ListenSockets {
  readonly epoch: number;
  /** Called when another process has taken over. */
  onLeave: (() => void) | null = null;
  /** Called with what the process before has counted. */
  onCounted: ((counted: readonly Counted[]) => void) | null = null;
  readonly #channel: SupervisorChannel;
  readonly #asked = new Map<string, (handle: object | null) => void>();
  readonly #started = Promise.withResolvers<{ readonly alone: boolean; readonly startedAt: number }>();
  readonly #serving = Promise.withResolvers<void>();
  #leaving = false;

  constructor(epoch: number, channel: SupervisorChannel) {
    this.epoch = epoch;
    this.#channel = channel;
    channel.onMessage((message, handle) => this.#onMessage(message, handle));
  }

  /** How this process begins, once the supervisor has said so. */
  get started(): Promise<{ readonly alone: boolean; readonly startedAt: number }> {
    return this.#started.promise;
  }

  /** Says that all is warm and listens; resolves when the process before accepts no more. */
  takeOver(): Promise<void> {
    this.#channel.send({ type: 'ready' });
    return this.#serving.promise;
  }

  settled(): void {
    this.#channel.send({ type: 'settled' });
  }

  /** From now on sockets are closed here only: the next process has them. */
  beginLeaving(): void {
    this.#leaving = true;
  }
  left(): void {
    this.#channel.send({ type: 'left' });
  }

  /** Resolves when it is on its way: this process may end then. */
  async tellCounted(counted: readonly Counted[]): Promise<void> {
    for (let i = 0; i < counted.length; i += COUNTED_PART) {
      const part = counted.slice(i, i + COUNTED_PART);
      await new Promise<void>((sent) => this.#channel.send({ type: 'counted', counted: part }, undefined, sent));
    }
  }

  // === ListenSockets ===

  take(key: string): Promise<object | null> {
    return new Promise((resolve) => {
      this.#asked.set(key, resolve);
      this.#channel.send({ type: 'take', key });
    });
  }
  keep(key: string, server: Server): void {
    // The handle itself and not the server: nobody may accept on it at the other end.
    const { _handle: handle } = server as unknown as { readonly _handle: object | null };
    if (handle !== null && !this.#leaving) this.#channel.send({ type: 'keep', key }, handle);
  }
  release(key: string): void {
    if (!this.#leaving) this.#channel.send({ type: 'release', key });
  }

  #onMessage(message: FromSupervisor, handle: object | undefined): void {
    switch (message.type) {
      case 'start':
        this.#started.resolve(message);
        return;
      case 'socket':
        this.#asked.get(message.key)?.(message.found ? (handle ?? null) : null);
        this.#asked.delete(message.key);
        return;
      case 'serve':
        this.#serving.resolve();
        return;
      case 'leave':
        this.onLeave?.();
        return;
      case 'counted':
        this.onCounted?.(message.counted);
    }
  }
}
