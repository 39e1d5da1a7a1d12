import { describe, expect, it } from 'vitest';
import { formatFindings } from '../../../src/cli/analyze.ts';
import { readText } from '../../../src/cli/config-files.ts';
import { PLAIN } from '../../../src/cli/output.ts';
import { examine } from '../../../src/control/analyze/examine.ts';

function analyzed(text: string): string {
  const state = readText(text, 'mesh.yaml');
  return formatFindings(examine(state).findings, state.objects.length, 'mesh.yaml', PLAIN);
}

const SERVICE = `apiVersion: v1
kind: Service
metadata: { name: reviews, namespace: default }
spec: { ports: [{ name: http, port: 9080 }] }
`;

describe('findings for people', () => {
  it('names file, line, object, field and remedy, errors first', () => {
    const text = `${SERVICE}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews, namespace: default }
spec:
  hosts: [reviews]
  http:
    - route: [{ destination: { host: reviews } }]
    - route:
        - destination: { host: review, port: { number: 9080 } }
`;
    expect(analyzed(text)).toBe(
      'mesh.yaml:14: error: VirtualService default/reviews spec.http[1].route[0].destination.host: review.default.svc.cluster.local is no service of the mesh: requests fail with 503; did you mean reviews.default.svc.cluster.local? [unknown-host]\n' +
        'mesh.yaml:13: warning: VirtualService default/reviews spec.http[1]: no request gets here: spec.http[0] (line 12) comes first and matches the same or more; move this route before it [shadowed-route]\n' +
        '1 error, 1 warning in 2 objects in mesh.yaml\n',
    );
  });

  it('says that all is well', () => {
    expect(analyzed(SERVICE)).toBe('no mistakes found in 1 object in mesh.yaml\n');
    expect(analyzed('')).toBe('no objects in mesh.yaml\n');
  });

  it('names a field that is not known, with the one that was meant', () => {
    const text = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews, namespace: default }
spec:
  hosts: [reviews]
  htpp: []
`;
    expect(analyzed(text)).toMatch(
      /^mesh\.yaml:6: error: VirtualService default\/reviews spec\.htpp: .*"http".* \[unknown-field\]\n/,
    );
  });
});
