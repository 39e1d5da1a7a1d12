import { systemClock } from '../../src/base/clock.ts';
import { LogRoot } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/random.ts';
import { proxyDecodeContext } from '../../src/proxy/runtime/extensions.ts';
import { Proxy } from '../../src/proxy/runtime/server.ts';
import { readBootstrap } from '../../src/xds/bootstrap/bootstrap.ts';
import { EXPLAIN, proxyBootstrap } from '../../src/xds/bootstrap/proxy-bootstrap.ts';
import type { JsonObject } from '../../src/xds/proto/codec.ts';
import { call, Lines, type Reply, until } from './mesh.ts';

/** A whole proxy that follows a control plane of test/support/control-plane.ts. */
export class PlaneProxy {
  readonly proxy: Proxy;
  readonly log: Lines;

  constructor(proxy: Proxy, log: Lines) {
    this.proxy = proxy;
    this.log = log;
  }
  port(listener: string): number {
    const address = this.proxy.addressOf(listener);
    if (address === undefined) throw new Error(`no listener ${listener}`);
    return address.port;
  }
  get(listener: string, path = '/'): Promise<Reply> {
    return call(this.port(listener), path);
  }
  /** Resolves when a call of the listener is answered so. */
  answers(listener: string, body: string): Promise<Reply> {
    let last = '';
    return until(
      () => `${body} from ${listener}; the last answer: ${last}`,
      async () => {
        const reply = await this.get(listener);
        last = `${reply.status} ${reply.body}`;
        return reply.body === body ? reply : null;
      },
    );
  }
  close(): Promise<void> {
    return this.proxy.close();
  }
}

/** A listener of the bootstrap itself, to a port of loopback or to a cluster that the plane has. */
export interface OwnListener {
  readonly name: string;
  readonly cluster: string | number;
}

/** `control`: `127.0.0.1:port` of the plane. */
export function planeProxy(control: string, mode: 'sotw' | 'delta', own?: OwnListener, concurrency = 1): PlaneProxy {
  const log = new Lines();
  const bootstrap = proxyBootstrap({
    type: 'sidecar',
    control,
    ip: '127.0.0.1',
    pod: 'web',
    namespace: 'default',
    delta: mode === 'delta',
    admin: { host: '127.0.0.1', port: 0 },
  });
  const { clusters = [] } = bootstrap.static_resources as { clusters?: JsonObject[] };
  const statics = own === undefined ? { clusters } : ownResources(own, clusters);
  const text = JSON.stringify({ ...bootstrap, layered_runtime: EXPLAIN, static_resources: statics });
  const result = readBootstrap(text, proxyDecodeContext());
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  const proxy = new Proxy({
    bootstrap: result.bootstrap,
    clock: systemClock,
    random: systemRandom,
    log: new LogRoot(systemClock, (line) => log.add(line), 'debug').logger(),
    stdout: new Lines(),
    stderr: log,
    concurrency,
    version: 'test',
    drain: { timeMs: 0, strategy: 'immediate' },
  });
  return new PlaneProxy(proxy, log);
}

const TYPES = 'type.googleapis.com/envoy.extensions.filters';

function ownResources({ name, cluster }: OwnListener, clusters: readonly JsonObject[]): JsonObject {
  const ads = { resource_api_version: 'V3', ads: {} };
  const own =
    typeof cluster === 'string'
      ? { name: cluster, type: 'EDS', eds_cluster_config: { eds_config: ads } }
      : {
          name: 'own',
          type: 'STATIC',
          load_assignment: {
            cluster_name: 'own',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: at(cluster) } }] }],
          },
        };
  const http = {
    '@type': `${TYPES}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: name,
    route_config: {
      name: 'own',
      virtual_hosts: [
        { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: own.name } }] },
      ],
    },
    http_filters: [{ name: 'router', typed_config: { '@type': `${TYPES}.http.router.v3.Router` } }],
  };
  return {
    clusters: [...clusters, own],
    listeners: [{ name, address: at(0), filter_chains: [{ filters: [{ name: 'http', typed_config: http }] }] }],
  };
}

function at(port: number): JsonObject {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}
