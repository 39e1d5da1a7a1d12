import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { SecretBytes } from '../../../../src/base/secret-bytes.ts';
import { SharedCounts } from '../../../../src/base/shared-counts.ts';
import type { Listener } from '../../../../src/model/listener.ts';
import type { PerFilterConfig, RouteConfig } from '../../../../src/model/route.ts';
import { EMPTY_SNAPSHOT, type Snapshot } from '../../../../src/model/snapshot.ts';
import { Limit } from '../../../../src/proxy/filters/local-rate-limit/local-rate-limit.ts';
import { filterTypes } from '../../../../src/proxy/runtime/data-plane.ts';
import { proxyDecodeContext } from '../../../../src/proxy/runtime/extensions.ts';
import {
  changedMap,
  changedSnapshot,
  givenSecrets,
  mapChange,
  plainSecrets,
  snapshotChange,
} from '../../../../src/proxy/runtime/portable.ts';
import { fingerprint } from '../../../../src/proxy/upstream/fingerprint.ts';
import { readBootstrap } from '../../../../src/xds/bootstrap/bootstrap.ts';

const FOLDER = fileURLToPath(new URL('../../../../config/proxy/', import.meta.url));
const FILTERS = filterTypes();
const COUNTS = new SharedCounts(SharedCounts.allocate(1 << 20), 0, 1);

const dataOf = (kind: string) => FILTERS.get(kind)?.routeData;
const places: string[] = [];
function compile(kind: string, plain: unknown, place: string): unknown {
  places.push(place);
  return dataOf(kind)?.compile(plain, { counts: COUNTS, place }) ?? plain;
}

/** As it arrives in another thread. */
function travelled(now: Snapshot, before = EMPTY_SNAPSHOT, there = EMPTY_SNAPSHOT): Snapshot {
  return changedSnapshot(there, structuredClone(snapshotChange(before, now, dataOf)), compile);
}

function read(text: string): Snapshot {
  const result = readBootstrap(text, proxyDecodeContext());
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  const { listeners, clusters } = result.bootstrap;
  return {
    ...EMPTY_SNAPSHOT,
    listeners: new Map(listeners.map((one) => [one.name, one])),
    clusters: new Map(clusters.map((one) => [one.name, one])),
  };
}

const FILTER = 'type.googleapis.com/envoy.extensions.filters.http';
const LIMIT = {
  '@type': `${FILTER}.local_ratelimit.v3.LocalRateLimit`,
  stat_prefix: 'x',
  token_bucket: { max_tokens: 3, fill_interval: '1s' },
};

/** Routes with config of every filter that has some. */
function routes(paths: readonly string[]): Snapshot {
  const perFilter = {
    limit: LIMIT,
    fault: { '@type': `${FILTER}.fault.v3.HTTPFault`, headers: [{ name: 'x', string_match: { prefix: 'y' } }] },
    rbac: {
      '@type': `${FILTER}.rbac.v3.RBACPerRoute`,
      rbac: { rules: { policies: { p: { permissions: [{ any: true }], principals: [{ any: true }] } } } },
    },
    cors: {
      '@type': `${FILTER}.cors.v3.CorsPolicy`,
      allow_origin_string_match: [{ safe_regex: { regex: 'a.*' } }],
    },
    header: {
      '@type': `${FILTER}.header_mutation.v3.HeaderMutationPerRoute`,
      mutations: { request_mutations: [{ append: { header: { key: 'a', value: '%PROTOCOL%' } } }] },
    },
    buffer: { '@type': `${FILTER}.buffer.v3.BufferPerRoute`, disabled: true },
    off: { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', disabled: true },
  };
  const weighted = {
    clusters: [{ name: 'a', weight: 1, typed_per_filter_config: { limit: LIMIT } }, { name: 'b', weight: 1 }],
  };
  const http = {
    '@type':
      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 's',
    http_filters: [{ name: 'router', typed_config: { '@type': `${FILTER}.router.v3.Router` } }],
    route_config: {
      name: 'r',
      typed_per_filter_config: { limit: LIMIT },
      virtual_hosts: [
        {
          name: 'v',
          domains: ['*'],
          typed_per_filter_config: { limit: LIMIT },
          routes: paths.map((path) => ({
            match: { path },
            route: { weighted_clusters: weighted },
            typed_per_filter_config: perFilter,
          })),
        },
      ],
    },
  };
  const cluster = (name: string) => ({ name, type: 'STATIC', load_assignment: { cluster_name: name } });
  return read(
    JSON.stringify({
      static_resources: {
        listeners: [
          {
            name: 'l',
            address: { socket_address: { address: '127.0.0.1', port_value: 1 } },
            filter_chains: [{ filters: [{ name: 'http', typed_config: http }] }],
          },
        ],
        clusters: [cluster('a'), cluster('b')],
      },
    }),
  );
}

function routeConfigOf(snapshot: Snapshot): RouteConfig {
  const { filter } = [...snapshot.listeners.values()][0]!.filterChains[0]!;
  if (filter.kind !== 'http' || filter.http.routes.kind !== 'inline') throw new Error('no routes');
  return filter.http.routes.config;
}

describe('config in another thread', () => {
  it.each(readdirSync(FOLDER).filter((name) => name.endsWith('.yaml')))('%s says what it said', (name) => {
    const now = read(readFileSync(join(FOLDER, name), 'utf8'));
    expect(fingerprint(travelled(now))).toBe(fingerprint(now));
  });

  it('has what routes say to filters, compiled again', () => {
    const now = routes(['/a']);
    const there = travelled(now);
    expect(fingerprint(there)).toBe(fingerprint(now));
    const { perFilterConfig } = routeConfigOf(there).virtualHosts[0]!.routes[0]!;
    const config = (name: string) => perFilterConfig.get(name)!.config as Record<string, never>;
    expect(config('limit')).toBeInstanceOf(Limit);
    const before = routeConfigOf(now).virtualHosts[0]!.routes[0]!.perFilterConfig as PerFilterConfig;
    for (const name of ['fault', 'rbac', 'cors', 'header']) {
      expect(Object.keys(config(name))).toEqual(Object.keys(before.get(name)!.config as object));
    }
    expect(perFilterConfig.get('off')).toEqual({ config: null, disabled: true });
  });

  it('has a place for each of them, which others keep when it is edited', () => {
    const limitsOf = (paths: readonly string[]): string[] => {
      places.length = 0;
      travelled(routes(paths));
      return places.filter((place) => place.endsWith('#limit'));
    };
    const two = limitsOf(['/a', '/b']);
    // The table, the host, and for each route itself and its weighted cluster.
    expect(two.length).toBe(6);
    expect(new Set(two).size).toBe(6);
    const more = limitsOf(['/new', '/b', '/a']);
    expect(two.every((place) => more.includes(place))).toBe(true);
    // The same match twice.
    expect(new Set(limitsOf(['/a', '/a'])).size).toBe(6);
  });

  it('is what it was where nothing changed, and travels by what did', () => {
    const first = routes(['/a']);
    const there = travelled(first);
    const [listener] = first.listeners.values();
    const more: Listener = { ...listener!, name: 'more' };
    const now = { ...first, listeners: new Map([...first.listeners, ['more', more]]) };
    const change = snapshotChange(first, now, dataOf);
    expect([change.clusters, change.routes, change.endpoints]).toEqual([null, null, null]);
    expect(change.listeners?.set.map(([name]) => name)).toEqual(['more']);
    const after = travelled(now, first, there);
    expect(after.clusters).toBe(there.clusters);
    expect(after.listeners.get('l')).toBe(there.listeners.get('l'));
    const gone = travelled({ ...now, listeners: new Map([['more', more]]) }, now, after);
    expect([...gone.listeners.keys()]).toEqual(['more']);
  });
});

describe('secrets', () => {
  it('travel as bytes and arrive as what does not print', () => {
    const certificate = { chain: { kind: 'inline', bytes: new SecretBytes(Buffer.from('pem')) }, path: 'x' };
    const secrets = new Map([['a', certificate]]);
    const change = structuredClone(mapChange(new Map(), secrets, plainSecrets));
    const there = changedMap(new Map<string, typeof certificate>(), change, givenSecrets).get('a')!;
    expect(there.chain.bytes).toBeInstanceOf(SecretBytes);
    expect(there.chain.bytes.reveal().toString()).toBe('pem');
    expect(fingerprint(there)).toBe(fingerprint(certificate));
    expect(fingerprint(there)).not.toContain('pem');
  });

  it('are not copied where there is none', () => {
    const plain = { a: [1, { b: 'c' }] };
    expect(plainSecrets(plain)).toBe(plain);
  });
});
