import { describe, expect, it } from 'vitest';
import { blockedHost } from '../../src/control/translate/emit/outside.ts';
import { Mesh, type ProxySpec } from './traffic.ts';

/** Two services on one port, one of which nobody declared, an instance of both, and somebody outside. */
const MESH = `
apiVersion: v1
kind: Service
metadata: { name: reviews, namespace: default }
spec: { clusterIP: 10.96.0.10, selector: { app: reviews }, ports: [{ name: http, port: 9080 }, { name: unsaid, port: 9090 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: reviews-1, namespace: default, labels: { kubernetes.io/service-name: reviews } }
addressType: IPv4
ports: [{ name: http, port: 9080 }, { name: unsaid, port: 9090 }]
endpoints: [{ addresses: [10.1.0.7] }]
---
apiVersion: v1
kind: Service
metadata: { name: ratings, namespace: default }
spec: { clusterIP: 10.96.0.11, selector: { app: ratings }, ports: [{ name: http, port: 9080 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ratings-1, namespace: default, labels: { kubernetes.io/service-name: ratings } }
addressType: IPv4
ports: [{ name: http, port: 9080 }]
endpoints: [{ addresses: [10.1.0.8] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews, namespace: default }
spec:
  hosts: [reviews]
  http:
    - match: [{ headers: { end-user: { exact: jason } } }]
      route: [{ destination: { host: ratings } }]
    - route: [{ destination: { host: reviews } }]
`;
const CAPTURED: ProxySpec = { capture: 'REDIRECT', ips: '10.1.0.7' };
const OUTSIDE = 'PassthroughCluster';

describe('a captured sidecar', () => {
  const proxy = new Mesh({ 'mesh.yaml': MESH }).proxy(CAPTURED);
  const call = (listener: string, url: string, headers: Record<string, string> = {}) =>
    proxy.call(listener, { url, headers });

  it('routes by host on a port that was declared', () => {
    for (const host of ['reviews', 'reviews.default', 'reviews:9080', '10.96.0.10:9080']) {
      const outcome = call('0.0.0.0_9080', `http://${host}/`);
      expect(outcome, host).toMatchObject({ kind: 'forward', endpoints: ['10.1.0.7:9080'] });
    }
    expect(call('0.0.0.0_9080', 'http://ratings/')).toMatchObject({ endpoints: ['10.1.0.8:9080'] });
    expect(call('0.0.0.0_9080', 'http://reviews/', { 'end-user': 'jason' })).toMatchObject({
      cluster: 'outbound|9080||ratings.default.svc.cluster.local',
    });
  });

  it('passes through what nobody knows, also by an address that somebody has', () => {
    for (const host of ['example.com:9080', '10.1.0.7:9080', 'reviews:80', 'unknown']) {
      expect(call('0.0.0.0_9080', `http://${host}/`), host).toMatchObject({ cluster: OUTSIDE });
    }
  });

  it('routes by address where nobody said that it is HTTP', () => {
    for (const host of ['reviews', 'whatever.example', '10.96.0.10:9090']) {
      const outcome = call('10.96.0.10_9090', `http://${host}/`);
      expect(outcome, host).toMatchObject({ cluster: 'outbound|9090||reviews.default.svc.cluster.local' });
    }
  });

  it('forwards to its app', () => {
    expect(proxy.listeners).toContain('virtualInbound');
    expect(proxy.listeners).not.toContain('http_proxy');
  });
});

it('REGISTRY_ONLY refuses what nobody declared, in words', () => {
  const mesh = new Mesh({ 'mesh.yaml': MESH }, 'REGISTRY_ONLY');
  const proxy = mesh.proxy(CAPTURED);
  expect(proxy.call('0.0.0.0_9080', { url: 'http://reviews/' })).toMatchObject({ kind: 'forward' });
  const refused = { kind: 'direct', route: 'block_all', status: 502 };
  expect(proxy.call('0.0.0.0_9080', { url: 'http://example.com/' })).toEqual(refused);
  expect(mesh.proxy({}).call('http_proxy', { url: 'http://example.com/' })).toEqual(refused);
});

// pains.md row 29
it('REGISTRY_ONLY lets the hosts of a wildcard pass, and says of others which rule is missing', () => {
  const entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: partners, namespace: default }
spec:
  hosts: ["*.partner.example"]
  ports: [{ number: 9080, name: http, protocol: HTTP }]
  resolution: NONE
`;
  const proxy = new Mesh({ 'mesh.yaml': `${MESH}---${entry}` }, 'REGISTRY_ONLY').proxy(CAPTURED);
  for (const host of ['a.partner.example', 'b.c.partner.example:9080'])
    expect(proxy.call('0.0.0.0_9080', { url: `http://${host}/` }), host).toMatchObject({
      kind: 'forward',
      cluster: 'outbound|9080||*.partner.example',
    });
  const dynamic = entry.replace('NONE', 'DYNAMIC_DNS');
  for (const spec of [CAPTURED, {}]) {
    const mesh = new Mesh({ 'mesh.yaml': `${MESH}---${dynamic}` }, 'REGISTRY_ONLY');
    const listener = spec === CAPTURED ? '0.0.0.0_9080' : 'http_proxy';
    expect(mesh.proxy(spec).call(listener, { url: 'http://a.partner.example:9080/' })).toMatchObject({
      kind: 'forward',
      cluster: 'outbound|9080||*.partner.example',
    });
    expect(mesh.proxy(spec).call(listener, { url: 'http://other.example:9080/' })).toMatchObject({ status: 502 });
  }
  for (const host of ['partner.example', 'partner.example.evil', 'apartner.example'])
    expect(proxy.call('0.0.0.0_9080', { url: `http://${host}/` }), host).toMatchObject({ kind: 'direct', status: 502 });
  const [route] = blockedHost().routes ?? [];
  expect(route?.direct_response?.body?.inline_string).toMatch(
    /REGISTRY_ONLY.*a ServiceEntry with this host .* is missing/,
  );
});
