import { errorCode } from '../../base/errors.ts';
import type { ListenAddress, ListenSockets } from '../io/listen-sockets.ts';
import { asServer, bindShared, checkFree, type Duplicate, type ListenHandle } from './listen-handle.ts';

/** A socket of a worker. */
interface Kept {
  readonly handle: ListenHandle;
  readonly port: number;
  /** It is another worker's too: not ours to close. */
  readonly borrowed: boolean;
}

/**
 * The listening sockets of workers: one for each worker and address, so that the kernel shares connections out
 * (SO_REUSEPORT). They are this thread's, who never accepts; a worker listens on a descriptor of its own. So a socket
 * outlives its worker, and who waits in its queue is served by the one that comes in its place.
 */
export class WorkerSockets {
  readonly #duplicate: Duplicate;
  /** Who keeps them beyond this process; null: nobody. */
  readonly #beyond: ListenSockets | null;
  /** By key, those of each worker. */
  readonly #kept = new Map<string, Map<number, Kept>>();
  /** By key, what is being bound: the second worker needs to know the port of the first. */
  readonly #binding = new Map<string, Promise<unknown>>();

  constructor(duplicate: Duplicate, beyond: ListenSockets | null) {
    this.#duplicate = duplicate;
    this.#beyond = beyond;
  }

  /** A descriptor that listens or may; whoever gets it closes it. */
  async take(worker: number, key: string, address: ListenAddress): Promise<number> {
    const taken = (this.#binding.get(key) ?? Promise.resolve()).then(() => this.#take(worker, key, address));
    // Whoever asked hears of it; the next one only waits.
    const settled = taken.catch(() => undefined);
    this.#binding.set(key, settled);
    try {
      return this.#duplicate((await taken).handle.fd);
    } finally {
      if (this.#binding.get(key) === settled) this.#binding.delete(key);
    }
  }

  /** The worker listens on it no more. */
  release(worker: number, key: string): void {
    const kept = this.#kept.get(key)?.get(worker);
    if (kept === undefined) return;
    this.#forget(worker, key);
    if (kept.borrowed) return;
    kept.handle.close();
    this.#beyond?.release(keyOf(key, worker));
  }

  /** The worker will be away for long: its share of connections is to go to the others. */
  releaseAll(worker: number): void {
    for (const key of [...this.#kept.keys()]) this.release(worker, key);
  }

  close(): void {
    for (const [key, workers] of [...this.#kept]) for (const worker of [...workers.keys()]) this.release(worker, key);
  }

  async #take(worker: number, key: string, address: ListenAddress): Promise<Kept> {
    const of = this.#kept.get(key) ?? new Map<number, Kept>();
    const known = of.get(worker);
    if (known !== undefined) return known;
    const made = await this.#make(worker, key, address, of);
    of.set(worker, made);
    this.#kept.set(key, of);
    return made;
  }

  async #make(worker: number, key: string, address: ListenAddress, of: ReadonlyMap<number, Kept>): Promise<Kept> {
    const beyond = await this.#beyond?.take(keyOf(key, worker), address);
    if (beyond) {
      const handle = beyond as ListenHandle;
      const name: { port?: number } = {};
      handle.getsockname(name);
      return { handle, port: name.port ?? address.port, borrowed: false };
    }
    const [first] = of.values();
    try {
      if (first === undefined) checkFree(address);
      const bound = bindShared({ ...address, port: first?.port ?? address.port });
      this.#beyond?.keep(keyOf(key, worker), asServer(bound.handle));
      return { ...bound, borrowed: false };
    } catch (error) {
      // The process before had one worker, whose socket shares with nobody: then they accept on the same.
      if (first === undefined || errorCode(error) !== 'EADDRINUSE') throw error;
      return { ...first, borrowed: true };
    }
  }

  #forget(worker: number, key: string): void {
    const of = this.#kept.get(key);
    of?.delete(worker);
    if (of?.size === 0) this.#kept.delete(key);
  }
}

/** The first has the key that a process without workers has: each can take over from the other. */
function keyOf(key: string, worker: number): string {
  return worker === 0 ? key : `${key}#${worker}`;
}
