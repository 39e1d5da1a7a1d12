import { describe, expect, it } from 'vitest';
import { decode, encode, fromJson, type MessageType, Problems, toJson } from '../../../../src/xds/proto/codec.ts';
import { Bootstrap } from '../../../../src/xds/proto/gen/envoy/config/bootstrap/v3.ts';
import { CircuitBreakers, Cluster } from '../../../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { DataSource, Metadata, Node } from '../../../../src/xds/proto/gen/envoy/config/core/v3.ts';
import { ClusterLoadAssignment } from '../../../../src/xds/proto/gen/envoy/config/endpoint/v3.ts';
import { RouteMatch, VirtualHost } from '../../../../src/xds/proto/gen/envoy/config/route/v3.ts';
import { Duration, FieldMask, Struct, Timestamp, Value } from '../../../../src/xds/proto/gen/google/protobuf.ts';

function read<T>(type: MessageType<T>, json: unknown): { value: T; problems: string[] } {
  const problems = new Problems();
  const value = fromJson(type, json, problems, '', { validate: false });
  return { value, problems: problems.list.map((problem) => `${problem.path}: ${problem.reason}`) };
}

function accept<T>(type: MessageType<T>, json: unknown): T {
  const { value, problems } = read(type, json);
  expect(problems).toEqual([]);
  return value;
}

describe('names', () => {
  it('accepts snake_case and lowerCamelCase', () => {
    expect(accept(Cluster, { connect_timeout: '1s' })).toEqual({ connect_timeout: 1000 });
    expect(accept(Cluster, { connectTimeout: '1s' })).toEqual({ connect_timeout: 1000 });
  });

  it('reports a field given under both its names', () => {
    expect(read(Cluster, { connect_timeout: '1s', connectTimeout: '2s' }).problems).toEqual([
      'connect_timeout: field "connect_timeout" is given twice',
    ]);
  });

  it('reports an unknown field by path, with the nearest name', () => {
    expect(read(Bootstrap, { static_resources: { clusters: [{ conect_timeout: '1s' }] } }).problems).toEqual([
      'static_resources.clusters[0].conect_timeout: unknown field "conect_timeout": did you mean "connect_timeout"?',
    ]);
    expect(read(VirtualHost, { domain: [], qqqqq: 1 }).problems).toEqual([
      'domain: unknown field "domain": did you mean "domains"?',
      'qqqqq: unknown field "qqqqq"',
    ]);
  });

  it('writes snake_case, in the order of the proto', () => {
    expect(JSON.stringify(toJson(Cluster, { connect_timeout: 250, name: 'a' }))).toBe(
      '{"name":"a","connect_timeout":"0.25s"}',
    );
  });
});

describe('values', () => {
  it.each([
    [{ name: 1 }, 'name: expected a string, got a number'],
    [{ name: ['a'] }, 'name: expected a string, got a list'],
    [{ ignore_health_on_host_removal: 'true' }, 'ignore_health_on_host_removal: expected a boolean, got a string'],
    [{ load_assignment: 'x' }, 'load_assignment: expected an object, got a string'],
    [{ dns_resolvers: {} }, 'dns_resolvers: expected a list, got an object'],
    [{ dns_resolvers: [null] }, 'dns_resolvers[0]: expected an object, got null'],
    [{ connect_timeout: 5 }, 'connect_timeout: expected a duration such as "1.5s", got a number'],
    [{ connect_timeout: '5ms' }, 'connect_timeout: expected a duration such as "1.5s", got "5ms"'],
    [{ per_connection_buffer_limit_bytes: -1 }, 'per_connection_buffer_limit_bytes: -1 is out of range'],
    [{ per_connection_buffer_limit_bytes: 1.5 }, 'per_connection_buffer_limit_bytes: expected an integer, got 1.5'],
    [
      { per_connection_buffer_limit_bytes: 'x' },
      'per_connection_buffer_limit_bytes: expected a number, got the string "x"',
    ],
    [
      { lb_policy: 'ROUND_ROBBIN' },
      'lb_policy: unknown value "ROUND_ROBBIN" of envoy.config.cluster.v3.Cluster.LbPolicy: did you mean "ROUND_ROBIN"?',
    ],
    [{ lb_policy: 77 }, 'lb_policy: unknown value 77 of envoy.config.cluster.v3.Cluster.LbPolicy'],
    [{ lb_policy: true }, 'lb_policy: expected the name of an enum value, got a boolean'],
    [
      { typed_extension_protocol_options: { a: 1 } },
      'typed_extension_protocol_options["a"]: expected an object, got a number',
    ],
  ])('reports %j', (json, problem) => {
    expect(read(Cluster, json).problems).toEqual([problem]);
  });

  it('takes null for absent', () => {
    expect(accept(Cluster, { name: null, connect_timeout: null, dns_resolvers: null })).toEqual({});
  });

  it('takes enums by name and by number, numbers in strings, and wrappers as scalars', () => {
    expect(accept(Cluster, { lb_policy: 2, type: 'EDS', per_connection_buffer_limit_bytes: '1024' })).toEqual({
      lb_policy: 'RING_HASH',
      type: 'EDS',
      per_connection_buffer_limit_bytes: 1024,
    });
  });

  it('keeps 64-bit numbers that are safe, writes them as strings, and reports the others', () => {
    const json = { ring_hash_lb_config: { minimum_ring_size: '9007199254740991' } };
    const value = accept(Cluster, json);
    expect(value.ring_hash_lb_config?.minimum_ring_size).toBe(Number.MAX_SAFE_INTEGER);
    expect(toJson(Cluster, value)).toEqual(json);
    expect(read(Cluster, { ring_hash_lb_config: { minimum_ring_size: '9007199254740993' } }).problems).toEqual([
      'ring_hash_lb_config.minimum_ring_size: 9007199254740992 is out of range',
    ]);
  });

  it('reads base64 of both alphabets, with and without padding', () => {
    expect(accept(DataSource, { inline_bytes: '+/8=' })).toEqual({ inline_bytes: new Uint8Array([251, 255]) });
    expect(accept(DataSource, { inline_bytes: '-_8' })).toEqual({ inline_bytes: new Uint8Array([251, 255]) });
    expect(toJson(DataSource, { inline_bytes: new Uint8Array([251, 255]) })).toEqual({ inline_bytes: '+/8=' });
    expect(read(DataSource, { inline_bytes: 'a*b' }).problems).toEqual(['inline_bytes: invalid base64']);
    expect(read(DataSource, { inline_bytes: 'abcde' }).problems).toEqual(['inline_bytes: invalid base64']);
  });

  it('reports two members of a oneof', () => {
    expect(read(RouteMatch, { prefix: '/', path: '/x' }).problems).toEqual([
      'path: only one of "prefix" and "path" may be set',
    ]);
  });

  it('reports nesting too deep instead of overflowing', () => {
    let json: unknown = 1;
    for (let i = 0; i < 100_000; i++) json = [json];
    expect(read(Node, { metadata: { a: json } }).problems.map((problem) => problem.replace(/^.*: /, ''))).toEqual([
      'nested deeper than 100',
    ]);
  });
});

describe('well-known types', () => {
  it.each([
    ['1.5s', 1500],
    ['0s', 0],
    ['-0.25s', -250],
    ['0.000001s', 0.001],
    ['3600s', 3_600_000],
  ])('has the duration %s as %d ms', (text, ms) => {
    expect(accept(Duration, text)).toBe(ms);
    expect(toJson(Duration, ms)).toBe(text);
    expect(decode(Duration, encode(Duration, ms), new Problems())).toBe(ms);
  });

  it.each(['', '1', 's', '1.s', '.5s', '1e3s', '1.0000000001s', '999999999999s', ' 1s'])(
    'refuses the duration %j',
    (text) => {
      expect(read(Duration, text).problems).toHaveLength(1);
    },
  );

  it.each([
    ['1970-01-01T00:00:00Z', 0, '1970-01-01T00:00:00Z'],
    ['2024-02-29T12:00:00.125Z', 1_709_208_000_125, '2024-02-29T12:00:00.125Z'],
    ['2024-02-29T13:00:00+01:00', 1_709_208_000_000, '2024-02-29T12:00:00Z'],
    ['1969-12-31T23:59:59.500Z', -500, '1969-12-31T23:59:59.5Z'],
  ])('reads the timestamp %s', (text, ms, canonical) => {
    expect(accept(Timestamp, text)).toBe(ms);
    expect(toJson(Timestamp, ms)).toBe(canonical);
    expect(decode(Timestamp, encode(Timestamp, ms), new Problems())).toBe(ms);
  });

  it('has Struct and Value as plain JSON', () => {
    const json = { a: [1, null, { b: 'c' }], d: true, e: -0.5 };
    expect(accept(Struct, json)).toEqual(json);
    expect(toJson(Struct, accept(Struct, json))).toEqual(json);
    expect(accept(Value, null)).toBeNull();
    expect(decode(Struct, encode(Struct, json), new Problems())).toEqual(json);
  });

  it('has a field mask as a string in JSON', () => {
    expect(accept(FieldMask, 'fooBar,baz.quxQuux')).toEqual({ paths: ['foo_bar', 'baz.qux_quux'] });
    expect(toJson(FieldMask, { paths: ['foo_bar', 'baz'] })).toBe('fooBar,baz');
  });
});

describe('hostile keys', () => {
  const hostile = (value: string): unknown => JSON.parse(`{"__proto__": ${value}, "constructor": ${value}}`);

  it('are entries of maps and structs like any other, through JSON and binary', () => {
    const metadata = accept(Metadata, { filter_metadata: hostile('{"__proto__": {"polluted": true}}') });
    const decoded = decode(Metadata, encode(Metadata, metadata), new Problems());
    for (const value of [metadata, decoded]) {
      expect(Object.keys(value.filter_metadata ?? {})).toEqual(['__proto__', 'constructor']);
      expect(JSON.stringify(toJson(Metadata, value))).toBe(
        '{"filter_metadata":{"__proto__":{"__proto__":{"polluted":true}},"constructor":{"__proto__":{"polluted":true}}}}',
      );
    }
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('are unknown fields of messages', () => {
    expect(read(ClusterLoadAssignment, hostile('1')).problems).toEqual([
      '__proto__: unknown field "__proto__"',
      'constructor: unknown field "constructor"',
    ]);
    expect(read(CircuitBreakers, { toString: 1 }).problems).toEqual(['toString: unknown field "toString"']);
  });
});
