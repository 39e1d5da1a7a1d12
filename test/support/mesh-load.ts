import { Agent, request as httpRequest } from 'node:http';
import type { Socket } from 'node:net';

export interface LoadOptions {
  readonly port: number;
  /** `/`, or `http://reviews:9080/` through an explicit proxy. */
  readonly target: string;
  readonly clients?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Keep-alive clients that each send one request after the other until told to stop. */
export class Load {
  readonly #options: LoadOptions;
  readonly #agents: Agent[] = [];
  readonly #running: Promise<void>[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #wakers: (() => void)[] = [];
  #stopped = false;
  sent = 0;
  /** What went wrong, by what it was; a status other than 200, or an error. */
  readonly failures = new Map<string, number>();
  /** Answers by body. */
  readonly bodies = new Map<string, number>();
  /** Connections that were opened: with as many as there are clients nobody closed one. */
  connections = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
    for (let i = 0; i < (options.clients ?? 4); i++) this.#running.push(this.#client());
  }

  get clients(): number {
    return this.#options.clients ?? 4;
  }
  get failed(): number {
    let sum = 0;
    for (const count of this.failures.values()) sum += count;
    return sum;
  }

  /** Resolves when so many more requests were answered. */
  async more(count: number): Promise<void> {
    const end = this.sent + count;
    while (this.sent < end) {
      await new Promise<void>((resolve) => this.#wakers.push(resolve));
    }
  }

  /** Ends after the requests in progress, and closes the connections. */
  async stop(): Promise<this> {
    this.#stopped = true;
    await Promise.all(this.#running);
    for (const agent of this.#agents) agent.destroy();
    return this;
  }

  async #client(): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    this.#agents.push(agent);
    while (!this.#stopped) {
      const failure = await this.#one(agent);
      this.sent++;
      if (failure !== '') this.failures.set(failure, (this.failures.get(failure) ?? 0) + 1);
      for (const wake of this.#wakers.splice(0)) wake();
    }
  }

  /** '' when it went well. */
  #one(agent: Agent): Promise<string> {
    const { port, target, headers } = this.#options;
    const host = /^http:\/\/([^/]+)/.exec(target)?.[1] ?? 'bookinfo.example';
    return new Promise((resolve) => {
      const sent = httpRequest(
        { host: '127.0.0.1', port, path: target, agent, headers: { host, ...headers } },
        (response) => {
          let body = '';
          response.setEncoding('latin1');
          response.on('data', (text: string) => {
            body += text;
          });
          response.on('error', (error) => resolve(error.message));
          response.on('end', () => {
            if (response.statusCode === 200) {
              this.bodies.set(body, (this.bodies.get(body) ?? 0) + 1);
              resolve('');
            } else resolve(`${response.statusCode} ${body.slice(0, 200)}`);
          });
        },
      );
      sent.on('socket', (socket) => {
        if (this.#sockets.has(socket)) return;
        this.#sockets.add(socket);
        this.connections++;
      });
      sent.on('error', (error) => resolve(error.message));
      sent.end();
    });
  }
}
