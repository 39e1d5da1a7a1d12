import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { examine } from '../../../../src/control/analyze/examine.ts';
import { admitObject } from '../../../../src/control/injector/validate.ts';
import { formatFinding } from '../../../../src/control/source/collection.ts';
import { readObjects } from '../../../../src/control/source/files/yaml.ts';

const NOTHING = { objects: [], findings: [] };
const SERVICE = `apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {ports: [{name: http, port: 9080}]}
`;

function virtualService(http: string): string {
  return `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http: ${http}
`;
}

const admit = (yaml: string, state = readObjects(SERVICE, ''), operation = 'CREATE') =>
  admitObject({ uid: 'u', namespace: 'default', operation, object: parse(yaml) }, state);

/** What `remora analyze` says of the object, without its place. */
function analyzed(yaml: string, severity: string): string[] {
  const read = readObjects(`${SERVICE}---\n${yaml}`, 'x.yaml');
  return examine(read)
    .findings.filter((finding) => finding.severity === severity)
    .map((finding) => formatFinding({ ...finding, file: '', line: 0 }));
}

describe('the validating webhook', () => {
  it('lets through what is right', () => {
    const yaml = virtualService('[{route: [{destination: {host: reviews}}]}]');
    expect(admit(yaml)).toEqual({ uid: 'u', allowed: true });
  });

  it.each([
    ['an unknown field', '[{rout: []}]'],
    ['a wrong type', '[{route: [{destination: {host: reviews}, weight: lots}]}]'],
    ['a bad regex', '[{match: [{uri: {regex: "("}}], route: [{destination: {host: reviews}}]}]'],
  ])('refuses with the words of `remora analyze`: %s', (_what, http) => {
    const yaml = virtualService(http);
    const answer = admit(yaml);
    expect(answer).toMatchObject({ uid: 'u', allowed: false, status: { code: 422 } });
    const expected = analyzed(yaml, 'error');
    expect(expected.length).toBeGreaterThan(0);
    expect(answer.status?.message).toBe(expected.join('; '));
  });

  it('only warns of what another object may yet mend, with the same words', () => {
    const yaml = virtualService('[{route: [{destination: {host: reviews, subset: v9}}]}]');
    const answer = admit(yaml);
    expect(answer.allowed).toBe(true);
    const expected = [...analyzed(yaml, 'error'), ...analyzed(yaml, 'warning')];
    expect(expected.length).toBeGreaterThan(0);
    expect(new Set(answer.warnings)).toEqual(new Set(expected));
  });

  it('does not refuse a kind that has no effect yet, and takes back nothing', () => {
    const yaml = 'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}\nspec: {}\n';
    const { allowed, warnings } = admit(yaml);
    expect([allowed, warnings?.length]).toEqual([true, 1]);
    expect(admit(virtualService('[{rout: []}]'), NOTHING, 'DELETE').allowed).toBe(true);
  });

  it('refuses what is no object', () => {
    expect(admitObject({ uid: 'u', namespace: '', operation: 'CREATE', object: {} }, NOTHING)).toMatchObject({
      allowed: false,
      status: { message: expect.stringContaining('not a Kubernetes object') },
    });
  });
});
