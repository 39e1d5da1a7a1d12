/** What counting a request costs: `node bench/micro/metrics.ts`. `RequestMetrics.record` should stay below 150 ns. */
import { identityOfNode } from '../../src/proxy/telemetry/metrics/identity.ts';
import { RequestMetrics } from '../../src/proxy/telemetry/metrics/istio.ts';
import { exposePrometheus } from '../../src/proxy/telemetry/metrics/prometheus.ts';
import { StatStore } from '../../src/proxy/telemetry/metrics/store.ts';
import { formatStats } from '../../src/proxy/telemetry/metrics/text.ts';
import { type ConnectionInfo, StreamInfo } from '../../src/proxy/telemetry/stream-info.ts';

const HEAD =
  'GET /reviews/1 HTTP/1.1\r\nHost: reviews:9080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nX-Request-Id: 5d3f9a2e\r\n\r\n';

const connection: ConnectionInfo = {
  id: 1,
  directRemote: { host: '127.0.0.1', port: 40000 },
  remote: { host: '127.0.0.1', port: 40000 },
  local: { host: '127.0.0.1', port: 15001 },
  requestedServerName: '',
  tlsVersion: '',
  direction: 'OUTBOUND',
};

function stream(endpoint: number, method: string, status: number, flags = 0): StreamInfo {
  const info = new StreamInfo();
  info.connection = connection;
  info.request.method = method;
  info.request.headers.raw = HEAD;
  info.response.headers.raw = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 379\r\n\r\n';
  info.response.headers.add('x-envoy-upstream-service-time', '3');
  info.response.headers.add('server', 'envoy');
  info.responseCode = status;
  info.flags = flags;
  info.bytesSent = 379;
  info.start = 10;
  info.end = 10 + endpoint + 0.7;
  info.cluster = clusters[endpoint % 4]!;
  info.upstream = endpoints[endpoint]!;
  return info;
}

const clusters = Array.from({ length: 4 }, (_, i) => ({
  name: `outbound|9080||reviews-${i}.default.svc.cluster.local`,
  service: { host: `reviews-${i}.default.svc.cluster.local`, name: `reviews-${i}`, namespace: 'default' },
}));
const endpoints = Array.from({ length: 64 }, (_, i) => ({
  address: `10.0.0.${i}:9080`,
  hostname: '',
  workload: `reviews-${i % 4};default;reviews;v${i % 3};Kubernetes`,
}));

const ROUNDS = 1_000_000;

function measure(name: string, streams: readonly StreamInfo[]): void {
  const metrics = new RequestMetrics(new StatStore(), identityOfNode({}));
  const times: number[] = [];
  for (let round = 0; round < 6; round++) {
    const started = process.cpuUsage();
    for (let i = 0; i < ROUNDS; i++) metrics.record(streams[i & 63]!);
    const { user, system } = process.cpuUsage(started);
    times.push(((user + system) * 1000) / ROUNDS);
  }
  console.log(
    `${name.padEnd(44)} ${Math.min(...times)
      .toFixed(0)
      .padStart(5)} ns`,
  );
}

measure(
  'GET 200, 1 endpoint',
  Array.from({ length: 64 }, () => stream(0, 'GET', 200)),
);
measure(
  'GET 200, 64 endpoints',
  Array.from({ length: 64 }, (_, i) => stream(i, 'GET', 200)),
);
measure(
  'GET, 200 and 503 UF in turn, 64 endpoints',
  Array.from({ length: 64 }, (_, i) => stream(i, 'GET', i % 2 === 0 ? 200 : 503, i % 2 === 0 ? 0 : 1 << 5)),
);
measure(
  'POST (content-type looked up), 64 endpoints',
  Array.from({ length: 64 }, (_, i) => stream(i, 'POST', 200)),
);

const store = new StatStore();
for (let i = 0; i < 5000; i++) {
  store.counter('envoy_cluster_upstream_rq_total', { envoy_cluster_name: `c${i}` }, `cluster.c${i}.upstream_rq_total`);
}
for (let i = 0; i < 200; i++) {
  store.histogram('envoy_cluster_upstream_rq_time', { envoy_cluster_name: `c${i}` }, `cluster.c${i}.upstream_rq_time`);
}
await exposePrometheus(store);
async function expose(name: string, run: () => unknown): Promise<void> {
  const started = process.cpuUsage();
  for (let i = 0; i < 10; i++) await run();
  const { user, system } = process.cpuUsage(started);
  console.log(`${name.padEnd(44)} ${((user + system) / 10_000).toFixed(1).padStart(5)} ms`);
}
await expose('/stats/prometheus, 5,200 series', () => exposePrometheus(store));
await expose('/stats, 5,200 series', () => formatStats(store, {}));
await expose('/stats?filter=c1[0-9]\\..*total, 5,200 series', () =>
  formatStats(store, { filter: 'c1[0-9]\\..*total' }),
);
