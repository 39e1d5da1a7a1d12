import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import { examine } from '../../../../src/control/analyze/examine.ts';
import type { ConfigObject, ConfigState } from '../../../../src/control/source/collection.ts';
import { Translator } from '../../../../src/control/translate/translator.ts';
import { stateOf } from '../support.ts';

const BOOKINFO = join(import.meta.dirname, '../../../../config/bookinfo');
const WEB = `apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec: {hosts: [web], http: [{route: [{destination: {host: web, subset: v1}}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec: {host: web, subsets: [{name: v1, labels: {version: v1}}]}
`;

function slice(service: string, address: string): string {
  return `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${service}-1, labels: {kubernetes.io/service-name: ${service}}}
addressType: IPv4
endpoints: [{addresses: [${address}]}]
ports: [{name: http, port: 80}]
`;
}
function with_(...extra: ConfigObject[]): ConfigState {
  return { objects: [...BASE, ...extra], findings: [] };
}
const BASE = stateOf(WEB).objects;
const [one] = stateOf(slice('web', '10.0.0.1')).objects;
const [two] = stateOf(slice('web', '10.0.0.2')).objects;
const [elsewhere] = stateOf(slice('other', '10.0.0.3')).objects;

describe('Translator', () => {
  it('gives the same values again where nothing changed', () => {
    const translator = new Translator();
    const first = translator.update(with_(one!));
    expect(translator.update(with_(one!)).mesh).toBe(first.mesh);
  });

  it('changes only the service whose endpoints changed', () => {
    const translator = new Translator();
    const { mesh: before } = translator.update(with_(one!, elsewhere!));
    const { mesh: after } = translator.update(with_(two!, elsewhere!));
    const host = (name: string): string => `${name}.default.svc.cluster.local`;
    expect(after.services.get(host('web'))?.endpoints.map((endpoint) => endpoint.address)).toEqual(['10.0.0.2']);
    expect(after.services.get(host('other'))).toBe(before.services.get(host('other')));
    expect(after.routes).toBe(before.routes);
    expect(after.policies).toBe(before.policies);
    expect(after.services).not.toBe(before.services);
  });

  it('gives an endpoint the labels of its pod when that appears and when it changes', () => {
    const translator = new Translator();
    const text = slice('web', '10.0.0.1').replace('[10.0.0.1]', '[10.0.0.1], targetRef: {kind: Pod, name: p}');
    const [withPod] = stateOf(text).objects;
    const pod = (version: string): ConfigObject =>
      stateOf(`apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {version: ${version}}}\n`).objects[0]!;
    const versions = [undefined, 'v1', 'v2'].map((version) => {
      const state = version === undefined ? with_(withPod!) : with_(withPod!, pod(version));
      return translator.update(state).mesh.services.get('web.default.svc.cluster.local')?.endpoints[0]?.labels.version;
    });
    expect(versions).toEqual([undefined, 'v1', 'v2']);
  });

  it('takes a VirtualService and its DestinationRule as one change, whichever is read first', () => {
    const forward = new Translator().update({ objects: BASE, findings: [] });
    const backward = new Translator().update({ objects: BASE.toReversed(), findings: [] });
    expect(backward).toEqual(forward);
    expect(forward.findings).toEqual([]);
  });

  it('makes the same mesh from the same objects in any order, at once or step by step', () => {
    const golden = join(import.meta.dirname, '../../../golden/translate/istio');
    const random = seededRandom(7);
    for (const file of readdirSync(golden)) {
      const text = readFileSync(join(golden, file), 'utf8');
      const inputs = [...text.matchAll(/^```yaml (?!output)\S+\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '');
      const objects = inputs.flatMap((input) => stateOf(input).objects);
      const expected = new Translator().update({ objects, findings: [] });
      const shuffled = objects.toSorted(() => random.next() - 0.5);
      const translator = new Translator();
      for (let n = 1; n <= shuffled.length; n++) translator.update({ objects: shuffled.slice(0, n), findings: [] });
      expect(translator.update({ objects: shuffled, findings: [] }).mesh, file).toEqual(expected.mesh);
    }
  });
});

describe('config/bookinfo', () => {
  const base = ['services.yaml', 'gateway.yaml', 'destination-rules.yaml'];

  it.each(['', ...readdirSync(join(BOOKINFO, 'try'))])('has nothing wrong in it: %s', (name) => {
    const files = [
      ...base.filter((file) => name !== 'breaker.yaml' || file !== 'destination-rules.yaml'),
      ...(name === '' ? [] : [`try/${name}`]),
    ];
    const read = files.map((file) => stateOf(readFileSync(join(BOOKINFO, file), 'utf8'), file));
    const state = { objects: read.flatMap((one) => one.objects), findings: read.flatMap((one) => one.findings) };
    expect(examine(state).findings).toEqual([]);
  });
});
