import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import { decode, encode, fromJson, Problems, toJson } from '../../../../src/xds/proto/codec.ts';
import { type } from '../../../../src/xds/proto/message-type.ts';
import { allTypes, decodeTheirs, encodeTheirs, normal, randomMessage } from './random-message.ts';

const core = [
  'envoy.config.listener.v3.Listener',
  'envoy.config.route.v3.RouteConfiguration',
  'envoy.config.cluster.v3.Cluster',
  'envoy.config.endpoint.v3.ClusterLoadAssignment',
  'envoy.service.discovery.v3.DiscoveryRequest',
  'envoy.service.discovery.v3.DiscoveryResponse',
  'envoy.service.discovery.v3.DeltaDiscoveryRequest',
  'envoy.service.discovery.v3.DeltaDiscoveryResponse',
  'envoy.config.bootstrap.v3.Bootstrap',
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
];

const lenient = { validate: false };

function compare(name: string, seed: number): void {
  const handle = type<unknown>(name);
  const { theirs, ours } = randomMessage(name, seededRandom(seed));
  const problems = new Problems();

  const bytes = encodeTheirs(name, theirs);
  const decoded = decode(handle, bytes, problems, '', lenient);
  expect(problems.list).toEqual([]);
  expect(normal(decoded)).toEqual(normal(ours));

  const encoded = encode(handle, ours);
  expect(decodeTheirs(name, encoded)).toEqual(decodeTheirs(name, bytes));
  expect(decodeTheirs(name, encode(handle, decoded))).toEqual(normal(theirs));

  const json: unknown = JSON.parse(JSON.stringify(toJson(handle, decoded)));
  const reread = fromJson(handle, json, problems, '', lenient);
  expect(problems.list).toEqual([]);
  expect(normal(JSON.parse(JSON.stringify(toJson(handle, reread))))).toEqual(json);
  const again = decode(handle, encode(handle, reread), problems, '', lenient);
  expect(JSON.parse(JSON.stringify(toJson(handle, again)))).toEqual(json);
}

describe('against protobufjs on the same protos', () => {
  for (const name of core) {
    it(`agrees on 30 random messages of ${name}`, () => {
      for (let seed = 1; seed <= 30; seed++) compare(name, seed);
    });
  }

  it('agrees on random messages of every type', { timeout: 60_000 }, () => {
    const types = allTypes();
    expect(types.length).toBeGreaterThan(1000);
    for (const name of types) for (let seed = 1; seed <= 2; seed++) compare(name, seed * 7919);
  });
});
