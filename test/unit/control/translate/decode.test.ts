import { describe, expect, it } from 'vitest';
import { formatFinding } from '../../../../src/control/source/collection.ts';
import { DecodedStore, decodeObject } from '../../../../src/control/translate/decode.ts';
import { objectOf } from '../support.ts';

function rule(simple: string): string {
  return `apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web}\nspec: {host: web, trafficPolicy: {loadBalancer: {simple: ${simple}}}}\n`;
}

describe('DecodedStore', () => {
  it('does not read an unchanged object again', () => {
    const store = new DecodedStore();
    const object = objectOf(rule('RANDOM'));
    const first = store.update([object]).objects[0];
    expect(store.update([object]).objects[0]).toBe(first);
    expect(store.update([objectOf(rule('RANDOM'))]).objects[0]).not.toBe(first);
  });

  it('leaves the last good version of a refused object in force, through further mistakes, until it is right again', () => {
    const store = new DecodedStore();
    const good = store.update([objectOf(rule('RANDOM'))]).objects;
    for (const mistake of ['RANDON', 'ROUND']) {
      const state = store.update([objectOf(rule(mistake))]);
      expect(state.objects).toEqual(good);
      expect(state.findings.map((finding) => `${finding.severity} ${finding.code}`)).toEqual([
        'error wrong-type',
        'warning last-good-in-force',
      ]);
    }
    const state = store.update([objectOf(rule('ROUND_ROBIN'))]);
    expect(state.findings).toEqual([]);
    expect(state.objects[0]?.value).toMatchObject({ trafficPolicy: { loadBalancer: { simple: 'ROUND_ROBIN' } } });
  });

  it('forgets the last good version when the object is gone', () => {
    const store = new DecodedStore();
    store.update([objectOf(rule('RANDOM'))]);
    expect(store.update([]).objects).toEqual([]);
    const state = store.update([objectOf(rule('RANDON'))]);
    expect(state.objects).toEqual([]);
    expect(state.findings.length).toBe(1);
  });

  it('has nothing in force of an object that was never good', () => {
    expect(new DecodedStore().update([objectOf(rule('x'))]).objects).toEqual([]);
  });

  it('takes the older versions of the API, and names those it knows when it does not know one', () => {
    for (const version of ['v1', 'v1beta1', 'v1alpha3']) {
      expect(decodeObject(objectOf(rule('RANDOM').replace('/v1', `/${version}`))).decoded).not.toBeNull();
    }
    const { findings } = decodeObject(objectOf(rule('RANDOM').replace('/v1', '/v2')));
    expect(findings.map(formatFinding)).toEqual([
      'mesh.yaml:1 DestinationRule default/web apiVersion: networking.istio.io/v2 is not known: write one of networking.istio.io/v1, networking.istio.io/v1beta1, networking.istio.io/v1alpha3',
    ]);
  });

  it('tells kinds of the same name in different APIs apart', () => {
    const gateway = objectOf(
      'apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec: {}\n',
    );
    const { decoded, findings } = decodeObject(gateway);
    expect(decoded).toBeNull();
    expect(findings.map((finding) => finding.code)).toEqual(['unread-kind']);
  });

  it('needs a spec, and knows what may stand beside it', () => {
    const text =
      'apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web}\nspecs: {host: web}\nstatus: {anything: 1}\n';
    expect(decodeObject(objectOf(text)).findings.map((finding) => finding.message)).toEqual([
      'unknown field "specs": did you mean "spec"?',
      'spec is required',
    ]);
  });

  it("ignores unknown fields of Kubernetes' own objects, but not wrong types of those it reads", () => {
    const service = (port: string): string =>
      `apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {sessionAffinity: None, ports: [{port: ${port}, nodePort: 3}]}\n`;
    expect(decodeObject(objectOf(service('80'))).findings).toEqual([]);
    expect(decodeObject(objectOf(service('"80"'))).findings.map(formatFinding)).toEqual([
      'mesh.yaml:4 Service default/web spec.ports[0].port: expected a whole number, got "80"',
    ]);
  });
});
