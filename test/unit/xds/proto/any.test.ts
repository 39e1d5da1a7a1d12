import { describe, expect, it } from 'vitest';
import {
  type Any,
  decode,
  encode,
  fromJson,
  Problems,
  pack,
  toJson,
  typeUrl,
  unpack,
  unpackAny,
} from '../../../../src/xds/proto/codec.ts';
import { CorsPolicy } from '../../../../src/xds/proto/gen/envoy/extensions/filters/http/cors/v3.ts';
import { Router } from '../../../../src/xds/proto/gen/envoy/extensions/filters/http/router/v3.ts';
import {
  HttpConnectionManager,
  HttpFilter,
} from '../../../../src/xds/proto/gen/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import { Any as AnyType, StringValue } from '../../../../src/xds/proto/gen/google/protobuf.ts';
import { TypedStruct as OldTypedStruct } from '../../../../src/xds/proto/gen/udpa/type/v1.ts';
import { TypedStruct } from '../../../../src/xds/proto/gen/xds/type/v3.ts';

const routerUrl = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';

function collect<T>(read: (problems: Problems) => T): [T, string[]] {
  const problems = new Problems();
  const value = read(problems);
  return [value, problems.list.map((problem) => `${problem.path}: ${problem.reason}`)];
}

/** An Any as it comes off the wire. */
function viaWire(any: Any): Any {
  const filter = decode(HttpFilter, encode(HttpFilter, { name: 'f', typed_config: any }), new Problems());
  return filter.typed_config ?? { type_url: '' };
}

describe('Any', () => {
  it('is decoded at once from JSON, and lazily from binary', () => {
    const json = { name: 'r', typed_config: { '@type': routerUrl, suppress_envoy_headers: true } };
    const [filter, problems] = collect((p) => fromJson(HttpFilter, json, p));
    expect(problems).toEqual([]);
    expect(filter.typed_config).toEqual({ type_url: routerUrl, message: { suppress_envoy_headers: true } });
    const wire = viaWire(filter.typed_config ?? { type_url: '' });
    expect(wire.value).toBeInstanceOf(Uint8Array);
    for (const any of [wire, filter.typed_config ?? wire]) {
      expect(collect((p) => unpack(any, Router, p, 'x'))).toEqual([{ suppress_envoy_headers: true }, []]);
    }
    expect(toJson(HttpFilter, { name: 'r', typed_config: wire })).toEqual(json);
  });

  it('packs', () => {
    expect(typeUrl(Router)).toBe(routerUrl);
    expect(viaWire(pack(Router, { suppress_envoy_headers: true })).value).toEqual(
      encode(Router, { suppress_envoy_headers: true }),
    );
  });

  it('reports another type than the expected one', () => {
    expect(collect((p) => unpack(viaWire(pack(Router, {})), CorsPolicy, p, 'f.typed_config'))).toEqual([
      undefined,
      [`f.typed_config: expected type "${typeUrl(CorsPolicy)}", got "${routerUrl}"`],
    ]);
  });

  it('reports an unknown extension, from JSON and from binary', () => {
    const url = 'type.googleapis.com/acme.Filter';
    const problem = (path: string): string => `${path}: unknown extension type "${url}"`;
    expect(collect((p) => fromJson(HttpFilter, { name: 'a', typed_config: { '@type': url } }, p))[1]).toEqual([
      problem('typed_config'),
    ]);
    expect(collect((p) => unpackAny({ type_url: url, value: new Uint8Array(2) }, p, 'c'))).toEqual([
      undefined,
      [problem('c')],
    ]);
    expect(toJson(HttpFilter, { typed_config: { type_url: url, value: new Uint8Array(2) } })).toEqual({
      typed_config: { '@type': url, value: 'AAA=' },
    });
  });

  it('reports what is wrong inside by the whole path', () => {
    const hcm = {
      '@type': typeUrl(HttpConnectionManager),
      stat_prefix: 'a',
      rds: { config_source: { ads: {} } },
      http_filters: [{ name: 'r', typed_config: { '@type': routerUrl, upstream_log: [{ nam: 'x' }] } }],
    };
    expect(collect((p) => fromJson(HttpFilter, { name: 'a', typed_config: hcm }, p, 'filters[0]'))[1]).toEqual([
      'filters[0].typed_config.http_filters[0].typed_config.upstream_log[0].nam: unknown field "nam": did you mean "name"?',
    ]);
    const any = viaWire({ type_url: routerUrl, value: Uint8Array.from([0x98, 0x06, 1]) });
    expect(collect((p) => unpack(any, Router, p, 'a.b'))[1]).toEqual([
      'a.b: unknown field number 99 in envoy.extensions.filters.http.router.v3.Router',
    ]);
  });

  it('checks the rules of what is in it', () => {
    const json = { name: 'a', typed_config: { '@type': typeUrl(HttpConnectionManager), stat_prefix: '' } };
    expect(collect((p) => fromJson(HttpFilter, json, p))[1]).toEqual([
      'typed_config: one of "rds", "route_config", "scoped_routes" is required',
      'typed_config.stat_prefix: must not be empty',
    ]);
    expect(collect((p) => unpack(viaWire(pack(HttpConnectionManager, {})), HttpConnectionManager, p, 'c'))[1]).toEqual([
      'c: one of "rds", "route_config", "scoped_routes" is required',
      'c.stat_prefix: must not be empty',
    ]);
  });

  it('holds well-known types under "value"', () => {
    const json = { name: 'a', typed_config: { '@type': typeUrl(StringValue), value: 'x' } };
    const [filter] = collect((p) => fromJson(HttpFilter, json, p));
    expect(collect((p) => unpack(viaWire(filter.typed_config ?? { type_url: '' }), StringValue, p, ''))).toEqual([
      'x',
      [],
    ]);
    expect(toJson(HttpFilter, filter)).toEqual(json);
  });

  it('may hold itself any number of times, and is named by anything', () => {
    const url = 'type.googleapis.com/google.protobuf.Any';
    let any: Any = { type_url: url, value: new Uint8Array(0) };
    for (let i = 0; i < 2000; i++) any = { type_url: url, value: encode(AnyType, any) };
    expect(JSON.stringify(toJson(HttpFilter, { typed_config: any })).length).toBeGreaterThan(1000);
    const hostile = { type_url: 'a.'.repeat(1_000_000), value: new Uint8Array(0) };
    const [, problems] = collect((p) => unpackAny(hostile, p, 'c'));
    expect(problems[0]?.length).toBeLessThan(150);
  });

  it('needs a type', () => {
    expect(collect((p) => fromJson(HttpFilter, { name: 'a', typed_config: {} }, p))[1]).toEqual([
      'typed_config: "@type" is required',
    ]);
    expect(collect((p) => unpackAny({ type_url: '' }, p, 'c'))[1]).toEqual(['c: the type URL is empty']);
  });
});

describe('TypedStruct', () => {
  it.each([TypedStruct, OldTypedStruct])('%o is seen through', (type) => {
    const any = viaWire(pack(type, { type_url: routerUrl, value: { suppress_envoy_headers: true } }));
    expect(collect((p) => unpack(any, Router, p, 'c'))).toEqual([{ suppress_envoy_headers: true }, []]);
    expect(collect((p) => unpackAny(any, p, 'c'))).toEqual([
      { typeName: Router.typeName, message: { suppress_envoy_headers: true } },
      [],
    ]);
    expect(collect((p) => unpack(any, type, p, 'c'))[0]).toEqual({
      type_url: routerUrl,
      value: { suppress_envoy_headers: true },
    });
  });

  it('reports what is wrong inside', () => {
    const any = pack(TypedStruct, { type_url: routerUrl, value: { suppress_envoy_header: true } });
    expect(collect((p) => unpack(any, Router, p, 'c'))[1]).toEqual([
      'c.suppress_envoy_header: unknown field "suppress_envoy_header": did you mean "suppress_envoy_headers"?',
    ]);
    expect(collect((p) => unpackAny(pack(TypedStruct, { type_url: 'a/b.C' }), p, 'c'))[1]).toEqual([
      'c: unknown extension type "a/b.C"',
    ]);
    expect(collect((p) => unpack(any, CorsPolicy, p, 'c'))[1]).toEqual([
      `c: expected type "${typeUrl(CorsPolicy)}", got "${routerUrl}"`,
    ]);
  });
});
