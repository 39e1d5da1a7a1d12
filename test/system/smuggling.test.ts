import { mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SMUGGLING_CASES } from '../support/smuggling.ts';
import type { SmugglingCase } from '../support/smuggling-case.ts';
import { envoy, haproxy, nginx, nodeHttp, remora } from './support/peers.ts';
import { freePort, pause } from './support/process.ts';

/** Takes down every octet of every connection, and answers once for whatever looks like the end of a request. */
class Recorder {
  readonly connections: string[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #server: Server = createServer((socket) => {
    const at = this.connections.push('') - 1;
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      this.connections[at] += chunk.toString('latin1');
      if (/\r\n\r\n/.test(chunk.toString('latin1'))) {
        const status = chunk.toString('latin1').startsWith('CONNECT ') ? '403 Forbidden' : '200 OK';
        socket.write(`HTTP/1.1 ${status}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n`);
        setTimeout(() => socket.end(), 20);
      }
    });
  });

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }
  get open(): number {
    return this.#sockets.size;
  }
  reset(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.connections.length = 0;
  }
  async close(): Promise<void> {
    this.reset();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** What a proxy made of one case. */
interface Outcome {
  /** Status codes that came back, in order; empty when it only closed, or waits for more. */
  readonly statuses: readonly number[];
  /** The first lines of all that looks like a request on the upstream's side. */
  readonly forwarded: readonly string[];
}

/** After the last octet of anybody. */
const QUIET_MS = 150;
/** While nobody has said anything yet: a proxy that has no turn on a busy machine, or waits for more. */
const SILENT_MS = 1500;

/**
 * The request lines in what an upstream got, read as a plain server would: chunks before a length. What cannot be
 * read so counts by what looks like a request line.
 */
function requestLines(text: string): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) return [...lines, ...(rest.match(/^[A-Z]+ \S+ HTTP\/1\.[01]\r?$/gm) ?? [])];
    const head = rest.slice(0, end);
    lines.push(head.slice(0, head.search(/\r\n|$/)));
    rest = rest.slice(end + 4);
    rest = rest.slice(/^transfer-encoding:.*chunked/im.test(head) ? chunkedLength(rest) : statedLength(head));
  }
  return lines;
}

function statedLength(head: string): number {
  return Number(/^content-length:[ \t]*(\d+)[ \t]*$/im.exec(head)?.[1] ?? 0);
}

/** Length of a chunked body, trailers included; all of the text when it does not end. */
function chunkedLength(text: string): number {
  let at = 0;
  for (;;) {
    const line = text.indexOf('\r\n', at);
    const size = Number.parseInt(text.slice(at, line), 16);
    if (line === -1 || Number.isNaN(size)) return text.length;
    if (size > 0) {
      at = line + 2 + size + 2;
      continue;
    }
    const end = text.indexOf('\r\n\r\n', line);
    return end === -1 ? text.length : end + 4;
  }
}

async function send(port: number, bytes: string, recorder: Recorder): Promise<Outcome> {
  recorder.reset();
  let received = '';
  let closed = false;
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  socket.on('error', () => {});
  for (const event of ['end', 'close']) {
    socket.on(event, () => {
      closed = true;
    });
  }
  socket.write(bytes, 'latin1');
  // Over when everybody has hung up, or nobody has said anything for a while.
  let seen = -1;
  let quiet = performance.now();
  const silent = () => received === '' && !closed;
  while (performance.now() - quiet < (silent() ? SILENT_MS : QUIET_MS) && !(closed && recorder.open === 0)) {
    const total = received.length + recorder.connections.reduce((sum, text) => sum + text.length, 0);
    if (total !== seen) {
      seen = total;
      quiet = performance.now();
    }
    await pause(5);
  }
  socket.destroy();
  return {
    statuses: [...received.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, status]) => Number(status)),
    forwarded: recorder.connections.flatMap(requestLines),
  };
}

function bootstrap(port: number, upstream: number): string {
  return JSON.stringify({
    static_resources: {
      listeners: [
        {
          name: 'in',
          address: { socket_address: { address: '127.0.0.1', port_value: port } },
          filter_chains: [
            {
              filters: [
                {
                  name: 'envoy.filters.network.http_connection_manager',
                  typed_config: {
                    '@type':
                      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                    stat_prefix: 'in',
                    http_protocol_options: { accept_http_10: true },
                    upgrade_configs: [{ upgrade_type: 'CONNECT' }, { upgrade_type: 'websocket' }],
                    route_config: {
                      virtual_hosts: [
                        {
                          name: 'all',
                          domains: ['*'],
                          routes: [{ prefix: '/' }, { safe_regex: { regex: '\\*' } }, { connect_matcher: {} }].map(
                            (match) => ({ match, route: { cluster: 'out', timeout: '2s' } }),
                          ),
                        },
                      ],
                    },
                    http_filters: [
                      {
                        name: 'envoy.filters.http.router',
                        typed_config: {
                          '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
                        },
                      },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'out',
          type: 'STATIC',
          load_assignment: {
            cluster_name: 'out',
            endpoints: [
              {
                lb_endpoints: [
                  { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: upstream } } } },
                ],
              },
            ],
          },
        },
      ],
    },
  });
}

const PROXIES = {
  remora: (port: number, upstream: number) => remora(bootstrap(port, upstream), port),
  envoy: (port: number, upstream: number) => envoy(bootstrap(port, upstream), port),
  haproxy,
  nginx,
  'node:http': nodeHttp,
};

type Name = keyof typeof PROXIES;
const names = Object.keys(PROXIES) as Name[];

/** In words: `400`, `200: GET /`, `closed`. */
function describeOutcome({ statuses, forwarded }: Outcome): string {
  const back = statuses.length === 0 ? 'no answer' : statuses.join(' ');
  return forwarded.length === 0
    ? back
    : `${back} → ${forwarded.map((line) => line.replace(/ HTTP.*$/, '')).join(' + ')}`;
}

/** Whole requests that may reach the upstream. */
function allowed({ verdict }: SmugglingCase): readonly string[] {
  return verdict.kind === 'forward'
    ? verdict.requests.map(({ method, path, authority }) => `${method} ${path === '' ? authority : path}`)
    : [];
}

describe('malformed requests', () => {
  const recorders = {} as Record<Name, Recorder>;
  const ports = {} as Record<Name, number>;
  const table: { item: SmugglingCase; outcomes: Record<Name, Outcome> }[] = [];

  beforeAll(async () => {
    for (const name of names) {
      recorders[name] = new Recorder();
      const upstream = await recorders[name].listen();
      ports[name] = await freePort();
      await PROXIES[name](ports[name], upstream);
    }
  });
  afterAll(async () => {
    for (const name of names) await recorders[name]?.close();
    write(table);
  });

  it.each(SMUGGLING_CASES.map((item) => [`${item.group}: ${item.name}`, item] as const))('%s', async (_, item) => {
    const outcomes = Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await send(ports[name], item.bytes, recorders[name])])),
    ) as Record<Name, Outcome>;
    table.push({ item, outcomes });
    const { statuses, forwarded } = outcomes.remora;
    const { verdict } = item;
    if (verdict.kind === 'refuse') {
      expect(statuses.at(-1)).toBe(verdict.status);
      expect(forwarded.length).toBeLessThanOrEqual(verdict.before);
    } else {
      expect(forwarded.map((line) => line.replace(/ HTTP.*$/, ''))).toEqual(allowed(item));
    }
  });
});

/** Whether the upstream saw what it must not: anything of a refused request, or other requests than those of the verdict. */
function strays(item: SmugglingCase, { forwarded }: Outcome): boolean {
  if (item.verdict.kind === 'refuse') return forwarded.length > item.verdict.before;
  const seen = forwarded.map((line) => line.replace(/ HTTP.*$/, ''));
  return seen.length > 0 && seen.join('\n') !== allowed(item).join('\n');
}

function write(table: readonly { item: SmugglingCase; outcomes: Record<Name, Outcome> }[]): void {
  const rows = table.map(({ item, outcomes }) => {
    const verdict =
      item.verdict.kind === 'refuse' ? `refuse ${item.verdict.status}` : `forward ${allowed(item).length}`;
    const cells = names.map((name) => {
      const text = cell(describeOutcome(outcomes[name]));
      return strays(item, outcomes[name]) ? `**${text}**` : text;
    });
    return `| ${cell(item.group)} | ${cell(item.name)} | ${verdict} | ${cells.join(' | ')} |`;
  });
  const refuse = table.filter(({ item }) => item.verdict.kind === 'refuse');
  const forward = table.filter(({ item }) => item.verdict.kind === 'forward');
  const counts = names.map((name) => {
    const [reached, other] = [refuse, forward].map(
      (some) => some.filter(({ item, outcomes }) => strays(item, outcomes[name])).length,
    );
    const silent = forward.filter(({ outcomes }) => outcomes[name].forwarded.length === 0).length;
    return `| ${name} | ${reached} | ${other} | ${silent} |`;
  });
  const lines = [
    '# Malformed requests: who forwards what',
    '',
    `${table.length} cases of test/support/smuggling.ts through each proxy with its defaults, written by`,
    '`UPDATE_GOLDEN=1 test/system/run.sh smuggling`. A cell has the statuses that came back → the request lines that',
    'the upstream saw; bold is what Remora must not do. Bold does not make it an error of that proxy: some take what',
    'RFC 9112 lets them take, and make it whole again before they send it on.',
    '',
    `| proxy | of ${refuse.length} to refuse reached the upstream, at least in part | of ${forward.length} to forward came as other requests | refused or cut |`,
    '| --- | --- | --- | --- |',
    ...counts,
    '',
    `| group | case | Remora must | ${names.join(' | ')} |`,
    `| --- | --- | --- | ${names.map(() => '---').join(' | ')} |`,
    ...rows,
    '',
  ];
  mkdirSync(new URL('results/', import.meta.url), { recursive: true });
  const place = process.env['UPDATE_GOLDEN'] === '1' ? 'malformed-requests.md' : 'results/malformed-requests.md';
  writeFileSync(new URL(place, import.meta.url), lines.join('\n'));
  process.stdout.write(`${counts.join('\n')}\ntable: test/system/${place}\n`);
}

function cell(text: string): string {
  return text
    .replaceAll('|', '\\|')
    .replace(/[^\x20-\x7e→]/g, '?')
    .slice(0, 90);
}
