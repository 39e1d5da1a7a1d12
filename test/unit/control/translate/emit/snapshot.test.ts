import { describe, expect, it } from 'vitest';
import { inconsistencies, type ProxySnapshot, resourcesOf } from '../../../../../src/control/serve/snapshot.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE } from '../../../../../src/control/serve/type-urls.ts';
import { changeScope } from '../../../../../src/control/translate/emit/change.ts';
import { bookinfoInstances } from '../../../../simulation/bookinfo.ts';
import { bookinfoFiles, type Files, Mesh } from '../../../../simulation/traffic.ts';

const TYPES = { LDS: LISTENER, RDS: ROUTE, CDS: CLUSTER, EDS: ENDPOINT };

function files(tries: readonly string[] = [], without: readonly string[] = []): Files {
  return { ...bookinfoFiles(...tries), 'instances.yaml': bookinfoInstances(without) };
}

/** Types whose map is not the very same object. */
function changed(before: ProxySnapshot, after: ProxySnapshot): string[] {
  return Object.entries(TYPES)
    .filter(([, url]) => resourcesOf(before, url) !== resourcesOf(after, url))
    .map(([name]) => name);
}

function changedNames(before: ProxySnapshot, after: ProxySnapshot, url: string): string[] {
  const old = resourcesOf(before, url);
  return [...resourcesOf(after, url)]
    .filter(([name, { version }]) => old.get(name)?.version !== version)
    .map(([name]) => name);
}

const SIDECAR = {
  remora: {
    httpProxy: '127.0.0.1:15001',
    inbound: [
      { port: 9080, bind: '127.0.0.1:31001', app: '127.0.0.1:41001', service: 'productpage.default.svc.cluster.local' },
    ],
  },
};

describe('MeshEmitter', () => {
  it('gives the same snapshot again while nothing changed', () => {
    const mesh = new Mesh(files());
    expect(mesh.snapshot(SIDECAR)).toBe(mesh.snapshot(SIDECAR));
  });

  it('keeps the snapshot when files were written again with the same content', () => {
    const mesh = new Mesh(files());
    const before = mesh.snapshot(SIDECAR);
    mesh.write(files());
    expect(mesh.snapshot(SIDECAR)).toBe(before);
  });

  it('shares what does not depend on the proxy', () => {
    const mesh = new Mesh(files(['reviews-jason-v2']));
    const a = mesh.snapshot({ name: 'a' });
    const b = mesh.snapshot({ name: 'b' });
    for (const url of [CLUSTER, ENDPOINT, ROUTE]) {
      for (const [name, entry] of resourcesOf(a, url)) expect(resourcesOf(b, url).get(name)).toBe(entry);
    }
  });

  it('touches EDS alone when endpoints change', () => {
    const mesh = new Mesh(files(['reviews-90-10']));
    const before = mesh.snapshot(SIDECAR);
    mesh.write({ ...files(['reviews-90-10']), 'instances.yaml': bookinfoInstances().replaceAll('31004', '31104') });
    const after = mesh.snapshot(SIDECAR);
    expect(changed(before, after)).toEqual(['EDS']);
    expect(changedNames(before, after, ENDPOINT)).toEqual([
      'outbound|9080||reviews.default.svc.cluster.local',
      'outbound|9080|v1|reviews.default.svc.cluster.local',
    ]);
  });

  it('touches RDS too when a weighted subset became empty', () => {
    const mesh = new Mesh(files(['reviews-90-10']));
    const before = mesh.snapshot(SIDECAR);
    mesh.write(files(['reviews-90-10'], ['reviews-v3']));
    expect(changed(before, mesh.snapshot(SIDECAR))).toEqual(['RDS', 'EDS']);
  });

  it('touches RDS alone when a rule changes', () => {
    const mesh = new Mesh(files(['reviews-v1']));
    const before = mesh.snapshot(SIDECAR);
    mesh.write(files(['reviews-90-10']));
    expect(changed(before, mesh.snapshot(SIDECAR))).toEqual(['RDS']);
  });

  it('touches CDS alone when a policy changes', () => {
    const mesh = new Mesh(files());
    const before = mesh.snapshot(SIDECAR);
    mesh.write(files(['breaker']));
    const after = mesh.snapshot(SIDECAR);
    expect(changedNames(before, after, ROUTE)).toEqual([]);
    expect(changedNames(before, after, ENDPOINT)).toEqual([]);
    expect(changedNames(before, after, LISTENER)).toEqual([]);
    expect(changedNames(before, after, CLUSTER)).toContain('outbound|9080||reviews.default.svc.cluster.local');
  });

  it('touches the inbound routes of the service that gets a rate limit, and no listener', () => {
    const mesh = new Mesh(files());
    const before = mesh.snapshot(SIDECAR);
    mesh.write(files(['rate-limit']));
    const after = mesh.snapshot(SIDECAR);
    expect(changed(before, after)).toEqual(['RDS']);
    expect(changedNames(before, after, ROUTE)).toEqual(['inbound|9080||']);
  });

  it('has the same version for the same content, whoever emitted it', () => {
    expect(new Mesh(files()).snapshot(SIDECAR).version).toBe(new Mesh(files()).snapshot(SIDECAR).version);
  });

  it('is whole whatever is missing', () => {
    const { 'services.yaml': _services, ...rest } = files(['reviews-90-10']);
    const mesh = new Mesh(rest);
    for (const kind of ['sidecar', 'router'] as const) {
      expect(inconsistencies(mesh.snapshot({ kind, labels: { istio: 'ingressgateway' } }))).toEqual([]);
    }
  });

  it('tells apart two proxies of the same id on different machines', () => {
    const mesh = new Mesh(files());
    const other = mesh.snapshot({ remora: { httpProxy: '127.0.0.1:16001' } });
    expect(changedNames(mesh.snapshot(SIDECAR), other, LISTENER)).toEqual(['http_proxy']);
  });
});

/** A pod with an app of its own, beside a service whose instances are called by their addresses. */
function captured(own: string, db: string): Files {
  const slice = (service: string, port: string, addresses: string): string => `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${service}-1, namespace: default, labels: { kubernetes.io/service-name: ${service} } }
addressType: IPv4
ports: [{ name: ${port.split(':')[0]}, port: ${port.split(':')[1]} }]
endpoints: [${addresses
    .split(' ')
    .map((address) => `{ addresses: [${address}] }`)
    .join(', ')}]
`;
  const service = (name: string, ip: string, port: string): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: default }
spec: { clusterIP: ${ip}, selector: { app: ${name} }, ports: [{ name: ${port.split(':')[0]}, port: ${port.split(':')[1]} }] }
`;
  const parts = [
    service('own', '10.96.0.1', 'http:8080'),
    slice('own', 'http:8080', own),
    service('db', 'None', 'mysql:3306'),
    slice('db', 'mysql:3306', db),
  ];
  return { 'mesh.yaml': parts.join('---') };
}

describe('MeshEmitter for captured sidecars', () => {
  const POD = { capture: 'REDIRECT', ips: '10.1.0.7' } as const;
  const other = { capture: 'REDIRECT', ips: '10.1.0.8' } as const;

  it('touches EDS alone, in all but the pod itself, when a service gets another instance', () => {
    const mesh = new Mesh(captured('10.1.0.9', '10.1.0.20'));
    const [mine, theirs] = [mesh.snapshot(POD), mesh.snapshot(other)];
    mesh.write(captured('10.1.0.9 10.1.0.7', '10.1.0.20'));
    expect(changed(theirs, mesh.snapshot(other))).toEqual(['EDS']);
    expect(changed(mine, mesh.snapshot(POD))).toEqual(['LDS', 'RDS', 'CDS', 'EDS']);
    expect(changedNames(mine, mesh.snapshot(POD), LISTENER)).toEqual(['virtualInbound']);
  });

  it('touches LDS alone when a headless service gets another instance', () => {
    const mesh = new Mesh(captured('10.1.0.7', '10.1.0.20'));
    const before = mesh.snapshot(POD);
    mesh.write(captured('10.1.0.7', '10.1.0.20 10.1.0.21'));
    expect(changed(before, mesh.snapshot(POD))).toEqual(['LDS']);
    expect(changedNames(before, mesh.snapshot(POD), LISTENER)).toEqual(['10.1.0.21_3306']);
  });

  it('shares what does not depend on the pod', () => {
    const mesh = new Mesh(captured('10.1.0.7', '10.1.0.20'));
    const [mine, theirs] = [mesh.snapshot(POD), mesh.snapshot(other)];
    for (const [name, entry] of resourcesOf(mine, LISTENER)) {
      if (name !== 'virtualInbound') expect(resourcesOf(theirs, LISTENER).get(name), name).toBe(entry);
    }
    expect(inconsistencies(mine)).toEqual([]);
  });
});

describe('changeScope', () => {
  it('is config for another instance where sidecars listen by instance', () => {
    const mesh = new Mesh(captured('10.1.0.7', '10.1.0.20'));
    const old = mesh.mesh;
    mesh.write(captured('10.1.0.7', '10.1.0.20 10.1.0.21'));
    expect(changeScope(old, mesh.mesh)).toBe('endpoints');
    expect(changeScope(old, mesh.mesh, true)).toBe('config');
  });
  const before = () => new Mesh(files(['reviews-90-10']));
  function scopeOf(change: Files) {
    const mesh = before();
    const old = mesh.mesh;
    mesh.write(change);
    return changeScope(old, mesh.mesh);
  }
  it('is nothing for the same files', () => {
    expect(scopeOf(files(['reviews-90-10']))).toBeNull();
  });
  it('is endpoints for another address', () => {
    expect(
      scopeOf({ ...files(['reviews-90-10']), 'instances.yaml': bookinfoInstances().replaceAll('31004', '31104') }),
    ).toBe('endpoints');
  });
  it('is config when a destination became empty', () => {
    expect(scopeOf(files(['reviews-90-10'], ['reviews-v3']))).toBe('config');
  });
  it('is config for a rule, and for a service', () => {
    expect(scopeOf(files(['reviews-v1']))).toBe('config');
    const { 'services.yaml': services, ...rest } = files(['reviews-90-10']);
    expect(scopeOf({ ...rest, 'services.yaml': services?.replaceAll('name: ratings', 'name: ratings2') ?? '' })).toBe(
      'config',
    );
  });
});
