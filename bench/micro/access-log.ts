/** What an access log line costs: `node bench/micro/access-log.ts`. The default format should stay near 1 µs. */
import { systemClock } from '../../src/base/clock.ts';
import { DEFAULT_ACCESS_LOG_FORMAT } from '../../src/model/access-log.ts';
import { compileFormat } from '../../src/proxy/telemetry/accesslog/format.ts';
import { compileJsonFormat } from '../../src/proxy/telemetry/accesslog/json.ts';
import { LogSink } from '../../src/proxy/telemetry/accesslog/sink.ts';
import { StreamInfo } from '../../src/proxy/telemetry/stream-info.ts';

function stream(i: number): StreamInfo {
  const info = new StreamInfo();
  const lines = [
    'Host: reviews:9080',
    'User-Agent: curl/8.5.0',
    'Accept: */*',
    'Accept-Encoding: gzip, deflate',
    'X-Forwarded-Proto: http',
    'X-B3-TraceId: 80f198ee56343ba864fe8b2a57d3eff7',
  ];
  const raw = Buffer.from(`GET /reviews/${i} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`).toString('latin1');
  info.request.method = 'GET';
  info.request.path = raw.substring(4, raw.indexOf(' HTTP'));
  const { headers } = info.request;
  headers.raw = raw;
  let at = raw.indexOf('\n') + 1;
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers.pushLine(at, at + colon, at + colon + 2, at + line.length);
    at += line.length + 2;
  }
  headers.add('x-forwarded-for', '10.0.0.9');
  headers.add('x-request-id', '5d3f9a2e-5f0c-4a8a-9c5e-0123456789ab');
  info.request.authority = headers.valueAt(0);
  info.response.headers.add('content-type', 'application/json');
  info.response.headers.add('x-envoy-upstream-service-time', '3');
  info.startWall = 1_714_979_289_123;
  info.start = 10;
  info.end = 13.5;
  info.responseCode = 200;
  info.bytesSent = 379;
  info.upstream = { address: '10.1.1.1:9080', hostname: '', workload: '' };
  return info;
}

const streams = Array.from({ length: 256 }, (_, i) => stream(i));
const ROUNDS = 300_000;

/** CPU time rather than the clock's: a busy machine changes it less. */
function cpuMicros(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return user + system;
}

function measure(name: string, run: (info: StreamInfo) => unknown): void {
  const times: number[] = [];
  for (let round = 0; round < 6; round++) {
    const started = process.cpuUsage();
    for (let i = 0; i < ROUNDS; i++) {
      const info = streams[i & 255]!;
      // A new millisecond every 20 requests.
      info.startWall = 1_714_979_289_123 + Math.floor(i / 20);
      run(info);
    }
    if (round > 0) times.push((cpuMicros(started) * 1e3) / ROUNDS);
  }
  times.sort((a, b) => a - b);
  console.log(`${name.padEnd(58)} ${times[2]!.toFixed(0).padStart(6)} ns/op`);
}

const text = compileFormat(DEFAULT_ACCESS_LOG_FORMAT).ok!;
const sink = new LogSink(
  { write: (_, done) => setImmediate(done, null), reopen: () => {}, close: () => {} },
  systemClock,
);
// The text is only a rope until somebody needs its bytes, so the sink's part includes making it flat.
let waiting = '';
const gather = (line: string): void => {
  waiting += line;
  if (waiting.length < 65_536) return;
  Buffer.from(waiting, 'latin1');
  waiting = '';
};
measure('default format', (info) => text.format(info));
measure('default format, gathered and made bytes', (info) => gather(text.format(info)));
measure('default format into a sink that drops', (info) => sink.write(text.format(info)));
const json = compileJsonFormat(
  {
    start_time: '%START_TIME%',
    method: '%REQ(:METHOD)%',
    path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
    protocol: '%PROTOCOL%',
    response_code: '%RESPONSE_CODE%',
    response_flags: '%RESPONSE_FLAGS%',
    bytes_received: '%BYTES_RECEIVED%',
    bytes_sent: '%BYTES_SENT%',
    duration: '%DURATION%',
    authority: '%REQ(:AUTHORITY)%',
    user_agent: '%REQ(USER-AGENT)%',
    request_id: '%REQ(X-REQUEST-ID)%',
    upstream_host: '%UPSTREAM_HOST%',
  },
  false,
  {},
).ok!;
measure('JSON of 13 fields, gathered and made bytes', (info) => gather(json.format(info)));
process.exit(0);
