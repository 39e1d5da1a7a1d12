import type { Socket } from 'node:net';
import { manualClock } from './clock.ts';
import { type Json, type ProxyBuilder, proxy, scripted } from './proxy.ts';

const EXTENSIONS = 'type.googleapis.com/envoy.extensions.filters.http';
const HUNDRED = { numerator: 100, denominator: 'HUNDRED' };
const NEVER = { numerator: 0, denominator: 'HUNDRED' };
const MANY = { max_tokens: 1_000_000, tokens_per_fill: 1_000_000, fill_interval: '1s' };
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const REQUEST = 'GET /reviews/0 HTTP/1.1\r\nHost: reviews:9080\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n';

/** The filters that a sidecar of the demo has, and RBAC, each with something to decide for every request. */
export function demoFilters(builder: ProxyBuilder): ProxyBuilder {
  const rules: Json = {
    policies: {
      read: {
        permissions: [
          {
            and_rules: {
              rules: [
                { header: { name: ':method', string_match: { exact: 'GET' } } },
                { url_path: { path: { prefix: '/reviews' } } },
                { destination_port_range: { start: 1, end: 65_536 } },
              ],
            },
          },
        ],
        principals: [{ remote_ip: { address_prefix: '127.0.0.0', prefix_len: 8 } }],
      },
    },
  };
  return builder
    .filter('fault', {
      '@type': `${EXTENSIONS}.fault.v3.HTTPFault`,
      delay: { fixed_delay: '1s', percentage: NEVER },
      abort: { http_status: 503, percentage: NEVER },
    })
    .filter('cors', { '@type': `${EXTENSIONS}.cors.v3.Cors` })
    .filter('rbac', { '@type': `${EXTENSIONS}.rbac.v3.RBAC`, rules, shadow_rules: rules, track_per_rule_stats: true })
    .filter('local_ratelimit', {
      '@type': `${EXTENSIONS}.local_ratelimit.v3.LocalRateLimit`,
      stat_prefix: 'limit',
      token_bucket: MANY,
      filter_enabled: { default_value: HUNDRED },
      filter_enforced: { default_value: HUNDRED },
    });
}

/**
 * A proxy with the demo's filters between two peers that are callbacks only, so that what is counted is the proxy's.
 * Its clock stands still: how often it flushes its log would depend on the machine.
 */
export async function hotPath(): Promise<HotPath> {
  const server = await scripted();
  const p = await demoFilters(proxy().clock(manualClock()))
    .cluster('a', server.port)
    .to('a', { retry_policy: { retry_on: '5xx' }, timeout: '15s' })
    .manager({ use_remote_address: true, normalize_path: true })
    .start();
  server.server.on('connection', (upstream) => {
    upstream.removeAllListeners('data');
    upstream.on('data', () => upstream.write(OK, 'latin1'));
  });
  const { socket } = await p.client();
  return new HotPath(socket);
}

export class HotPath {
  readonly #socket: Socket;
  #answered = 0;
  #until = 0;
  #done: () => void = () => {};
  #wrong = '';

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.removeAllListeners('data');
    socket.on('data', (data: Buffer) => {
      if (this.#wrong === '' && data.toString('latin1', 0, 15) !== 'HTTP/1.1 200 OK')
        this.#wrong = data.toString('latin1');
      if (++this.#answered === this.#until) this.#done();
      else socket.write(REQUEST, 'latin1');
    });
  }

  /** Sends `count` requests, one after the other's answer; the promises it makes are made before the first. */
  async run(count: number): Promise<void> {
    this.#answered = 0;
    this.#until = count;
    await new Promise<void>((resolve) => {
      this.#done = resolve;
      this.#socket.write(REQUEST, 'latin1');
    });
    if (this.#wrong !== '') throw new Error(`not a 200: ${this.#wrong}`);
  }
}
