import { describe, expect, test } from 'vitest';
import { Headers } from '../../../../../src/protocol/http/headers.ts';
import { identityOfEndpoint, identityOfNode } from '../../../../../src/proxy/telemetry/metrics/identity.ts';
import { RequestMetrics } from '../../../../../src/proxy/telemetry/metrics/istio.ts';
import { type Series, StatStore } from '../../../../../src/proxy/telemetry/metrics/store.ts';
import { ResponseFlag } from '../../../../../src/proxy/telemetry/response-flags.ts';
import { type ClusterInfo, StreamInfo, type UpstreamInfo } from '../../../../../src/proxy/telemetry/stream-info.ts';

const NODE = {
  WORKLOAD_NAME: 'productpage-v1',
  NAMESPACE: 'default',
  CLUSTER_ID: 'Kubernetes',
  LABELS: { app: 'productpage', version: 'v1' },
};

const REVIEWS: ClusterInfo = {
  name: 'outbound|9080||reviews.default.svc.cluster.local',
  service: { host: 'reviews.default.svc.cluster.local', name: 'reviews', namespace: 'default' },
};

function endpoint(workload = 'reviews-v2;default;reviews;v2;Kubernetes'): UpstreamInfo {
  return { address: '10.0.0.1:9080', hostname: '', workload };
}

interface Facts {
  readonly code?: number;
  readonly flags?: number;
  readonly direction?: 'INBOUND' | 'OUTBOUND' | 'UNSPECIFIED';
  readonly cluster?: ClusterInfo | null;
  readonly upstream?: UpstreamInfo | null;
  readonly method?: string;
  readonly tls?: string;
}

function stream(facts: Facts = {}): StreamInfo {
  const info = new StreamInfo();
  const {
    code = 200,
    flags = 0,
    direction = 'OUTBOUND',
    cluster = REVIEWS,
    upstream = endpoint(),
    method = 'GET',
  } = facts;
  info.request.method = method;
  info.request.headers.raw = 'GET / HTTP/1.1\r\nHost: reviews\r\n\r\n';
  info.response.headers.add('server', 'envoy');
  info.connection = { ...info.connection, direction, tlsVersion: facts.tls ?? '' };
  info.responseCode = code;
  info.flags = flags;
  info.cluster = cluster;
  info.upstream = upstream;
  info.start = 100;
  info.end = 103;
  info.bytesReceived = 10;
  info.bytesSent = 2000;
  return info;
}

function setup(maxLabelSets?: number) {
  const store = new StatStore();
  const metrics = new RequestMetrics(store, identityOfNode(NODE), maxLabelSets);
  const named = (name: string): Series[] => [...store.series()].filter((series) => series.name === name);
  const requests = (): [Readonly<Record<string, string>>, number][] =>
    named('istio_requests_total').map(({ labels, id }) => [labels, store.value(id)]);
  return { store, metrics, named, requests };
}

describe('istio_requests_total', () => {
  test('names both sides of a request that went out', () => {
    const { metrics, requests } = setup();
    metrics.record(stream());
    metrics.record(stream());
    expect(requests()).toEqual([
      [
        {
          reporter: 'source',
          source_workload: 'productpage-v1',
          source_canonical_service: 'productpage',
          source_canonical_revision: 'v1',
          source_workload_namespace: 'default',
          source_principal: 'unknown',
          source_app: 'productpage',
          source_version: 'v1',
          source_cluster: 'Kubernetes',
          destination_workload: 'reviews-v2',
          destination_workload_namespace: 'default',
          destination_principal: 'unknown',
          destination_app: 'reviews',
          destination_version: 'v2',
          destination_service: 'reviews.default.svc.cluster.local',
          destination_canonical_service: 'reviews',
          destination_canonical_revision: 'v2',
          destination_service_name: 'reviews',
          destination_service_namespace: 'default',
          destination_cluster: 'Kubernetes',
          request_protocol: 'http',
          response_code: '200',
          grpc_response_status: '',
          response_flags: '-',
          connection_security_policy: 'unknown',
        },
        2,
      ],
    ]);
  });

  test('an inbound request is reported by its destination, which is this workload', () => {
    const { metrics, requests } = setup();
    metrics.record(stream({ direction: 'INBOUND', cluster: { name: 'inbound|9080||', service: null } }));
    expect(requests()[0]![0]).toMatchObject({
      reporter: 'destination',
      source_workload: 'unknown',
      destination_workload: 'productpage-v1',
      destination_service: 'unknown',
      destination_service_namespace: 'default',
      connection_security_policy: 'none',
    });
  });

  test.each([
    ['TLS without a certificate of the client’s', 'INBOUND', 'TLSv1.3', 'none'],
    ['plain text inbound', 'INBOUND', '', 'none'],
    ['outbound', 'OUTBOUND', '', 'unknown'],
  ] as const)('connection_security_policy: %s', (_, direction, tls, policy) => {
    const { metrics, requests } = setup();
    metrics.record(stream({ direction, tls }));
    expect(requests()[0]![0].connection_security_policy).toBe(policy);
  });

  test('code and flags make series of their own for the same endpoint', () => {
    const { metrics, requests } = setup();
    const upstream = endpoint();
    const flags = ResponseFlag.UpstreamConnectionFailure | ResponseFlag.UpstreamRetryLimitExceeded;
    for (const code of [200, 503, 200]) metrics.record(stream({ upstream, code, flags: code === 503 ? flags : 0 }));
    metrics.record(stream({ upstream, code: 503 }));
    expect(requests().map(([labels, count]) => [labels.response_code, labels.response_flags, count])).toEqual([
      ['200', '-', 2],
      ['503', 'UF,URX', 1],
      ['503', '-', 1],
    ]);
  });

  test('a request that reached no endpoint counts for the cluster, one without a route for nobody', () => {
    const { metrics, requests } = setup();
    metrics.record(stream({ code: 503, flags: ResponseFlag.NoHealthyUpstream, upstream: null }));
    metrics.record(stream({ code: 404, flags: ResponseFlag.NoRouteFound, upstream: null, cluster: null }));
    metrics.record(stream({ code: 0, flags: ResponseFlag.DownstreamConnectionTermination, upstream: null }));
    expect(requests().map(([l]) => [l.destination_service_name, l.destination_workload, l.response_code])).toEqual([
      ['reviews', 'unknown', '503'],
      ['unknown', 'unknown', '404'],
      ['reviews', 'unknown', '0'],
    ]);
  });

  test.each([
    ['outbound|9080|v1|ratings.shop.svc.cluster.local', 'ratings.shop.svc.cluster.local', 'ratings', 'shop'],
    ['outbound|443||api.example.com', 'api.example.com', 'api.example.com', 'default'],
    ['PassthroughCluster', 'unknown', 'PassthroughCluster', 'unknown'],
    ['web', 'unknown', 'web', 'default'],
  ])('the service of cluster %s without metadata', (name, host, service, namespace) => {
    const { metrics, requests } = setup();
    metrics.record(stream({ cluster: { name, service: null } }));
    expect(requests()[0]![0]).toMatchObject({
      destination_service: host,
      destination_service_name: service,
      destination_service_namespace: namespace,
    });
  });

  test('gRPC is told by the content type, its status by the head', () => {
    const { metrics, requests } = setup();
    const info = stream({ method: 'POST' });
    info.request.headers.add('content-type', 'application/grpc+proto');
    info.response.headers.add('grpc-status', '14');
    metrics.record(info);
    const other = stream({ method: 'POST' });
    other.request.headers.add('content-type', 'application/grpc-web');
    metrics.record(other);
    expect(requests().map(([labels]) => [labels.request_protocol, labels.grpc_response_status])).toEqual([
      ['grpc', '14'],
      ['http', ''],
    ]);
  });

  test('an endpoint that comes back as a new object goes on counting in its series', () => {
    const { metrics, requests } = setup();
    metrics.record(stream({ upstream: endpoint() }));
    metrics.record(stream({ upstream: endpoint(), cluster: { ...REVIEWS } }));
    expect(requests().map(([, count]) => count)).toEqual([2]);
  });

  test('an endpoint whose workload changes counts under the new one', () => {
    const { metrics, requests } = setup();
    const upstream = { ...endpoint() };
    metrics.record(stream({ upstream }));
    upstream.workload = 'reviews-v3;default;reviews;v3;Kubernetes';
    metrics.record(stream({ upstream }));
    expect(requests().map(([labels]) => labels.destination_workload)).toEqual(['reviews-v2', 'reviews-v3']);
  });

  test('over the bound, further label sets share one', () => {
    const { metrics, requests, store } = setup(2);
    for (let code = 200; code < 260; code++) metrics.record(stream({ code }));
    const counted = requests();
    expect(counted).toHaveLength(3);
    expect(counted[2]).toEqual([{ overflow: 'true' }, 58]);
    expect([...store.series()]).toHaveLength(12);
  });

  test('a peer that answers in every way there is does not grow without bound', () => {
    const { metrics, requests } = setup(100_000);
    const upstream = endpoint();
    for (let code = 0; code < 600; code++) metrics.record(stream({ upstream, code }));
    expect(requests()).toHaveLength(257);
  });
});

test('durations and sizes are observed in their buckets, heads counted', () => {
  const { metrics, named, store } = setup();
  metrics.record(stream());
  const read = (name: string) => store.readHistogram(named(name)[0]!.id);
  expect(read('istio_request_duration_milliseconds')).toMatchObject({ count: 1, sum: 3 });
  expect(read('istio_request_duration_milliseconds').cumulative.slice(0, 4)).toEqual([0, 0, 1, 1]);
  expect(read('istio_request_bytes').sum).toBe(10 + 33);
  expect(read('istio_response_bytes').sum).toBe(2000 + 'server: envoy\r\n'.length);
});

test('the gRPC status comes from trailers where the response has some', () => {
  const { metrics, requests } = setup();
  const info = stream({ method: 'POST' });
  info.request.headers.add('content-type', 'application/grpc');
  info.responseTrailers = new Headers();
  info.responseTrailers.add('grpc-status', '5');
  metrics.record(info);
  expect(requests()[0]![0]['grpc_response_status']).toBe('5');
});

describe('label sets that are idle', () => {
  const HOUR = 3_600_000;

  test('go after an hour, others stay; a request that comes back starts from nothing', () => {
    const { store, metrics, requests } = setup();
    const quiet = endpoint('a-v1;default;a;v1;K');
    const busy = endpoint('b-v1;default;b;v1;K');
    metrics.record(stream({ upstream: quiet }));
    metrics.record(stream({ upstream: busy }));
    metrics.sweep(0);
    metrics.sweep(HOUR - 1);
    expect(requests()).toHaveLength(2);
    metrics.record(stream({ upstream: busy }));
    metrics.sweep(HOUR);
    expect(requests().map(([labels, count]) => [labels['destination_app'], count])).toEqual([['b', 2]]);
    metrics.record(stream({ upstream: quiet }));
    metrics.record(stream({ upstream: busy }));
    expect(requests().map(([labels, count]) => [labels['destination_app'], count])).toEqual([
      ['b', 3],
      ['a', 1],
    ]);
    expect(store.size).toBe(8);
  });

  test('go after five minutes when there is no room, and what overflowed gets its own', () => {
    const { metrics, requests } = setup(2);
    const pods = ['a', 'b', 'c'].map((name) => endpoint(`${name}-v1;default;${name};v1;K`));
    for (const upstream of pods) metrics.record(stream({ upstream }));
    expect(requests().at(-1)![0]).toEqual({ overflow: 'true' });
    metrics.sweep(0);
    metrics.record(stream({ upstream: pods[2]! }));
    metrics.sweep(300_000);
    metrics.record(stream({ upstream: pods[2]! }));
    expect(requests().map(([labels, count]) => [labels['destination_app'] ?? 'overflow', count])).toEqual([
      ['overflow', 2],
      ['c', 1],
    ]);
  });

  test('of TCP stay while a connection is open under them', () => {
    const { store, metrics, named } = setup();
    const info = stream();
    const open = metrics.tcpOpened(info);
    metrics.sweep(0);
    metrics.sweep(2 * HOUR);
    store.add(open.sent, 5);
    const [sent] = named('istio_tcp_sent_bytes_total');
    expect([store.value(sent!.id), sent!.labels['request_protocol']]).toEqual([5, 'tcp']);
    metrics.tcpClosed(open, info);
    metrics.sweep(3 * HOUR);
    metrics.sweep(4 * HOUR);
    expect(store.size).toBe(0);
    expect(metrics.tcpOpened(info)).not.toBe(open);
  });

  test('of TCP over the budget share one', () => {
    const { store, metrics, named } = setup(2);
    for (let i = 0; i < 5; i++) metrics.tcpOpened(stream({ upstream: endpoint(`p${i};default;p${i};v1;K`) }));
    const opened = named('istio_tcp_connections_opened_total');
    expect(opened.map(({ id }) => store.value(id))).toEqual([1, 1, 3]);
    expect(opened[2]!.labels).toEqual({ overflow: 'true' });
  });

  test('10,000 pods one after the other take the room of a thousand', () => {
    const { store, metrics } = setup();
    for (let i = 0; i < 10_000; i++) {
      metrics.record(stream({ upstream: endpoint(`p${i};default;p;v1;K`) }));
      metrics.sweep(i * 30_000);
    }
    expect(store.size).toBeLessThanOrEqual(4 * 1001);
    expect(store.slots).toBeLessThan(80_000);
  });
});

describe('identity', () => {
  test('of a node without Istio metadata is unknown', () => {
    expect(identityOfNode({ LABELS: 3 })).toMatchObject({
      workload: 'unknown',
      app: 'unknown',
      canonicalRevision: 'latest',
    });
  });
  test('of an endpoint without workload is unknown', () => {
    expect(identityOfEndpoint('')).toMatchObject({ workload: 'unknown', cluster: 'unknown' });
    expect(identityOfEndpoint('w;;s;;')).toMatchObject({
      workload: 'w',
      namespace: 'unknown',
      canonicalService: 's',
      canonicalRevision: 'latest',
    });
  });
});
