import { describe, expect, test } from 'vitest';
import { DEFAULT_ACCESS_LOG_FORMAT } from '../../../../../src/model/access-log.ts';
import { compileFormat, type FormatOptions } from '../../../../../src/proxy/telemetry/accesslog/format.ts';
import { StreamInfo } from '../../../../../src/proxy/telemetry/stream-info.ts';
import { finishedStream } from './stream.ts';

function print(format: string, info = finishedStream(), options: FormatOptions = {}): string {
  const { ok, error } = compileFormat(format, options);
  if (ok === undefined) throw new Error(error);
  return ok.format(info);
}

test.each([
  ['%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %REQ(:SCHEME)%', 'GET /new?x=1 reviews:9080 http'],
  ['%REQ(User-Agent)%', 'curl/8'],
  ['%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%', '/old?x=1'],
  ['%REQ(none?user-agent)%', 'curl/8'],
  ['%REQ(none?none2)%', '-'],
  ['%REQ(user-agent):4%', 'curl'],
  ['%REQ(user-agent):40%', 'curl/8'],
  ['%REQ(none):0%', '-'],
  // The first of several lines; an empty value is a value.
  ['%REQ(x-twice)%', 'a'],
  ['[%REQ(x-empty?user-agent)%]', '[]'],
  ['%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%', '/old'],
  ['%REQ_WITHOUT_QUERY(:PATH):2%', '/n'],
  ['%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% %RESP(none)% %RESP(:STATUS)%', '7 - 503'],
  ['%START_TIME%', '2024-05-06T07:08:09.123Z'],
  ['%START_TIME(%Y/%m/%dT%H:%M:%S%z %s)%', '2024/05/06T07:08:09+0000 1714979289'],
  ['%START_TIME(%s.%3f)%', '1714979289.123'],
  ['%START_TIME(%f %1f %9f)%', '123000000 1 123000000'],
  [
    '%START_TIME(%F %T %E3S %E*S %Ez %j %a %b %e %y %I%p %%)%',
    '2024-05-06 07:08:09 09.123 09.123 +00:00 127 Mon May  6 24 07AM %',
  ],
  ['%BYTES_RECEIVED% %BYTES_SENT% %PROTOCOL% %RESPONSE_CODE%', '10 20 HTTP/1.1 503'],
  ['%RESPONSE_CODE_DETAILS%', 'upstream_reset_before_response_started{connection_failure}'],
  ['%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%', 'UF UpstreamConnectionFailure'],
  ['%DURATION% %REQUEST_DURATION% %REQUEST_TX_DURATION%', '11 1 1'],
  ['%RESPONSE_DURATION% %RESPONSE_TX_DURATION%', '9 2'],
  ['%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)% %COMMON_DURATION(US_TX_BEG:US_RX_BEG)%', '11750 7'],
  ['%UPSTREAM_HOST% %UPSTREAM_HOST_NAME% %UPSTREAM_CLUSTER%', '10.1.1.1:9080 pod.test outbound|9080||reviews'],
  ['%UPSTREAM_CLUSTER_RAW%', 'outbound|9080||reviews'],
  [
    '%UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT%',
    '10.1.1.1:9080 10.1.1.1 9080',
  ],
  ['%UPSTREAM_TRANSPORT_FAILURE_REASON% %UPSTREAM_REQUEST_ATTEMPT_COUNT%', 'connect_refused 2'],
  ['%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%', '1.2.3.4:0 1.2.3.4'],
  ['%DOWNSTREAM_DIRECT_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_PORT%', '10.0.0.9:5555 5555'],
  [
    '%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT%',
    '[fd00::1]:9080 fd00::1 9080',
  ],
  ['%REQUESTED_SERVER_NAME% %DOWNSTREAM_TLS_VERSION% %CONNECTION_ID% %STREAM_ID%', 'sni.test TLSv1.3 42 id-1'],
  ['%ROUTE_NAME% %VIRTUAL_HOST_NAME% %VIRTUAL_CLUSTER_NAME% %FILTER_STATE(x)%', 'r v - -'],
  ['%DYNAMIC_METADATA(ns:text)% %DYNAMIC_METADATA(ns:number)%', 'v 5'],
  ['%METADATA(DYNAMIC:ns:object:inner)% %METADATA(ROUTE:ns)%', '[1,2] -'],
  ['%DYNAMIC_METADATA(ns:object)% %DYNAMIC_METADATA(none:x)%', '{"inner":[1,2]} -'],
  [
    '%UPSTREAM_LOCAL_ADDRESS% %UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %UPSTREAM_LOCAL_PORT%',
    '10.0.0.2:4321 10.0.0.2 4321',
  ],
  ['%UPSTREAM_PROTOCOL% %UPSTREAM_CONNECTION_ID%', 'HTTP/1.1 7'],
  ['%COMMON_DURATION(US_CX_BEG:US_CX_END:us)%', '500'],
  ['%ACCESS_LOG_TYPE% %FILTER_CHAIN_NAME%', 'DownstreamEnd -'],
  ['%CONNECTION_TERMINATION_DETAILS% %DOWNSTREAM_LOCAL_CLOSE_REASON% %UPSTREAM_LOCAL_CLOSE_REASON%', '- - -'],
  ['%DOWNSTREAM_DETECTED_CLOSE_TYPE% %UPSTREAM_DETECTED_CLOSE_TYPE%', 'Normal Normal'],
  ['%PATH% %PATH(NQ)% %PATH(WQ:PATH)% %PATH(NQ:ORIG)%', '/old?x=1 /old /new?x=1 /old'],
  ['%QUERY_PARAM(x)% %QUERY_PARAM(y)%', '1 -'],
  ['%TRAILER(X-Sum)% %TRAILER(none?x-sum)% %RESPONSE_TRAILERS_BYTES%', 'abc abc 12'],
  ['%GRPC_STATUS% %GRPC_STATUS_NUMBER%', '- -'],
  ['%EMIT_TIME% %EMIT_TIME(%s.%3f)%', '2024-05-06T07:08:09.134Z 1714979289.134'],
  ['%UPSTREAM_WIRE_BYTES_SENT% %DOWNSTREAM_WIRE_BYTES_RECEIVED%', '- 10'],
  ['%LOCAL_REPLY_BODY% %REMORA_REASON%', '- No one answered'],
  ['100%% %%REQ%%', '100% %REQ%'],
  ['', ''],
])('%s', (format, expected) => {
  expect(print(format)).toBe(expected);
});

test('query parameters are decoded, but for what would break the line', () => {
  const info = finishedStream();
  info.request.path = '/a?first&q=a%20b%0Ac&q=2&%C3%BC=1';
  expect(print('%QUERY_PARAM(q)%|%QUERY_PARAM(first)%|%QUERY_PARAM(ü)%', info)).toBe('a b%0Ac|-|1');
});

test('the gRPC status of a gRPC request: from trailers, the head, or what stands for the HTTP code', () => {
  const info = finishedStream();
  info.request.headers.add('Content-Type', 'application/grpc+proto');
  const format = '%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%';
  expect(print(format, info)).toBe('Unavailable UNAVAILABLE 14 14');
  info.response.headers.add('grpc-status', '1');
  expect(print(format, info)).toBe('Canceled CANCELLED 1 1');
  info.responseTrailers!.add('grpc-status', '5');
  expect(print(format, info)).toBe('NotFound NOT_FOUND 5 5');
  info.responseTrailers!.set('grpc-status', '99');
  expect(print(format, info)).toBe('99 99 99 99');
});

test('a TCP connection has its bytes and ends, and no HTTP', () => {
  const info = finishedStream();
  Object.assign(info, {
    protocol: '',
    logType: 'TcpConnectionEnd',
    filterChain: 'tcp-chain',
    upstreamBytesSent: 3,
    upstreamBytesReceived: 4,
    localCloseReason: 'tcp_session_idle_timeout',
    downstreamCloseType: 'LocalReset',
    upstreamCloseType: 'RemoteReset',
  });
  expect(print('%PROTOCOL% %ACCESS_LOG_TYPE% %FILTER_CHAIN_NAME%', info)).toBe('- TcpConnectionEnd tcp-chain');
  expect(print('%UPSTREAM_WIRE_BYTES_SENT% %UPSTREAM_WIRE_BYTES_RECEIVED%', info)).toBe('3 4');
  const reasons = '%CONNECTION_TERMINATION_DETAILS% %DOWNSTREAM_LOCAL_CLOSE_REASON% %UPSTREAM_LOCAL_CLOSE_REASON%';
  expect(print(reasons, info)).toBe(Array(3).fill('tcp_session_idle_timeout').join(' '));
  expect(print('%DOWNSTREAM_DETECTED_CLOSE_TYPE% %UPSTREAM_DETECTED_CLOSE_TYPE%', info)).toBe('LocalReset RemoteReset');
});

test('a cluster with an alt_stat_name goes by that', () => {
  const info = finishedStream();
  info.cluster = { name: 'outbound|9080||reviews', altStatName: 'reviews', service: null };
  expect(print('%UPSTREAM_CLUSTER% %UPSTREAM_CLUSTER_RAW%', info)).toBe('reviews outbound|9080||reviews');
});

test('what is missing is "-", or nothing', () => {
  const info = new StreamInfo();
  const format = '%REQ(x)%|%UPSTREAM_HOST%|%UPSTREAM_CLUSTER%|%DURATION%|%ROUTE_NAME%|%RESPONSE_CODE%|%HOSTNAME%';
  expect(print(format, info)).toBe('-|-|-|-|-|0|-');
  expect(print(format, info, { omitEmpty: true })).toBe('|||||0|');
});

test('the port of the remote address is known when it is the direct peer', () => {
  const info = finishedStream();
  info.remote = '10.0.0.9';
  expect(print('%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_PORT%', info)).toBe('10.0.0.9:5555 5555');
});

test('host name and environment are only what was handed in', () => {
  const options = { hostname: 'pod-1', environment: new Map([['ZONE', 'a']]) };
  expect(print('%HOSTNAME% %ENVIRONMENT(ZONE)% %ENVIRONMENT(PATH)%', finishedStream(), options)).toBe('pod-1 a -');
});

test('texts are octets of UTF-8, wherever they come from', () => {
  const info = finishedStream();
  info.route = { routeName: 'é', virtualHost: '', origin: '' };
  info.request.headers.add('x-name', Buffer.from('ü').toString('latin1'));
  expect(Buffer.from(print('ö %ROUTE_NAME% %REQ(x-name)%', info), 'latin1').toString()).toBe('ö é ü');
});

describe('the default format', () => {
  test('prints Envoy’s line', () => {
    const info = finishedStream();
    info.request.headers.add('X-Forwarded-For', '1.2.3.4');
    expect(print(DEFAULT_ACCESS_LOG_FORMAT, info)).toBe(
      '[2024-05-06T07:08:09.123Z] "GET /old?x=1 HTTP/1.1" 503 UF 10 20 11 7 "1.2.3.4" "curl/8" "id-1" "reviews:9080" "10.1.1.1:9080"\n',
    );
  });
  test('of a stream that got nowhere', () => {
    const info = new StreamInfo();
    info.startWall = 0;
    expect(print(DEFAULT_ACCESS_LOG_FORMAT, info)).toBe(
      '[1970-01-01T00:00:00.000Z] "- - HTTP/1.1" 0 - 0 0 - - "-" "-" "-" "-" "-"\n',
    );
  });
});

describe('errors name their place', () => {
  test.each([
    ['a %NOPE%', /%NOPE% at position 2 does not exist/],
    ['%', /position 0/],
    ['abc %REQ(x', /position 4/],
    ['%REQ%', /%REQ% at position 0 needs the name of a header/],
    ['%REQ(a?b?c)%', /one alternative/],
    ['%PROTOCOL(x)%', /takes no argument/],
    ['%START_TIME(%Q)%', /"%Q" is not known/],
    ['%COMMON_DURATION(US_HS_END:DS_TX_END:ms)%', /START:END/],
    ['%PATH(XX)%', /WQ or NQ/],
    ['%QUERY_PARAM()%', /name of a query parameter/],
    ['%GRPC_STATUS(X)%', /CAMEL_STRING/],
    ['%ENVIRONMENT()%', /name of a variable/],
    ['%METADATA(NOPE:x)%', /no metadata of type "NOPE"/],
    ['%constructor%', /position 0/],
    ['%req(x)%', /position 0/],
  ])('%s', (format, message) => {
    expect(compileFormat(format).error).toMatch(message);
  });
  test('operators without a value here are accepted and reported', () => {
    expect(compileFormat('%FILTER_STATE(X)% %ROUNDTRIP_DURATION%').ok?.warnings).toEqual([
      '%FILTER_STATE(X)% never has a value here and prints "-"',
      '%ROUNDTRIP_DURATION% never has a value here and prints "-"',
    ]);
  });
});
