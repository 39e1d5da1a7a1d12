// Issue 3, pains row 38: several VirtualServices of one host are merged by a stated precedence, conflicts are reported.
import { expect, it } from 'vitest';
import { call, mesh, until } from '../../support/mesh.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { edge, file, gateway, service, virtualService } from '../../support/mesh-yaml.ts';

function rule(mark: string, match: object | null, host = 'reviews'): object {
  return {
    ...(match === null ? {} : { match: [match] }),
    headers: { response: { set: { 'x-mark': mark } } },
    route: [{ destination: { host } }],
  };
}

const at = (uri: object) => ({ uri });

it('exact before prefix, the longer prefix before the shorter, whatever the files are called', async () => {
  const it = ends(
    await mesh()
      .yaml('services.yaml', service('reviews'))
      .yaml('a.yaml', virtualService('a', { hosts: ['reviews'], http: [rule('all', null)] }))
      .yaml('b.yaml', virtualService('b', { hosts: ['reviews'], http: [rule('short', at({ prefix: '/api' }))] }))
      .yaml('c.yaml', virtualService('c', { hosts: ['reviews'], http: [rule('long', at({ prefix: '/api/v1' }))] }))
      .yaml('d.yaml', virtualService('d', { hosts: ['reviews'], http: [rule('exact', at({ exact: '/api/v1/me' }))] }))
      .sidecar('reviews')
      .start(),
  );
  const mark = async (path: string): Promise<unknown> =>
    (await it.proxy('reviews-v1').call(`http://reviews:9080${path}`)).headers['x-mark'];
  expect(await mark('/')).toBe('all');
  expect(await mark('/api')).toBe('short');
  expect(await mark('/api/v1/you')).toBe('long');
  expect(await mark('/api/v1/me')).toBe('exact');
  expect((await it.findings()).filter(({ severity }) => severity === 'error')).toEqual([]);

  // The same match twice: the older one, then the first by name, counts, and the other is told so.
  it.config.replace(
    'e.yaml',
    virtualService('e', { hosts: ['reviews'], http: [rule('other', at({ exact: '/api/v1/me' }))] }),
  );
  const finding = await until('a conflict', async () =>
    (await it.findings()).find(({ file: path }) => path.endsWith('e.yaml')),
  );
  expect(finding.object).toBe('VirtualService default/e');
  expect(finding.message).toContain('d');
  await it.synced();
  expect(await mark('/api/v1/me')).toBe('exact');
  it.config.remove('d.yaml');
  await until('the other counts', async () => (await mark('/api/v1/me')) === 'other');
  expect((await it.findings()).filter(({ file: path }) => path.endsWith('e.yaml'))).toEqual([]);
});

it('at a gateway too', async () => {
  const it = ends(
    await mesh()
      .yaml('services.yaml', service('reviews'))
      .yaml('gateway.yaml', file(gateway(), edge('reviews')))
      .yaml(
        'more.yaml',
        virtualService('more', { hosts: ['*'], gateways: ['edge'], http: [rule('more', at({ prefix: '/more' }))] }),
      )
      .sidecar('reviews')
      .gateway()
      .start(),
  );
  expect((await call(it.gatewayPort, '/more/x')).headers['x-mark']).toBe('more');
  expect(await call(it.gatewayPort, '/')).toMatchObject({ status: 200, body: 'reviews-v1' });
});
