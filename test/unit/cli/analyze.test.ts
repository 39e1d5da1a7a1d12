import { describe, expect, it } from 'vitest';
import { formatFindings } from '../../../src/cli/analyze.ts';
import { readText } from '../../../src/cli/config-files.ts';
import { PLAIN } from '../../../src/cli/output.ts';
import { examine } from '../../../src/control/analyze/examine.ts';
import { key, pem } from '../../support/certs/index.ts';

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

  it('means a service by its name, and not by the domain that all have', () => {
    const to = (host: string): string => `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: a, namespace: default }
spec: { hosts: [x.example.com], gateways: [mesh], http: [{ route: [{ destination: { host: ${host} } }] }] }
`;
    const hint = (host: string): string | undefined =>
      /destination\.host: .* fail with 503(.*) \[unknown-host\]/.exec(analyzed(SERVICE + to(host)))?.[1];
    expect(hint('review')).toBe('; did you mean reviews.default.svc.cluster.local?');
    expect(hint('reviews.default')).toBe('; did you mean reviews.default.svc.cluster.local?');
    expect(hint('reviews.prod.svc.cluster.local')).toBe('; did you mean reviews.default.svc.cluster.local?');
    expect(hint('odd')).toBe('');
  });

  it('knows a slip in the name of a kind', () => {
    const text = 'apiVersion: networking.istio.io/v1\nkind: VirtualServices\nmetadata: { name: a }\nspec: {}\n';
    expect(analyzed(text)).toContain(
      'mesh.yaml:2: error: VirtualServices default/a kind: VirtualServices is no kind of networking.istio.io: did you mean "VirtualService"? [unknown-kind]',
    );
  });

  it('looks for the Secrets of a Gateway where its pods are', () => {
    const object = (kind: string, name: string, namespace: string, rest: object, labels = {}): string =>
      `---\n${JSON.stringify({ apiVersion: 'v1', kind, metadata: { name, namespace, labels }, ...rest })}\n`;
    const tls = (credentialName: string) => ({ mode: 'SIMPLE', credentialName });
    const port = { number: 443, name: 'https', protocol: 'HTTPS' };
    const spec = {
      selector: { istio: 'edge' },
      servers: ['there', 'absent', 'empty'].map((name) => ({ port, hosts: [`${name}.example`], tls: tls(name) })),
    };
    const gateway = object('Gateway', 'g', 'shop', { spec }).replace('"v1"', '"networking.istio.io/v1"');
    const pods = object('Pod', 'p', 'edge', { spec: {}, status: { podIP: '10.0.0.1' } }, { istio: 'edge' });
    const pair = { 'tls.crt': pem('server'), 'tls.key': key('server') };
    const there = object('Secret', 'there', 'edge', { stringData: pair });
    const empty = object('Secret', 'empty', 'edge', { stringData: { crt: 'a' } });
    const elsewhere = object('Secret', 'absent', 'shop', { stringData: pair });
    const said = (text: string): string[] => analyzed(text).match(/\w+: Gateway .*missing-secret\]/g) ?? [];
    const at = (server: number): string => `Gateway shop/g spec.servers[${server}].tls.credentialName`;
    const noKeys = `error: ${at(2)}: Secret edge/empty has no tls.crt and tls.key: its hosts are not served [missing-secret]`;
    // Nobody gave the Secrets.
    expect(said(gateway + pods)).toEqual([]);
    expect(said(gateway + empty + there)).toEqual([noKeys]);
    expect(said(gateway + pods + there + empty + elsewhere)).toEqual([
      noKeys,
      `warning: ${at(1)}: there is no Secret edge/absent, where the gateway’s pods are: its hosts are not served; there is one in shop [missing-secret]`,
    ]);
  });

  describe('who sees what', () => {
    const at = (kind: string, name: string, namespace: string, spec: object): string =>
      `---\n${JSON.stringify({ apiVersion: 'networking.istio.io/v1', kind, metadata: { name, namespace }, spec })}\n`;
    const config = (mesh: string): string =>
      `---\n${JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'istio', namespace: 'istio-system' }, data: { mesh } })}\n`;
    const host = 'reviews.default.svc.cluster.local';
    const route = [{ route: [{ destination: { host } }] }];
    const routes = (name: string, more: object = {}): string =>
      at('VirtualService', name, 'shop', { hosts: [host], http: route, ...more });
    const codes = (text: string): string[] =>
      examine(readText(text, 'mesh.yaml')).findings.map(
        ({ code, object, severity }) => `${severity} ${code} ${object}`,
      );

    it('two VirtualServices of one host meet where somebody sees both, by the mesh’s default as well', () => {
      const two = `${SERVICE}${routes('a')}${at('VirtualService', 'b', 'ops', { hosts: [host], http: route })}`;
      expect(codes(two)).toContain('warning shared-host VirtualService shop/a');
      expect(codes(two + config('defaultVirtualServiceExportTo: ["."]'))).toEqual([]);
      // What an object says counts before that.
      const loud = `${SERVICE}${routes('a', { exportTo: ['*'] })}${at('VirtualService', 'b', 'ops', { hosts: [host], http: route })}`;
      expect(codes(loud + config('defaultVirtualServiceExportTo: ["."]'))).toContain(
        'warning shared-host VirtualService shop/a',
      );
    });

    it('a destination that callers do not see', () => {
      const own = config('defaultServiceExportTo: ["."]');
      expect(codes(SERVICE + routes('a'))).toEqual([]);
      expect(analyzed(SERVICE + routes('a') + own)).toBe(
        `mesh.yaml:6: warning: VirtualService shop/a spec.http[0].route[0].destination.host: ${host} (Service default/reviews) is exported to namespace default alone: requests from namespace shop fail with 503 [not-exported]\n` +
          '0 errors, 1 warning in 3 objects in mesh.yaml\n',
      );
      const both = `${own.trimEnd()}`.replace('[\\".\\"]', '[\\".\\"]\\ndefaultVirtualServiceExportTo: [\\".\\"]');
      expect(analyzed(`${SERVICE}${routes('a')}${both}\n`)).toContain(
        `error: VirtualService shop/a spec.http[0].route[0].destination.host: ${host} (Service default/reviews) is exported to namespace default alone, and this to namespace shop alone, so no proxy has both: requests fail with 503 [not-exported]`,
      );
    });

    it('a policy that nobody who calls the service has', () => {
      const policy = at('DestinationRule', 'a', 'shop', { host, exportTo: ['shop', 'ops'], trafficPolicy: {} });
      expect(codes(SERVICE + policy)).toEqual([]);
      expect(codes(SERVICE + policy + config('defaultServiceExportTo: ["."]'))).toEqual([
        'warning not-exported DestinationRule shop/a',
      ]);
      expect(analyzed(SERVICE + policy + config('defaultServiceExportTo: ["~"]'))).toContain(
        `${host} (Service default/reviews) is exported to nobody, and this to namespaces ops, shop alone, so no proxy has both: it has no effect`,
      );
    });
  });
});
