import { errorCode, messageOf, RemoraError } from '../../base/errors.ts';

/** One end of a pair between threads. */
export interface Port {
  postMessage(message: unknown): void;
  on(event: 'message', listener: (message: Message) => void): unknown;
}

type Message =
  | { readonly to: string; readonly value: unknown }
  | { readonly to: string; readonly value: unknown; readonly id: number }
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string; readonly code: string };

/** What an end can be told, by name: with an answer, or without one. */
export type Handlers<T> = {
  readonly [K in keyof T]: (value: Said<T, K>) => Answered<T, K> | Promise<Answered<T, K>>;
};
/** What one is told by a name, and what it answers: those of the method of that name. */
type Said<T, K extends keyof T> = T[K] extends (value: infer V) => unknown ? V : never;
type Answered<T, K extends keyof T> = T[K] extends (value: never) => infer A ? A : never;

/** Calls between two threads: each end says what it can be asked. Messages arrive in the order they were sent. */
export class Channel<Mine, Theirs> {
  readonly #port: Port;
  readonly #asked = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #id = 0;
  #closed = false;

  constructor(port: Port, handlers: Handlers<Mine>) {
    this.#port = port;
    const named = handlers as unknown as Readonly<Record<string, (value: unknown) => unknown>>;
    port.on('message', (message) => {
      if ('to' in message) void this.#serve(named[message.to]!, message);
      else this.#settle(message);
    });
  }

  /** Says something that has no answer. */
  tell<K extends keyof Theirs & string>(to: K, value: Said<Theirs, K>): void {
    if (!this.#closed) this.#port.postMessage({ to, value });
  }

  /** Rejects with what the other end says is wrong, or when it has ended. */
  ask<K extends keyof Theirs & string>(to: K, value: Said<Theirs, K>): Promise<Answered<Theirs, K>> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(ended());
        return;
      }
      const id = ++this.#id;
      this.#asked.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#port.postMessage({ to, value, id });
    });
  }

  /** The other end has ended: nobody will answer. */
  close(): void {
    this.#closed = true;
    for (const { reject } of this.#asked.values()) reject(ended());
    this.#asked.clear();
  }

  async #serve(handler: (value: unknown) => unknown, message: Extract<Message, { to: string }>): Promise<void> {
    if (!('id' in message)) {
      handler(message.value);
      return;
    }
    const { id } = message;
    try {
      const value = await handler(message.value);
      if (!this.#closed) this.#port.postMessage({ id, value });
    } catch (error) {
      if (!this.#closed) this.#port.postMessage({ id, error: messageOf(error), code: errorCode(error) ?? 'worker' });
    }
  }

  #settle(message: Exclude<Message, { to: string }>): void {
    const asked = this.#asked.get(message.id);
    this.#asked.delete(message.id);
    if ('error' in message) asked?.reject(new RemoraError(message.code, message.error));
    else asked?.resolve(message.value);
  }
}

function ended(): Error {
  return new RemoraError('worker', 'the worker has ended');
}
