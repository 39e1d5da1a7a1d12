import v8 from 'node:v8';
import vm from 'node:vm';
import { promptClock } from './clock.ts';
import { type Mesh, mesh, PORT, until } from './mesh.ts';
import {
  destinationRule,
  edge,
  file,
  gateway,
  instance,
  rateLimit,
  service,
  serviceEntry,
  split,
  versions,
  virtualService,
} from './mesh-yaml.ts';

/** gateway → productpage → reviews v1 and v2, with a spare instance of v2 that comes and goes. */
export async function churnMesh(): Promise<Mesh> {
  const made = await mesh(promptClock())
    .yaml('services.yaml', file(service('productpage'), service('reviews')))
    .yaml('gateway.yaml', gateway())
    .yaml('edge.yaml', edge('productpage'))
    .yaml('rules.yaml', versions('reviews', 'v1', 'v2', 'v3'))
    .yaml('reviews.yaml', split('reviews', { v1: 50, v2: 50 }))
    .sidecar('reviews', 'v1')
    .sidecar('reviews', 'v2')
    .sidecar('reviews', 'v3')
    .sidecar('productpage', 'v1', { app: { calls: `http://reviews:${PORT}/` } })
    .gateway()
    .start();
  // Known from here on as the spare alone.
  made.proxy('reviews-v3').withdraw();
  return made;
}

/** Edits of one object each, of every kind that a user edits; `round` makes each one new. */
const EDITS: readonly ((mesh: Mesh, round: number) => void)[] = [
  ({ config }, round) => {
    // Far up and down: soon each version has answered under each of the rules below.
    const v1 = 1 + ((37 * round) % 99);
    config.replace(
      'reviews.yaml',
      split(
        'reviews',
        { v1, v2: 101 - v1 },
        {
          headers: { response: { set: { 'x-round': `reviews-${round}-` } } },
          ...[
            {},
            { retries: { attempts: 1 + (round % 5), perTryTimeout: '5s' } },
            { timeout: '10s' },
            { fault: { delay: { fixedDelay: '1ms', percentage: { value: 100 } } } },
            { fault: { abort: { httpStatus: 500, percentage: { value: 0 } } } },
          ][round % 5],
        },
      ),
    );
  },
  ({ config }, round) =>
    config.replace(
      'edge.yaml',
      edge('productpage', {
        headers: { request: { set: { 'x-edge': `edge-${round}-` } } },
        ...(round % 2 === 0 ? { retries: { attempts: 2, retryOn: 'connect-failure,503' } } : {}),
      }),
    ),
  ({ config }, round) =>
    config.replace(
      'rules.yaml',
      destinationRule('reviews', {
        trafficPolicy: {
          loadBalancer: { simple: ['ROUND_ROBIN', 'LEAST_REQUEST', 'RANDOM'][round % 3] },
          connectionPool: { http: { http2MaxRequests: 10_000 + round } },
          ...(round % 4 === 0 ? { outlierDetection: { consecutive5xxErrors: 100 } } : {}),
        },
        subsets: [
          ...['v1', 'v2', 'v3'].map((version) => ({ name: version, labels: { version } })),
          ...(round % 2 === 0 ? [{ name: `more`, labels: { app: 'reviews' } }] : []),
        ],
      }),
    ),
  (mesh, round) => {
    const spare = mesh.proxy('reviews-v3').inbound.port;
    if (round % 2 === 0) mesh.instances.replace('spare.yaml', instance('reviews', 'v2', spare, 'spare'));
    else mesh.instances.remove('spare.yaml');
  },
  ({ config }, round) => config.replace('gateway.yaml', gateway('edge', ['*', `host-${round}.example`])),
  ({ config }, round) =>
    config.replace(
      'productpage.yaml',
      virtualService('productpage', {
        hosts: ['productpage'],
        http: [
          {
            match: [{ uri: { prefix: `/page-${round}-` }, headers: { 'end-user': { exact: 'jason' } } }],
            rewrite: { uri: '/' },
            route: [{ destination: { host: 'productpage' } }],
          },
          { route: [{ destination: { host: 'productpage' } }] },
        ],
      }),
    ),
  ({ config }, round) =>
    config.replace(
      'productpage-rules.yaml',
      destinationRule('productpage', {
        trafficPolicy: {
          connectionPool: { tcp: { connectTimeout: `${1 + (round % 5)}s`, maxConnections: 1000 + round } },
        },
      }),
    ),
  ({ config }, round) =>
    config.replace('elsewhere.yaml', serviceEntry('elsewhere', `elsewhere-${round % 3}.example`, PORT)),
  ({ config }, round) => config.replace('limit.yaml', rateLimit('productpage', 1_000_000 + round)),
  ({ config }, round) =>
    config.replace(
      'services.yaml',
      file(service('productpage'), service('reviews'), ...(round % 2 === 0 ? [service('ratings')] : [])),
    ),
];

export const EDITS_PER_ROUND = EDITS.length;

/** One round: every edit once, and all of them in force. */
export async function churn(mesh: Mesh, round: number): Promise<void> {
  for (const edit of EDITS) edit(mesh, round);
  let waitsFor: string | undefined = '';
  await until(
    () => `round ${round}: ${waitsFor}`,
    () => {
      waitsFor = missing(mesh, round);
      return waitsFor === undefined;
    },
  );
}

/** Something of a round that is not in force yet. */
function missing(mesh: Mesh, round: number): string | undefined {
  const page = mesh.proxy('productpage-v1');
  const atEdge = mesh.proxy('gateway');
  const { clusters } = page.proxy.env;
  const even = round % 2 === 0;
  const v2 = clusters.get(`outbound|${PORT}|v2|reviews.default.svc.cluster.local`);
  const productpage = atEdge.proxy.env.clusters.get(`outbound|${PORT}||productpage.default.svc.cluster.local`);
  const ratings = clusters.get(`outbound|${PORT}||ratings.default.svc.cluster.local`);
  const routes = page.routesText();
  const edgeRoutes = atEdge.routesText();
  const inForce = {
    'VirtualService reviews': routes.includes(`reviews-${round}-`),
    'VirtualService productpage': routes.includes(`page-${round}-`),
    'VirtualService edge': edgeRoutes.includes(`edge-${round}-`),
    Gateway: edgeRoutes.includes(`host-${round}.example`),
    'DestinationRule reviews': v2?.config.circuitBreakers.default.maxRequests === 10_000 + round,
    'DestinationRule productpage': productpage?.config.circuitBreakers.default.maxConnections === 1000 + round,
    EndpointSlice: v2?.total === (even ? 2 : 1),
    Service: (ratings !== undefined) === even,
    ServiceEntry: clusters.get(`outbound|${PORT}||elsewhere-${round % 3}.example`) !== undefined,
    ResiliencePolicy: page.limitText().includes(String(1_000_000 + round)),
  };
  return Object.entries(inForce).find(([, is]) => !is)?.[0];
}

/**
 * Bytes of the heap that are in use, after everything that can be collected was. Without compiled code, which comes as
 * functions get hot, for minutes.
 */
export function heapUsed(): number {
  v8.setFlagsFromString('--expose_gc');
  const gc = vm.runInNewContext('gc') as () => void;
  gc();
  gc();
  return v8
    .getHeapSpaceStatistics()
    .filter(({ space_name }) => !/code|trusted|read_only/.test(space_name))
    .reduce((sum, space) => sum + space.space_used_size, 0);
}

/** Of everything in the process that must not grow. */
export function counts(mesh: Mesh): Record<string, unknown> {
  const kinds: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) {
    if (/TCPServer|FSEvent|Pipe/.test(kind)) kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  const proxies = [...mesh.proxies.values()].map((proxy) => [proxy.name, proxy.counts()] as const);
  return { handles: kinds, ...Object.fromEntries(proxies) };
}
