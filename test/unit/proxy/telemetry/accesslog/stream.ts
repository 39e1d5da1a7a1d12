import { Headers } from '../../../../../src/protocol/http/headers.ts';
import { StreamInfo } from '../../../../../src/proxy/telemetry/stream-info.ts';

/** 2024-05-06T07:08:09.123Z */
export const WALL = Date.UTC(2024, 4, 6, 7, 8, 9, 123);

/** A finished stream with everything set. */
export function finishedStream(): StreamInfo {
  const info = new StreamInfo();
  info.request.method = 'GET';
  info.request.path = '/new?x=1';
  info.request.authority = 'reviews:9080';
  info.request.headers.add('User-Agent', 'curl/8');
  info.request.headers.add('X-Request-Id', 'id-1');
  info.request.headers.add('X-Twice', 'a');
  info.request.headers.add('X-Twice', 'b');
  info.request.headers.add('X-Empty', '');
  info.response.status = 503;
  info.response.headers.add('X-Envoy-Upstream-Service-Time', '7');
  info.connection = {
    id: 42,
    directRemote: { host: '10.0.0.9', port: 5555 },
    remote: { host: '10.0.0.9', port: 5555 },
    local: { host: 'fd00::1', port: 9080 },
    requestedServerName: 'sni.test',
    tlsVersion: 'TLSv1.3',
    direction: 'INBOUND',
  };
  info.startWall = WALL;
  info.start = 1000.25;
  info.requestEnd = 1001.5;
  info.upstreamFirstByteSent = 1002;
  info.upstreamFirstByteReceived = 1009.9;
  info.upstreamLastByteReceived = 1011;
  info.responseStart = 1010;
  info.end = 1012;
  info.responseCode = 503;
  info.responseCodeDetails = 'upstream_reset_before_response_started{connection failure}';
  info.reason = 'No one answered';
  info.bytesReceived = 10;
  info.bytesSent = 20;
  info.remote = '1.2.3.4';
  info.originalPath = '/old?x=1';
  info.route = { routeName: 'r', virtualHost: 'v', origin: '' };
  info.cluster = { name: 'outbound|9080||reviews', service: null };
  info.upstream = { address: '10.1.1.1:9080', hostname: 'pod.test', workload: 'w' };
  info.upstreamConnection = {
    id: 7,
    localAddress: '10.0.0.2:4321',
    protocol: 'HTTP/1.1',
    askedAt: 1001.5,
    openedAt: 1002,
  };
  info.responseTrailers = new Headers();
  info.responseTrailers.add('X-Sum', 'abc');
  info.upstreamFailureReason = 'connect refused';
  info.attempts = 2;
  info.flags = 1 << 5;
  info.metadata = new Map([
    [
      'ns',
      new Map<string, unknown>([
        ['text', 'v'],
        ['number', 5],
        ['object', { inner: [1, 2] }],
      ]),
    ],
  ]);
  return info;
}
