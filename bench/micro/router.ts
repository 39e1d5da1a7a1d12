/**
 * What routing one request costs: `node bench/micro/router.ts`. Tables of 10, 1,000 and 10,000 virtual hosts,
 * and of 1,000 routes in one, should cost about the same.
 */
import { seededRandom } from '../../src/base/random.ts';
import { compileRegex } from '../../src/base/regex.ts';
import type { Route, RouteConfig, RouteMatch, VirtualHost } from '../../src/model/route.ts';
import { RequestHead } from '../../src/protocol/http/message.ts';
import { MatchInput, PLAINTEXT } from '../../src/proxy/router/match.ts';
import { firstMatch } from '../../src/proxy/router/route-index.ts';
import { compileRouteTable, type RouteTable } from '../../src/proxy/router/table.ts';

const NONE = {
  requestHeadersToAdd: [],
  requestHeadersToRemove: [],
  responseHeadersToAdd: [],
  responseHeadersToRemove: [],
  perFilterConfig: new Map(),
};

function route(path: RouteMatch['path'], headers: RouteMatch['headers'] = []): Route {
  return {
    ...NONE,
    name: 'r',
    match: { path, caseSensitive: true, headers, queryParameters: [], runtimeFraction: null, grpc: false, tls: null },
    action: { kind: 'direct', status: 200, body: '' },
    statPrefix: '',
    perRequestBufferLimitBytes: null,
    origin: '',
  };
}

function host(name: string, domains: string[], routes: Route[]): VirtualHost {
  return {
    ...NONE,
    name,
    domains,
    routes,
    requireTls: 'NONE',
    retryPolicy: null,
    includeRequestAttemptCount: false,
    includeAttemptCountInResponse: false,
    includeIsTimeoutRetryHeader: false,
    perRequestBufferLimitBytes: null,
  };
}

function table(virtualHosts: VirtualHost[]): RouteTable {
  const config: RouteConfig = {
    ...NONE,
    name: 't',
    virtualHosts,
    internalOnlyHeaders: [],
    ignorePortInHostMatching: false,
    ignorePathParameters: false,
    mostSpecificHeaderMutationsWins: false,
  };
  const runtime = { number: (_: string, n: number) => n, boolean: (_: string, b: boolean) => b };
  return compileRouteTable(config, { random: seededRandom(1), runtime });
}

/** Heads as the parser leaves them: every text a piece of one block, so that nothing is hashed beforehand. */
function heads(authorities: string[], paths: string[]): RequestHead[] {
  return Array.from({ length: 512 }, (_, i) => {
    const authority = authorities[i % authorities.length]!;
    const path = paths[(i * 7) % paths.length]!;
    const lines = [`Host: ${authority}`, 'User-Agent: curl/8.5.0', 'Accept: */*', 'End-User: jason', 'X-Request-Id: 1'];
    const raw = Buffer.from(`GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`).toString('latin1');
    const head = new RequestHead();
    head.method = 'GET';
    head.path = raw.substring(4, 4 + path.length);
    let at = raw.indexOf('\n') + 1;
    head.headers.raw = raw;
    for (const line of lines) {
      const colon = line.indexOf(':');
      head.headers.pushLine(at, at + colon, at + colon + 2, at + line.length);
      at += line.length + 2;
    }
    head.authority = head.headers.valueAt(0);
    return head;
  });
}

const ROUNDS = 150_000;

/** CPU time rather than the clock's: a busy machine changes it less. */
function cpuMicros(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return user + system;
}

function measure(name: string, run: (i: number) => unknown, rounds = ROUNDS): void {
  for (let i = 0; i < rounds / 4; i++) run(i);
  const times: number[] = [];
  for (let round = 0; round < 5; round++) {
    const started = process.cpuUsage();
    for (let i = 0; i < rounds; i++) run(i);
    times.push((cpuMicros(started) * 1e3) / rounds);
  }
  times.sort((a, b) => a - b);
  console.log(`${name.padEnd(58)} ${times[2]!.toFixed(0).padStart(6)} ns/op`);
}

/** A fresh string each time, as every request brings one. */
function fresh(head: RequestHead): RequestHead {
  head.authority = head.headers.valueAt(0);
  return head;
}

function bench(name: string, built: RouteTable, requests: RequestHead[], rounds = ROUNDS): void {
  measure(name, (i) => built.match(fresh(requests[i & 511]!), PLAINTEXT), rounds);
}

const started = performance.now();
for (const count of [10, 1_000, 10_000]) {
  const names = Array.from({ length: count }, (_, i) => `service-${i}.namespace-${i % 50}.svc.cluster.local`);
  const routes = [route({ kind: 'prefix', value: '/' })];
  const domains = (name: string) => [name, `${name}:9080`, name.split('.')[0]!];
  bench(
    `${count} virtual hosts, exact`,
    table(names.map((name) => host(name, domains(name), routes))),
    heads(
      names.map((name) => `${name}:9080`),
      ['/reviews/12'],
    ),
  );
}
for (const count of [10, 1_000, 10_000]) {
  const suffixes = Array.from({ length: count }, (_, i) => `tenant-${i}.example.com`);
  const routes = [route({ kind: 'prefix', value: '/' })];
  bench(
    `${count} virtual hosts, suffix wildcards`,
    table(suffixes.map((name) => host(name, [`*.${name}`], routes))),
    heads(
      suffixes.map((name) => `www.${name}`),
      ['/'],
    ),
  );
}
const jason = {
  name: 'end-user',
  test: { kind: 'string', matcher: { kind: 'exact', value: 'jason', ignoreCase: false } },
  invert: false,
  treatMissingAsEmpty: false,
} as const;
bench(
  'one virtual host, a header route before the default',
  table([host('v', ['*'], [route({ kind: 'prefix', value: '/' }, [jason]), route({ kind: 'prefix', value: '/' })])]),
  heads(['reviews:9080'], ['/reviews/12']),
);
for (const count of [10, 1_000]) {
  const ids = Array.from({ length: count }, (_, i) => i);
  const kinds = {
    'exact paths': (i: number) => route({ kind: 'path', value: `/api/v1/resource-${i}` }),
    prefixes: (i: number) => route({ kind: 'pathSeparatedPrefix', value: `/api/v1/resource-${i}` }),
    'regexes with a plain beginning': (i: number) => route({ kind: 'regex', value: `/api/v1/resource-${i}/[0-9]+` }),
  };
  for (const [kind, make] of Object.entries(kinds)) {
    const built = table([host('v', ['*'], [...ids.map(make), route({ kind: 'prefix', value: '/' })])]);
    const tail = kind === 'exact paths' ? '' : '/17';
    bench(
      `${count} routes in one host, ${kind}`,
      built,
      heads(
        ['a'],
        ids.map((i) => `/api/v1/resource-${i}${tail}?q=1`),
      ),
    );
  }
}
{
  const ids = Array.from({ length: 1_000 }, (_, i) => i);
  const built = table([
    host(
      'v',
      ['*'],
      ids.map((i) => route({ kind: 'path', value: `/api/v1/resource-${i}` })),
    ),
  ]);
  const requests = heads(
    ['a'],
    ids.map((i) => `/api/v1/resource-${i}?q=1`),
  );
  const input = new MatchInput();
  const { rules } = built.hosts[0]!;
  measure(
    '1000 routes in one host, exact paths, one after another',
    (i) => {
      input.fill(requests[i & 511]!, PLAINTEXT);
      return firstMatch(rules, input);
    },
    20_000,
  );
}
for (const pattern of ['/api/v[0-9]+/users/[^/]+', '/api/v[0-9]+/.*/users/.*']) {
  const regex = compileRegex(pattern).ok!;
  measure(`regex ${pattern} (${regex.isNative ? 'native' : 'RE2'})`, () => regex.matches('/api/v12/users/john'));
}
console.log(`${((performance.now() - started) / 1000).toFixed(1)} s in all`);
