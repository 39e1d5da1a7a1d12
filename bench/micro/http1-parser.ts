/**
 * ns per request head and response head, for a typical head of ten lines, next to llhttp as node:http uses it.
 * Run: node_modules/.bin/node bench/micro/http1-parser.ts [--rounds N]
 */
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import type { RequestHead, ResponseHead } from '../../src/protocol/http/message.ts';
import type { MessageEvents } from '../../src/protocol/http1/events.ts';
import { stripHopByHop } from '../../src/protocol/http1/framing.ts';
import { RequestParser, ResponseParser } from '../../src/protocol/http1/parser.ts';
import { ConnectionLine, requestHead, responseHead } from '../../src/protocol/http1/serializer.ts';
import { LlhttpPeer } from '../../test/fuzz/http1/llhttp.ts';

const REQUEST = Buffer.from(
  [
    'GET /productpage?u=normal HTTP/1.1',
    'Host: productpage.default.svc.cluster.local:9080',
    'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36',
    'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
    'Accept-Encoding: gzip, deflate, br',
    'Accept-Language: en-US,en;q=0.5',
    'Connection: keep-alive',
    'Cookie: session=eyJ1c2VyIjoiamFzb24ifQ.Zx0m3A.1mHc0Q2YpV4',
    'X-Request-Id: 7b1c7a5e-3f0e-9d7c-8a57-6ad0e6a2f0aa',
    'X-B3-TraceId: 80f198ee56343ba864fe8b2a57d3eff7',
    'X-B3-Sampled: 1',
    '\r\n',
  ].join('\r\n'),
);
const RESPONSE = Buffer.from(
  [
    'HTTP/1.1 200 OK',
    'Content-Type: application/json',
    'Date: Tue, 03 Jun 2025 10:00:00 GMT',
    'Server: reviews/1.2',
    'Cache-Control: no-cache, no-store',
    'ETag: "33a64df551425fcc55e4d42a148795d9f25f89d4"',
    'Vary: Accept-Encoding',
    'X-Content-Type-Options: nosniff',
    'Connection: keep-alive',
    'Keep-Alive: timeout=5',
    'Content-Length: 0',
    '\r\n',
  ].join('\r\n'),
);

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '7' } } });
const rounds = Number(values.rounds);
let sink = 0;

class Count implements MessageEvents<RequestHead | ResponseHead> {
  onHead(head: RequestHead | ResponseHead): void {
    sink += head.headers.count;
  }
  onData(): void {}
  onTrailers(): void {}
  onEnd(): void {}
  onError(error: Error): void {
    throw error;
  }
}

const requests = new RequestParser(new Count());
const responses = new ResponseParser(new Count());

const forwarding: MessageEvents<RequestHead> = {
  onHead(head) {
    stripHopByHop(head.headers, forwarder.notes, false);
    head.headers.add('X-Forwarded-For', '10.0.0.1');
    sink += requestHead(head, head.framing, ConnectionLine.None).length;
  },
  onData() {},
  onTrailers() {},
  onEnd() {},
  onError(error) {
    throw error;
  },
};
const forwarder = new RequestParser(forwarding);
const returning: MessageEvents<ResponseHead> = {
  onHead(head) {
    stripHopByHop(head.headers, returner.notes, false);
    sink += responseHead(head, head.framing, ConnectionLine.None).length;
  },
  onData() {},
  onTrailers() {},
  onEnd() {},
  onError(error) {
    throw error;
  },
};
const returner = new ResponseParser(returning);
const llhttpRequests = new LlhttpPeer('request', false);
const llhttpResponses = new LlhttpPeer('response', false);

const subjects: [name: string, run: () => void][] = [
  ['request head, remora', () => requests.execute(REQUEST)],
  ['request head, llhttp in node', () => llhttpRequests.execute(REQUEST)],
  ['request head, remora, strip and serialize', () => forwarder.execute(REQUEST)],
  [
    'response head, remora',
    () => {
      responses.expect('GET');
      responses.execute(RESPONSE);
    },
  ],
  ['response head, llhttp in node', () => llhttpResponses.execute(RESPONSE)],
  [
    'response head, remora, strip and serialize',
    () => {
      returner.expect('GET');
      returner.execute(RESPONSE);
    },
  ],
];

const TIMES = 100_000;
const best = subjects.map(() => Number.POSITIVE_INFINITY);
for (let round = 0; round < rounds; round++) {
  for (const [index, [, run]] of subjects.entries()) {
    const start = performance.now();
    for (let i = 0; i < TIMES; i++) run();
    const ns = ((performance.now() - start) * 1e6) / TIMES;
    if (ns < best[index]!) best[index] = ns;
  }
}
console.log(`request ${REQUEST.length} bytes, response ${RESPONSE.length} bytes; best of ${rounds} rounds of ${TIMES}`);
for (const [index, [name]] of subjects.entries())
  console.log(`${name.padEnd(44)} ${best[index]!.toFixed(0).padStart(6)} ns`);
if (sink === 0) console.log('nothing was parsed');
