// Issue 3: a proxy gets what its namespace and its labels may see, and nothing else.
import { expect, it } from 'vitest';
import { mesh, until } from '../../support/mesh.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { destinationRule, file, service, virtualService } from '../../support/mesh-yaml.ts';

function marked(name: string, mark: string, more: object): string {
  return virtualService(
    name,
    {
      hosts: ['reviews.backend.svc.cluster.local'],
      http: [
        {
          headers: { response: { set: { 'x-mark': mark } } },
          route: [{ destination: { host: 'reviews.backend.svc.cluster.local' } }],
        },
      ],
      ...more,
    },
    'backend',
  );
}

const TARGET = 'http://reviews.backend:9080/';

it('exportTo keeps services and rules within namespaces', async () => {
  const it = ends(
    await mesh()
      .yaml(
        'services.yaml',
        file(service('reviews', 'backend'), service('secret', 'backend'), service('web'), service('audit', 'ops')),
      )
      .yaml('reviews.yaml', marked('reviews', 'everybody', {}))
      .sidecar('reviews', 'v1', { namespace: 'backend' })
      .sidecar('web')
      .sidecar('audit', 'v1', { namespace: 'ops' })
      .start(),
  );
  const mark = async (from: string): Promise<unknown> => (await it.proxy(from).call(TARGET)).headers['x-mark'];
  expect(await mark('web-v1')).toBe('everybody');
  expect(await mark('audit-v1')).toBe('everybody');

  // Rules for one namespace: the others go by none.
  const untouched = it.proxy('audit-v1').proxy.applier.applied;
  it.config.replace(
    'reviews.yaml',
    file(
      marked('reviews', 'default alone', { exportTo: ['default'] }),
      marked('ops', 'ops alone', { exportTo: ['ops'] }),
    ),
  );
  await until('default', async () => (await mark('web-v1')) === 'default alone');
  await until('ops', async () => (await mark('audit-v1')) === 'ops alone');
  await until('nobody else', async () => (await mark('reviews-v1')) === undefined);
  expect(it.proxy('audit-v1').proxy.applier.applied.clusters).toBe(untouched.clusters);
  for (const name of ['web-v1', 'reviews-v1']) expect(it.proxy(name).routesText()).not.toContain('ops alone');
  for (const name of ['audit-v1', 'reviews-v1']) expect(it.proxy(name).routesText()).not.toContain('default alone');

  // A change that one namespace sees is pushed to its proxies only.
  const before = it.proxy('audit-v1').proxy.discovery?.status.asOf;
  it.config.replace(
    'reviews.yaml',
    file(
      marked('reviews', 'default again', { exportTo: ['default'] }),
      marked('ops', 'ops alone', { exportTo: ['ops'] }),
    ),
  );
  await until('default', async () => (await mark('web-v1')) === 'default again');
  await it.synced();
  expect(it.proxy('audit-v1').proxy.discovery?.status.asOf).toBe(before);

  // A service of its own namespace alone.
  const hidden = service('secret', 'backend').replace(
    'metadata:',
    'metadata:\n  annotations: { networking.istio.io/exportTo: "." }',
  );
  it.config.replace(
    'services.yaml',
    file(service('reviews', 'backend'), hidden, service('web'), service('audit', 'ops')),
  );
  const knows = (name: string): boolean => it.proxy(name).clusters.some((cluster) => cluster.includes('secret'));
  await until('hidden', () => !knows('web-v1') && !knows('audit-v1'));
  expect(knows('reviews-v1')).toBe(true);

  // And a policy.
  const policy = destinationRule(
    'reviews.backend.svc.cluster.local',
    {
      exportTo: ['ops'],
      trafficPolicy: { connectionPool: { http: { http1MaxPendingRequests: 77 } } },
    },
    'ops',
  );
  it.config.replace('policy.yaml', policy);
  const pending = (name: string) =>
    it.proxy(name).proxy.env.clusters.get('outbound|9080||reviews.backend.svc.cluster.local')?.config.circuitBreakers
      .default.maxPendingRequests;
  await until('the policy', () => pending('audit-v1') === 77);
  await it.synced();
  expect(pending('web-v1')).not.toBe(77);
});
