import { expect, test } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import { HttpPrefaceSniffer, MAX_REQUEST_LINE_BYTES } from '../../../../src/protocol/sniff/http-preface.ts';
import { formatIPv6, parseIPv6 } from '../../../../src/protocol/sniff/ip-text.ts';
import { MAX_V1_BYTES, sniffProxyHeader } from '../../../../src/protocol/sniff/proxy-protocol.ts';
import type { Sniff } from '../../../../src/protocol/sniff/sniff.ts';
import { ClientHelloSniffer, MAX_CLIENT_HELLO_BYTES } from '../../../../src/protocol/sniff/tls-client-hello.ts';
import { clientHello, proxyV2 } from '../../../support/first-bytes.ts';

const SEEDS: readonly Buffer[] = [
  clientHello({ serverName: 'a.example', protocols: ['h2', 'http/1.1'] }),
  clientHello({ serverName: 'a.example', recordBytes: 7 }),
  Buffer.from('POST /a/b HTTP/1.1\r\n'),
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 54321 443\r\n'),
  proxyV2('192.0.2.1:54321', '198.51.100.2:443', [
    [1, 'h2'],
    [4, ''],
  ]),
];

/** Any index past the end is a failure, not undefined. */
function guarded(bytes: Uint8Array): Uint8Array {
  return new Proxy(bytes, {
    get(target, key) {
      if (typeof key === 'string' && /^-?\d+$/.test(key) && (Number(key) < 0 || Number(key) >= target.length)) {
        throw new Error(`read at ${key} of ${target.length}`);
      }
      if (key === 'subarray') return (from: number, to?: number) => guarded(target.subarray(from, to));
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

const READERS: readonly (() => (bytes: Uint8Array) => Sniff<unknown>)[] = [
  () => {
    const sniffer = new ClientHelloSniffer();
    return (bytes) => sniffer.read(bytes);
  },
  () => {
    const sniffer = new HttpPrefaceSniffer();
    return (bytes) => sniffer.read(bytes);
  },
  () => sniffProxyHeader,
];

const plain = (_: string, value: unknown): unknown => (value instanceof Uint8Array ? [...value] : value);

/** Whole and cut in two at `cut`, the answer must be the same, and no larger than what was given. */
function check(bytes: Uint8Array, cut: number): void {
  for (const reader of READERS) {
    const whole = reader()(guarded(bytes));
    if (whole.kind === 'found') expect(whole.length).toBeLessThanOrEqual(bytes.length);
    const again = reader();
    const early = again(guarded(bytes.subarray(0, cut)));
    const late = early.kind === 'more' ? again(guarded(bytes)) : early;
    expect(late.kind).toBe(whole.kind);
    expect(JSON.stringify(late, plain)).toBe(JSON.stringify(whole, plain));
  }
}

test('every truncation of what is known', () => {
  for (const seed of SEEDS) for (let cut = 0; cut <= seed.length; cut++) check(seed.subarray(0, cut), cut >> 1);
});

test('mutated octets, inserted and removed ones', () => {
  const random = seededRandom(4);
  for (let round = 0; round < 4000; round++) {
    let bytes = Buffer.from(SEEDS[random.int(SEEDS.length)]!);
    for (let change = random.int(4); change >= 0; change--) {
      const at = random.int(bytes.length);
      const kind = random.int(4);
      if (kind === 0) bytes[at] = random.int(256);
      else if (kind === 1) bytes[at]! ^= 1 << random.int(8);
      else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1), Buffer.from([0])]);
      else bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from([random.int(256)]), bytes.subarray(at)]);
    }
    check(bytes, random.int(bytes.length + 1));
  }
});

test('what never ends is given up', () => {
  const text = Buffer.alloc(MAX_REQUEST_LINE_BYTES, 0x61);
  text.write('GET ');
  expect(new HttpPrefaceSniffer().read(text.subarray(0, -1)).kind).toBe('more');
  expect(new HttpPrefaceSniffer().read(text)).toMatchObject({ kind: 'malformed', tooLarge: true });
  const line = Buffer.alloc(MAX_V1_BYTES, 0x31);
  line.write('PROXY ');
  expect(sniffProxyHeader(line.subarray(0, -1)).kind).toBe('more');
  expect(sniffProxyHeader(line).kind).toBe('malformed');
  // One octet a record: six on the wire for each.
  const records = Buffer.alloc(6 * 12_000);
  for (let at = 0; at < records.length; at += 6) records.set([22, 3, 1, 0, 1, 0], at);
  records[5] = 1;
  records[6 + 5] = 0;
  records[12 + 5] = 0xff;
  const sniffer = new ClientHelloSniffer();
  expect(sniffer.read(records.subarray(0, MAX_CLIENT_HELLO_BYTES - 6)).kind).toBe('more');
  expect(sniffer.read(records)).toMatchObject({ kind: 'malformed', tooLarge: true });
});

test('IPv6 text goes there and back', () => {
  const random = seededRandom(6);
  for (let round = 0; round < 500; round++) {
    const octets = Uint8Array.from({ length: 16 }, () => (random.int(3) === 0 ? random.int(256) : 0));
    expect(parseIPv6(formatIPv6(octets))).toEqual(octets);
  }
  for (const wrong of [
    '',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '::1.2.3',
    '1.2.3.4::',
    '12345::',
  ])
    expect(parseIPv6(wrong)).toBeNull();
});
