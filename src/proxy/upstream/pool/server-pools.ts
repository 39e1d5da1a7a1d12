import { isIP } from '../../../base/ip.ts';
import type { AutoSni } from '../../../model/tls.ts';
import type { RequestHead } from '../../../protocol/http/message.ts';
import type { UpstreamCluster } from '../cluster.ts';
import type { UpstreamEndpoint } from '../endpoint.ts';
import type { ServerIdentity } from '../tls.ts';
import { Http1Pool, type PoolEnvironment } from './http1-pool.ts';
import type { EndpointPool } from './pool.ts';

/** Names with connections to one endpoint; beyond, the pool that was used longest ago is drained. */
const MAX_SERVERS = 256;

/**
 * The pools of one endpoint by the server that requests are for: a connection was verified, and routed on its way, by
 * that name, and serves no other (`auto_sni`, `auto_san_validation`).
 */
export class ServerPools implements EndpointPool {
  readonly #endpoint: UpstreamEndpoint;
  readonly #env: PoolEnvironment;
  readonly #pools = new Map<string, Http1Pool>();

  constructor(endpoint: UpstreamEndpoint, env: PoolEnvironment) {
    this.#endpoint = endpoint;
    this.#env = env;
  }

  get connections(): number {
    let sum = 0;
    for (const pool of this.#pools.values()) sum += pool.connections;
    return sum;
  }

  pool(name: string, autoSni: AutoSni, cluster: UpstreamCluster): Http1Pool {
    let pool = this.#pools.get(name);
    if (pool !== undefined) {
      this.#pools.delete(name);
    } else {
      const [oldest] = this.#pools;
      if (this.#pools.size >= MAX_SERVERS && oldest !== undefined) {
        this.#pools.delete(oldest[0]);
        oldest[1].drain();
      }
      pool = new Http1Pool(this.#endpoint, cluster, this.#env, serverIdentity(name, autoSni));
    }
    // The last in the map is the one that was used last.
    this.#pools.set(name, pool);
    return pool;
  }

  drain(): void {
    for (const pool of this.#pools.values()) pool.drain();
  }
  destroy(): void {
    for (const pool of this.#pools.values()) pool.destroy();
  }
}

function serverIdentity(name: string, { sni, san }: AutoSni): ServerIdentity {
  return { sni: sni && isIP(name) === 0 ? name : '', san: san ? name : '', http: true };
}

/** The server that a request names: its host without port; '' none. */
export function serverOf(request: RequestHead, { header }: AutoSni): string {
  const value = header === ':authority' ? request.authority : (request.headers.get(header) ?? '');
  // An IPv6 address stands in brackets (RFC 3986, 3.2.2).
  const bracketed = /^\[([^\]]*)\](?::\d*)?$/.exec(value);
  return (bracketed === null ? value.replace(/:\d*$/, '') : bracketed[1]!).toLowerCase();
}

/** The pool of an endpoint that serves a request; made when it is the first. */
export function poolFor(
  endpoint: UpstreamEndpoint,
  cluster: UpstreamCluster,
  request: RequestHead,
  env: PoolEnvironment,
): Http1Pool {
  const { autoSni } = cluster.config;
  const { pool } = endpoint;
  if (autoSni === undefined) {
    if (pool instanceof Http1Pool) return pool;
    pool?.drain();
    const made = new Http1Pool(endpoint, cluster, env);
    endpoint.pool = made;
    return made;
  }
  let pools = pool;
  if (!(pools instanceof ServerPools)) {
    pools?.drain();
    pools = new ServerPools(endpoint, env);
    endpoint.pool = pools;
  }
  return (pools as ServerPools).pool(serverOf(request, autoSni), autoSni, cluster);
}
