import { expect, it } from 'vitest';
import { silentLogger } from '../../../../src/base/log.ts';
import { deltaWire } from '../../../../src/control/serve/delta.ts';
import { proxyNode } from '../../../../src/control/serve/node.ts';
import { PushBudget } from '../../../../src/control/serve/push-budget.ts';
import { Session } from '../../../../src/control/serve/session.ts';
import {
  type Instance,
  type ProxySnapshot,
  type ResourceEntry,
  resourceEntry,
} from '../../../../src/control/serve/snapshot.ts';
import {
  CLUSTER,
  ENDPOINT,
  LISTENER,
  ROUTE,
  shortName,
  VIRTUAL_HOST,
} from '../../../../src/control/serve/type-urls.ts';
import { decode, Problems } from '../../../../src/xds/proto/codec.ts';
import { Cluster } from '../../../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { VirtualHost } from '../../../../src/xds/proto/gen/envoy/config/route/v3.ts';
import { DeltaDiscoveryResponse, type Resource } from '../../../../src/xds/proto/gen/envoy/service/discovery/v3.ts';
import { manualClock } from '../../../support/clock.ts';
import { edsCluster, endpoints, httpListener, routesTo, TestSource } from '../../../support/control-plane.ts';

function staticCluster(name: string, port_value: number): Cluster {
  const address = { socket_address: { address: '10.0.0.7', port_value } };
  return {
    name,
    type: 'STATIC',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
  };
}

/** `web/a`: host a, and by another name. */
function host(name: string, cluster: string, ...domains: string[]): ResourceEntry {
  const routes = [{ match: { prefix: '/' }, route: { cluster } }];
  return resourceEntry(VirtualHost, { name: `web/${name}`, domains: [name, ...domains], routes });
}

class OnDemandSource extends TestSource {
  onDemand = true;
  override snapshotFor(node: Parameters<TestSource['snapshotFor']>[0]): ProxySnapshot {
    const snapshot = super.snapshotFor(node);
    const instance = (asked: string): Instance | null => this.#instances.get(asked) ?? null;
    return { ...snapshot, instance, ...(this.onDemand ? { onDemand: true } : {}) };
  }
  readonly #instances = new Map<string, Instance>();

  /** `port` is that of the instance's one endpoint; 0: it is gone. */
  instance(asked: string, port: number): void {
    const cluster = { ...staticCluster(asked, port) };
    const routes = [{ match: { prefix: '/' }, route: { cluster: asked } }];
    const host = resourceEntry(VirtualHost, { name: asked, domains: [asked.slice(asked.indexOf('/') + 1)], routes });
    if (port === 0) this.#instances.delete(asked);
    else this.#instances.set(asked, { host, clusters: [resourceEntry(Cluster, cluster)] });
  }
}

/** A client that asks for everything, ACKs everything, and follows clusters to their endpoints. */
function rig(onDemand: boolean, answers = true) {
  const clock = manualClock();
  const source = new OnDemandSource();
  source.onDemand = onDemand;
  const names = ['a', 'b', 'c'];
  source.put(
    ...names.flatMap((name) => [edsCluster(name), endpoints(name, 1)]),
    httpListener('in', 80, 'web'),
    routesTo('web', 'rest'),
    edsCluster('rest'),
    endpoints('rest', 9),
    host('a', 'a', 'alias-of-a'),
    host('b', 'b', '*.b.example'),
  );
  const said: string[] = [];
  const queue: { typeUrl: string; nonce: string; resources: Resource[] }[] = [];
  const session = new Session({
    node: proxyNode(undefined, { delta: true }),
    wire: deltaWire({}),
    source,
    clock,
    log: silentLogger(clock),
    gateMs: 15_000,
    budget: new PushBudget({ clock }),
    send: (bytes) => {
      const r = decode(DeltaDiscoveryResponse, bytes, new Problems());
      const parts = (r.resources ?? []).map(({ name, resource, aliases = [] }) => {
        const by = aliases.length === 0 ? '' : `(${aliases})`;
        return `${resource === undefined ? '?' : ''}${name}${by}`;
      });
      said.push([shortName(r.type_url ?? ''), ...parts, ...(r.removed_resources ?? []).map((n) => `-${n}`)].join(' '));
      queue.push({ typeUrl: r.type_url ?? '', nonce: r.nonce ?? '', resources: r.resources ?? [] });
    },
    answered: () => {},
  });
  const request = (typeUrl: string, subscribe: string[] = [], unsubscribe: string[] = [], nonce = ''): void =>
    session.request({ typeUrl, nonce, error: undefined, names: null, subscribe, unsubscribe, versions: {} });
  const settle = (): string[] => {
    while (answers && queue.length > 0) {
      const { typeUrl, nonce, resources } = queue.shift()!;
      if (typeUrl === CLUSTER && resources.length > 0)
        request(
          ENDPOINT,
          resources.map(({ name }) => name ?? ''),
        );
      request(typeUrl, [], [], nonce);
    }
    return said.splice(0);
  };
  const change = (...entries: ResourceEntry[]): string[] => {
    source.put(...entries);
    session.refresh('config');
    return settle();
  };
  const start = (): string[] => {
    request(CLUSTER);
    request(LISTENER);
    request(ROUTE, ['web']);
    request(VIRTUAL_HOST);
    return settle();
  };
  return { clock, source, session, request, settle, change, start, said };
}

it('sends Envoy every virtual host as a resource, after the clusters and routes', () => {
  const { start, change } = rig(false);
  expect(start()).toEqual(['CDS a b c rest', 'EDS a b c rest', 'LDS in', 'RDS web', 'VHDS web/a web/b']);
  expect(change(host('a', 'c'))).toEqual(['VHDS web/a']);
});

it('sends on demand what listeners and routes name, and the rest when its host is asked for', () => {
  const { start, request, settle, change, session } = rig(true);
  expect(start()).toEqual(['CDS rest', 'EDS rest', 'LDS in', 'RDS web', 'VHDS']);
  expect(session.applied).toBe(session.target.version);
  request(VIRTUAL_HOST, ['web/Alias-of-A']);
  expect(settle()).toEqual(['CDS a', 'EDS a', 'VHDS web/a(web/Alias-of-A)']);
  // What it does not have it does not hear of.
  expect(change(host('b', 'c'))).toEqual([]);
  // Its own host leads elsewhere: clusters first, and what is not needed any more last.
  expect(change(host('a', 'c', 'alias-of-a'))).toEqual(['CDS c', 'EDS c', 'VHDS web/a(web/Alias-of-A)', 'CDS -a']);
  request(VIRTUAL_HOST, [], ['web/Alias-of-A']);
  expect(settle()).toEqual(['VHDS -web/a', 'CDS -c']);
});

it('says what there is not, and sends it when it appears', () => {
  const { start, request, settle, change } = rig(true);
  start();
  request(VIRTUAL_HOST, ['web/new', 'web/x.b.example']);
  expect(settle()).toEqual(['CDS b', 'EDS b', 'VHDS web/b(web/x.b.example) ?web/new(web/new)']);
  expect(change(host('new', 'c'))).toEqual(['CDS c', 'EDS c', 'VHDS web/new(web/new)']);
});

// pains.md row 25
it('sends an instance to whoever asks for its address, with its cluster, as long as it is there', () => {
  const { source, start, request, settle, ...more } = rig(true);
  start();
  // The client follows every cluster to its endpoints, which this one has in itself.
  const own = (said: string[]): string[] => said.filter((line) => !line.startsWith('EDS'));
  const change = (entry: ResourceEntry): string[] => own(more.change(entry));
  const asked = 'web/10.0.0.7:80';
  request(VIRTUAL_HOST, [asked, 'web/10.0.0.8:80']);
  expect(settle()).toEqual([`VHDS ?${asked}(${asked}) ?web/10.0.0.8:80(web/10.0.0.8:80)`]);
  // A pod that comes or goes is a change of endpoints at the least.
  source.instance(asked, 80);
  expect(change(endpoints('c', 2))).toEqual([`CDS ${asked}`, `VHDS ${asked}(${asked})`]);
  // What changes of others is nothing to it.
  expect(change(endpoints('c', 3))).toEqual([]);
  source.instance(asked, 81);
  expect(change(endpoints('c', 4))).toEqual([`CDS ${asked}`]);
  source.instance(asked, 0);
  expect(change(endpoints('c', 5))).toEqual([`VHDS -${asked}`, `CDS -${asked}`]);
  source.instance(asked, 80);
  change(endpoints('c', 6));
  // Who asks again is told again, and not that it is absent.
  request(VIRTUAL_HOST, [asked]);
  expect(own(settle())).toEqual([`VHDS ${asked}(${asked})`]);
  request(VIRTUAL_HOST, [], [asked]);
  expect(own(settle())).toEqual([`VHDS -${asked}`, `CDS -${asked}`]);
});

it('sends an instance on top of all hosts and clusters to a client that has them all', () => {
  const { source, start, request, ...more } = rig(false);
  // The client follows every cluster to its endpoints, which this one has in itself.
  const own = (said: string[]): string[] => said.filter((line) => !line.startsWith('EDS'));
  const settle = (): string[] => own(more.settle());
  const change = (entry: ResourceEntry): string[] => own(more.change(entry));
  const asked = 'web/10.0.0.7:80';
  source.instance(asked, 80);
  expect(start()).toEqual(['CDS a b c rest', 'EDS a b c rest', 'LDS in', 'RDS web', 'VHDS web/a web/b']);
  request(VIRTUAL_HOST, [asked, 'web/10.0.0.8:80']);
  expect(settle()).toEqual([`CDS ${asked}`, `VHDS ${asked}(${asked}) ?web/10.0.0.8:80(web/10.0.0.8:80)`]);
  expect(change(host('a', 'c'))).toEqual(['VHDS web/a']);
  // A policy may change without its endpoints.
  source.instance(asked, 81);
  expect(change(host('b', 'a', '*.b.example'))).toEqual([`CDS ${asked}`, 'VHDS web/b']);
  request(VIRTUAL_HOST, [], [asked]);
  expect(settle()).toEqual([`VHDS -${asked}`, `CDS -${asked}`]);
});

it('sends hosts again when their routes are new to the client', () => {
  const { start, request, settle, change } = rig(false);
  start();
  change(
    resourceEntry(VirtualHost, {
      name: 'more/x',
      domains: ['x'],
      routes: [{ match: { prefix: '/' }, route: { cluster: 'a' } }],
    }),
    routesTo('more', 'rest'),
  );
  request(ROUTE, ['more']);
  expect(settle()).toEqual(['RDS more', 'VHDS more/x']);
});
