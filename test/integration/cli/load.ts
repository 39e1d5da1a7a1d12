import { connect, type Socket } from 'node:net';
import { RawClient } from '../../support/client.ts';

/** What a stream of requests came to. Nothing is tried again: whatever is not a 200 with the right body is a failure. */
export interface Tally {
  served: number;
  connections: number;
  /** Responses that asked the client to leave. */
  asked: number;
  readonly failures: string[];
}

/**
 * Requests one after the other, from many clients at once: half keep their connections until they are told to leave,
 * half open one for each request. `pick` chooses the port of each new connection.
 */
export class Load {
  readonly tally: Tally = { served: 0, connections: 0, asked: 0, failures: [] };
  readonly #pick: () => number;
  readonly #loops: Promise<void>[];
  #stopped = false;

  constructor(clients: number, pick: () => number) {
    this.#pick = pick;
    this.#loops = Array.from({ length: clients }, (_, i) => this.#run(i, i % 2 === 0));
  }

  async stop(): Promise<Tally> {
    this.#stopped = true;
    await Promise.all(this.#loops);
    return this.tally;
  }

  /** Resolves when so many more requests were served. */
  async more(count: number): Promise<void> {
    const goal = this.tally.served + count;
    while (this.tally.served < goal && this.tally.failures.length === 0) await breath();
  }

  async #run(index: number, keeps: boolean): Promise<void> {
    let client: RawClient | null = null;
    for (let i = 0; !this.#stopped; i++) {
      const path = `/${index}/${i}`;
      try {
        client ??= await this.#connect();
        if (i % 4 === 3) client.post(path, 'x'.repeat(2000));
        else client.get(path);
        const response = await client.response();
        if (response.status !== 200 || response.body !== path) throw new Error(`${response.status} ${response.body}`);
        this.tally.served++;
        const leave = response.header('connection') === 'close';
        if (leave) this.tally.asked++;
        if (leave || !keeps) {
          client.socket.destroy();
          client = null;
        }
      } catch (error) {
        this.tally.failures.push(`${path} ${keeps ? 'kept' : 'new'}: ${String(error)}`);
        client?.socket.destroy();
        client = null;
      }
      await breath();
    }
    client?.socket.destroy();
  }

  async #connect(): Promise<RawClient> {
    const socket: Socket = connect({ host: '127.0.0.1', port: this.#pick(), noDelay: true, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    this.tally.connections++;
    return new RawClient(socket);
  }
}

/** Others get their turn, and two cores are not all ours. */
function breath(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
