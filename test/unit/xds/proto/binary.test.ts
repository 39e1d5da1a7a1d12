import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import { decode, encode, fromJson, Problems } from '../../../../src/xds/proto/codec.ts';
import { Cluster } from '../../../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { Node, RuntimeDouble, SocketAddress } from '../../../../src/xds/proto/gen/envoy/config/core/v3.ts';
import { RouteMatch } from '../../../../src/xds/proto/gen/envoy/config/route/v3.ts';
import { Percent } from '../../../../src/xds/proto/gen/envoy/type/v3.ts';
import { CheckedExpr } from '../../../../src/xds/proto/gen/google/api/expr/v1alpha1.ts';
import { Duration, Struct, UInt64Value } from '../../../../src/xds/proto/gen/google/protobuf.ts';
import { type } from '../../../../src/xds/proto/message-type.ts';
import { decodeTheirs, encodeTheirs, randomMessage } from './random-message.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

function problemsOf(of: { typeName: string }, input: Uint8Array): string[] {
  const problems = new Problems();
  decode(type(of.typeName), input, problems, 'x', { validate: false });
  return problems.list.map((problem) => `${problem.path}: ${problem.reason}`);
}

describe('strictness', () => {
  it('reports an unknown field number and reads on', () => {
    const problems = new Problems();
    const input = bytes(0x98, 0x06, 1, 0x0a, 1, 0x61); // field 99, then name = 'a'
    expect(decode(Cluster, input, problems, 'clusters[3]', { validate: false })).toEqual({ name: 'a' });
    expect(problems.list).toEqual([
      { path: 'clusters[3]', reason: 'unknown field number 99 in envoy.config.cluster.v3.Cluster' },
    ]);
  });

  it.each<[string, Uint8Array, string]>([
    ['a length past the end', bytes(0x0a, 5, 0x61), 'x.name: length goes past the end'],
    ['a truncated varint', bytes(0x80), 'x: truncated'],
    ['a varint without end', bytes(0x10, ...Array<number>(11).fill(0xff)), 'x.type: varint longer than 10 bytes'],
    ['field number zero', bytes(0x00), 'x: malformed field tag'],
    ['a tag beyond 32 bits', bytes(0xff, 0xff, 0xff, 0xff, 0xff, 0x01), 'x: malformed field tag'],
    ['invalid UTF-8', bytes(0x0a, 1, 0xff), 'x.name: invalid UTF-8'],
    ['a wrong wire type', bytes(0x08, 1), 'x.name: wire type 0 instead of 2'],
    ['a group', bytes(0x0b, 0x0c), 'x.name: wire type 3 instead of 2|x.name: unsupported wire type 3'],
    [
      'an unknown enum value',
      bytes(0x30, 77),
      'x.lb_policy: unknown value 77 of envoy.config.cluster.v3.Cluster.LbPolicy',
    ],
    ['a length of 2^40', bytes(0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20), 'x.name: length goes past the end'],
  ])('reports %s', (_, input, expected) => {
    expect(problemsOf(Cluster, input).join('|')).toBe(expected);
  });

  it('reports a broken part at its own path and reads its siblings', () => {
    const problems = new Problems();
    const cluster = decode(Cluster, bytes(0x22, 1, 0x80, 0x0a, 1, 0x61), problems, '', { validate: false });
    expect(problems.list).toEqual([{ path: 'connect_timeout', reason: 'truncated' }]);
    expect(cluster.name).toBe('a');
  });

  it('accepts a real replacement character', () => {
    const name = `\ufffd${'x'.repeat(40)}`;
    expect(decode(Node, encode(Node, { id: name }), new Problems())).toEqual({ id: name });
  });

  it('reports nesting deeper than 100', () => {
    let json: Uint8Array = bytes(0x08, 0);
    for (let i = 0; i < 400; i++) json = wrap(0x32, wrap(0x0a, json));
    expect(problemsOf(Struct, wrap(0x0a, concat(wrap(0x0a, bytes(0x61)), wrap(0x12, json)))).at(0)).toMatch(
      /nested deeper than 100$/,
    );
  });

  it('keeps no more than 100 problems', () => {
    const input = Uint8Array.from({ length: 30_000 }, (_, i) => [0x98, 0x06, 1][i % 3] ?? 0);
    expect(problemsOf(Cluster, input)).toHaveLength(100);
  });
});

describe('values', () => {
  it('reads packed and unpacked lists alike', () => {
    const name = 'envoy.config.route.v3.RetryPolicy'; // retriable_status_codes = 7
    const handle = type<{ retriable_status_codes?: number[] }>(name);
    for (const input of [bytes(0x3a, 3, 0xf7, 3, 1), bytes(0x38, 0xf7, 3, 0x38, 1)]) {
      expect(decode(handle, input, new Problems())).toEqual({ retriable_status_codes: [503, 1] });
    }
  });

  it('lets the last member of a oneof win', () => {
    const both = concat(encode(RouteMatch, { prefix: '/a' }), encode(RouteMatch, { path: '/b' }));
    expect(decode(RouteMatch, both, new Problems())).toEqual({ path: '/b' });
  });

  it('merges a message that comes in two parts', () => {
    const both = concat(
      encode(Cluster, { load_assignment: { cluster_name: 'a' } }),
      encode(Cluster, { load_assignment: { endpoints: [{ priority: 1 }] } }),
    );
    expect(decode(Cluster, both, new Problems(), '', { validate: false })).toEqual({
      load_assignment: { cluster_name: 'a', endpoints: [{ priority: 1 }] },
    });
  });

  it('leaves out zeroes that mean absent, and keeps those whose presence counts', () => {
    expect(encode(SocketAddress, { address: '', port_value: 0 })).toEqual(bytes(0x18, 0));
    expect(encode(RuntimeDouble, { default_value: 0 })).toEqual(bytes());
    expect(encode(Percent, { value: -0 })).toEqual(bytes(0x09, 0, 0, 0, 0, 0, 0, 0, 0x80));
    expect(encode(Cluster, { per_connection_buffer_limit_bytes: 0 })).toEqual(bytes(0x2a, 0));
  });

  it('reports 64-bit numbers beyond 2^53', () => {
    expect(problemsOf(UInt64Value, bytes(0x08, ...Array<number>(9).fill(0xff), 1))).toEqual([
      'x: 64-bit number out of the safe range of ±(2^53 - 1)',
    ]);
  });

  it('keeps maps with 64-bit keys', () => {
    const value = { reference_map: { '-300': { name: 'a' }, '7': { name: 'b' } } };
    expect(decode(CheckedExpr, encode(CheckedExpr, value), new Problems())).toEqual(value);
  });

  it('reports durations out of range', () => {
    expect(problemsOf(Duration, bytes(0x08, 1, 0x10, ...Array<number>(9).fill(0xff), 1))).toEqual([
      'x: duration out of range',
    ]);
  });

  it('writes messages larger than its buffer', () => {
    const id = 'ü'.repeat(3_000_000);
    expect(decode(Node, encode(Node, { id, cluster: id }), new Problems()).cluster).toBe(id);
    expect(encode(Node, { id: 'a' })).toEqual(bytes(0x0a, 1, 0x61));
  });

  it('throws on a property that is no field, and on no value of an enum', () => {
    expect(() => encode(type('envoy.config.core.v3.Node'), { idd: 'a' })).toThrow(
      'envoy.config.core.v3.Node has no field idd',
    );
    expect(() => encode(type('envoy.config.cluster.v3.Cluster'), { lb_policy: 'X' })).toThrow(
      'X is not a value of envoy.config.cluster.v3.Cluster.LbPolicy',
    );
  });
});

describe('mutated messages', () => {
  const names = [
    'envoy.config.bootstrap.v3.Bootstrap',
    'envoy.config.route.v3.RouteConfiguration',
    'envoy.config.cluster.v3.Cluster',
    'envoy.service.discovery.v3.DeltaDiscoveryResponse',
  ];

  it('are read to the end without a throw, and what is read without a problem is what protobufjs reads', {
    timeout: 60_000,
  }, () => {
    let sound = 0;
    for (const name of names) {
      const handle = type<unknown>(name);
      for (let seed = 1; seed <= 10; seed++) {
        const random = seededRandom(seed);
        const whole = encodeTheirs(name, randomMessage(name, random).theirs);
        for (let round = 0; round < 100; round++) {
          const input = mutate(whole, random);
          const problems = new Problems();
          const value = decode(handle, input, problems, '', { validate: round % 2 === 0 });
          if (!problems.ok) continue;
          sound++;
          decodeTheirs(name, encode(handle, value));
        }
      }
    }
    expect(sound).toBeGreaterThan(50);
  });

  it('are read without a throw as JSON too', () => {
    const random = seededRandom(5);
    const junk: unknown[] = [null, [], {}, 'x', 1, true, [null], { '@type': 'x' }, Number.NaN, { a: { b: {} } }];
    const spoil = (json: unknown): unknown => {
      if (random.next() < 0.02) return junk[random.int(junk.length)];
      if (Array.isArray(json)) return json.map(spoil);
      if (typeof json !== 'object' || json === null) return json;
      return Object.fromEntries(
        Object.entries(json).map(([key, item]) => [random.next() < 0.02 ? `${key}x` : key, spoil(item)]),
      );
    };
    const handle = type<unknown>('envoy.config.bootstrap.v3.Bootstrap');
    const start = {
      static_resources: {
        clusters: Array.from({ length: 20 }, (_, i) => ({
          name: `${i}`,
          connect_timeout: '1s',
          load_assignment: {
            cluster_name: 'a',
            endpoints: [
              { lb_endpoints: [{ endpoint: { address: { socket_address: { address: 'a', port_value: 1 } } } }] },
            ],
          },
        })),
      },
    };
    for (let round = 0; round < 500; round++) fromJson(handle, spoil(start), new Problems());
  });
});

function mutate(input: Uint8Array, random: ReturnType<typeof seededRandom>): Uint8Array {
  const at = random.int(Math.max(input.length, 1));
  switch (random.int(4)) {
    case 0:
      return input.slice(0, at);
    case 1:
      return concat(
        input.slice(0, at),
        Uint8Array.from({ length: random.int(6) }, () => random.int(256)),
        input.slice(at),
      );
    case 2:
      return concat(input.slice(0, at), input.slice(at + random.int(9)));
    default: {
      const out = input.slice();
      for (let i = random.int(4); i >= 0; i--) out[random.int(Math.max(out.length, 1))] = random.int(256);
      return out;
    }
  }
}

function concat(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

function wrap(tag: number, inner: Uint8Array): Uint8Array {
  const { length } = inner;
  return length < 128
    ? concat(bytes(tag, length), inner)
    : concat(bytes(tag, (length & 127) | 128, length >> 7), inner);
}
