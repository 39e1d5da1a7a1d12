import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { type Any, encode, fromJson, Problems, typeUrl } from '../../../../src/xds/proto/codec.ts';
import { Bootstrap } from '../../../../src/xds/proto/gen/envoy/config/bootstrap/v3.ts';
import { Cluster } from '../../../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { Listener } from '../../../../src/xds/proto/gen/envoy/config/listener/v3.ts';
import type { ResourceType } from '../../../../src/xds/resources/resource-type.ts';
import { CLUSTER, LISTENER } from '../../../../src/xds/resources/standard.ts';
import { testContext } from './support.ts';

const EXAMPLES = new URL('../../../../config/proxy/', import.meta.url);
const context = testContext();

/** The examples' listeners and clusters, as a control server would send them. */
const resources: [ResourceType<unknown>, Any & { value: Uint8Array }][] = readdirSync(EXAMPLES).flatMap((name) => {
  const message = fromJson(Bootstrap, parse(readFileSync(new URL(name, EXAMPLES), 'utf8')), new Problems());
  const { listeners = [], clusters = [] } = message.static_resources ?? {};
  return [
    ...listeners.map((one): [typeof LISTENER, Any & { value: Uint8Array }] => [
      LISTENER,
      { type_url: typeUrl(Listener), value: encode(Listener, one) },
    ]),
    ...clusters.map((one): [typeof CLUSTER, Any & { value: Uint8Array }] => [
      CLUSTER,
      { type_url: typeUrl(Cluster), value: encode(Cluster, one) },
    ]),
  ];
});

test('resources of changed bytes are a model or errors, never an exception', () => {
  let state = 1;
  const next = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >>> 8) % below;
  };
  let good = 0;
  for (let round = 0; round < 3000; round++) {
    const [type, { type_url, value }] = resources[next(resources.length)]!;
    const bytes = value.slice();
    for (let n = next(3) + 1; n > 0; n--) bytes[next(bytes.length)] = next(256);
    const decoded = type.decode(
      { type_url, value: next(10) === 0 ? bytes.slice(0, next(bytes.length)) : bytes },
      context,
    );
    if (decoded.ok) good++;
    else expect(decoded.errors.length, `round ${round}`).toBeGreaterThan(0);
  }
  expect(good).toBeGreaterThan(0);
  expect(good).toBeLessThan(3000);
});
