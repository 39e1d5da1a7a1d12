// Issue 3: what cannot be understood is named and NACKed, the last good config is kept, the rest of the push applies.
import { describe, expect, it } from 'vitest';
import { type ResourceEntry, resourceEntry } from '../../../src/control/serve/snapshot.ts';
import { pack } from '../../../src/xds/proto/codec.ts';
import { Listener } from '../../../src/xds/proto/gen/envoy/config/listener/v3.ts';
import { RouteConfiguration } from '../../../src/xds/proto/gen/envoy/config/route/v3.ts';
import { HttpConnectionManager } from '../../../src/xds/proto/gen/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import { type ControlPlane, controlPlane, edsCluster, httpListener, routesTo } from '../../support/control-plane.ts';
import { until } from '../../support/mesh.ts';
import { type App, app } from '../../support/mesh-app.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { type PlaneProxy, planeProxy } from '../../support/plane-proxy.ts';

/** The same with a field that no proxy knows. */
function withUnknownField(entry: ResourceEntry): ResourceEntry {
  // Field 9999, a varint.
  const value = Buffer.concat([entry.any.value ?? Buffer.alloc(0), Buffer.from([0xf8, 0xf0, 0x04, 0x01])]);
  return {
    ...entry,
    version: `${entry.version}+`,
    any: { type_url: entry.any.type_url, value: new Uint8Array(value) },
  };
}

function withRegex(name: string, cluster: string, regex: string): ResourceEntry {
  return resourceEntry(RouteConfiguration, {
    name,
    virtual_hosts: [
      {
        name: 'all',
        domains: ['*'],
        routes: [
          { match: { safe_regex: { regex } }, route: { cluster } },
          { match: { prefix: '/' }, route: { cluster } },
        ],
      },
    ],
  });
}

function withUnknownFilter(name: string): ResourceEntry {
  const filter = { type_url: 'type.googleapis.com/acme.filters.Magic', value: new Uint8Array(0) };
  const manager = pack(HttpConnectionManager, {
    stat_prefix: name,
    rds: { route_config_name: name, config_source: { ads: {}, resource_api_version: 'V3' } },
    http_filters: [{ name: 'magic', typed_config: filter }],
  });
  return resourceEntry(Listener, {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
  });
}

interface Stand {
  readonly plane: ControlPlane;
  readonly proxy: PlaneProxy;
  readonly a: App;
  readonly b: App;
}

/** Listener `in` to the program `a`; `b` is a cluster that nobody is sent to yet. */
async function stand(mode: 'sotw' | 'delta'): Promise<Stand> {
  const a = ends(await app('a'));
  const b = ends(await app('b'));
  const plane = ends(await controlPlane().cluster('a', a.port).cluster('b', b.port).http('in', 0, 'a').start());
  const proxy = ends(planeProxy(plane.address, mode));
  await proxy.proxy.start();
  await proxy.answers('in', 'a');
  return { plane, proxy, a, b };
}

/** The reason of the NACK that stands at the server. */
async function nacked(plane: ControlPlane): Promise<string> {
  const list = await until('a NACK', () => {
    const all = plane.server.clients.list().flatMap(({ types }) => types.flatMap(({ nacked: one }) => one ?? []));
    return all.length > 0 ? all : null;
  });
  return list.map(({ reason }) => reason).join('\n');
}

describe.each(['sotw', 'delta'] as const)('a control plane that pushes, %s,', (mode) => {
  it('an unknown field: it is named, the old cluster stays, the rest of the push and a later good one apply', async () => {
    const { plane, proxy, b } = await stand(mode);
    plane
      .put(withUnknownField(edsCluster('a', { connect_timeout: 2000 })))
      .cluster('c', b.port)
      .routes('in', 'c')
      .push();
    expect(await nacked(plane)).toMatch(/CDS "a": .*unknown field.*9999/);
    await proxy.answers('in', 'b');
    expect(proxy.proxy.applier.applied.clusters.get('a')?.connectTimeoutMs).toBe(1000);
    expect(proxy.log.find(/rejected.*9999/)).toBeDefined();
    plane.put(edsCluster('a', { connect_timeout: 3000 })).push();
    await until('healed', () => proxy.proxy.applier.applied.clusters.get('a')?.connectTimeoutMs === 3000);
    await plane.synced();
  });

  it('an unknown extension: it is named, the old listener serves, the rest applies', async () => {
    const { plane, proxy } = await stand(mode);
    plane.put(withUnknownFilter('in')).http('two', 0, 'b').push();
    expect(await nacked(plane)).toMatch(/LDS "in": .*acme\.filters\.Magic/);
    await until('listener two', () => proxy.proxy.addressOf('two'));
    await proxy.answers('two', 'b');
    await proxy.answers('in', 'a');
    plane.put(httpListener('in', 0, 'two')).push();
    await proxy.answers('in', 'b');
    await plane.synced();
  });

  it('a broken regex: it is named, the old routes serve, the rest applies', async () => {
    const { plane, proxy, b } = await stand(mode);
    plane.http('two', 0, 'a').push();
    await until('listener two', () => proxy.proxy.addressOf('two'));
    await plane.synced();
    plane
      .put(withRegex('in', 'b', 'a(b'))
      .routes('two', 'b')
      .endpoints('b', b.port)
      .push();
    expect(await nacked(plane)).toMatch(/RDS "in": .*regex/);
    await proxy.answers('two', 'b');
    await proxy.answers('in', 'a');
    plane.put(withRegex('in', 'b', 'a(b)')).push();
    await proxy.answers('in', 'b');
    await plane.synced();
  });

  it('a route to a cluster that does not exist: it goes live after a while, and says what is missing', async () => {
    const { plane, proxy } = await stand(mode);
    plane.put(routesTo('in', 'nowhere')).push();
    const reply = await until('503', async () => {
      const one = await proxy.get('in');
      return one.status === 503 ? one : null;
    });
    expect(reply.body).toMatch(/nowhere/);
    expect(proxy.log.find(/nowhere/)).toBeDefined();
    plane.routes('in', 'b').push();
    await proxy.answers('in', 'b');
  });

  it('a listener on a port in use: it is named, the rest applies, and a later good one serves', async () => {
    const { plane, proxy, b } = await stand(mode);
    plane
      .put(httpListener('two', b.port, 'in'))
      .cluster('c', b.port)
      .routes('in', 'c')
      .push();
    expect(await proxy.log.until(/two/)).toMatch(new RegExp(`127\\.0\\.0\\.1:${b.port} is in use`));
    await proxy.answers('in', 'b');
    plane.put(httpListener('two', 0, 'in')).push();
    await until('listener two', () => proxy.proxy.addressOf('two'));
    await proxy.answers('two', 'b');
    // The one that serves moves to a port that is taken: it stays where it is.
    plane.put(httpListener('two', b.port, 'in')).push();
    await proxy.log.until(/the old address stays in force/);
    await proxy.answers('two', 'b');
  });
});
