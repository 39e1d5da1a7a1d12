import { Agent, createServer, request as httpRequest, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface AppOptions {
  /** `http://reviews:9080/`: called for each request, and its answer put after this program's own. */
  readonly calls?: string;
  /** Port of the explicit proxy to call through. */
  readonly outbound?: () => number;
}

/** A program of the mesh that knows nothing of it: answers its name. Keeps nothing of what it saw but counts. */
export interface App {
  readonly name: string;
  readonly port: number;
  readonly requests: number;
  /** In place of its name: a status to answer, or null. */
  status: number | null;
  /** Leaves requests unanswered until it is called with false. */
  hold(on: boolean): void;
  close(): Promise<void>;
}

export async function app(name: string, options: AppOptions = {}): Promise<App> {
  const agent = new Agent({ keepAlive: true });
  const held: ServerResponse[] = [];
  let holding = false;
  let requests = 0;
  const server = createServer({ keepAliveTimeout: 0 }, (request, response) => {
    requests++;
    request.resume();
    if (self.status !== null) response.writeHead(self.status).end(name);
    else if (holding) held.push(response);
    else if (options.calls === undefined) response.end(name);
    else relay(options.calls, options.outbound?.() ?? 0, response);
  });
  const relay = (target: string, port: number, response: ServerResponse): void => {
    const host = /^http:\/\/([^/]+)/.exec(target)?.[1] ?? '';
    const sent = httpRequest({ host: '127.0.0.1', port, path: target, agent, headers: { host } }, (answer) => {
      let body = '';
      answer.setEncoding('utf8');
      answer.on('data', (text: string) => {
        body += text;
      });
      answer.on('end', () => {
        response.writeHead(answer.statusCode ?? 0, headersOf(answer.headers)).end(`${name} ${body}`);
      });
      answer.on('error', () => response.destroy());
    });
    sent.on('error', (error) => response.writeHead(599).end(`${name}: ${error.message}`));
    sent.end();
  };
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port: 0 }, resolve);
  });
  const self: App = {
    name,
    port: (server.address() as AddressInfo).port,
    get requests() {
      return requests;
    },
    status: null,
    hold(on) {
      holding = on;
      if (!on) for (const response of held.splice(0)) response.end(name);
    },
    close() {
      agent.destroy();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return self;
}

/** What the callee said about itself is handed on, so that a client sees what config was in force there. */
function headersOf(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      name.startsWith('x-round') && typeof value === 'string' ? [[`${name}-callee`, value] as const] : [],
    ),
  );
}
