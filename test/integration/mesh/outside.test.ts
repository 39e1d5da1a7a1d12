// Pains row 25 and Istio's ALLOW_ANY: an app in the mesh calls hosts that the mesh does not know as it always did.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { mesh } from '../../support/mesh.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { file, service } from '../../support/mesh-yaml.ts';

it('a host outside is reached by its own name, and learns nothing of the mesh', async () => {
  const server = createServer((request, response) => response.end(JSON.stringify(request.headers)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const it = ends(
    await mesh()
      .yaml('services.yaml', file(service('reviews')))
      .sidecar('reviews')
      .start(),
  );
  const proxy = it.proxy('reviews-v1');

  const answer = await proxy.call(`http://127.0.0.1:${port}/`);
  expect(answer.status).toBe(200);
  const headers = JSON.parse(answer.body) as Record<string, string>;
  expect(headers['host']).toBe(`127.0.0.1:${port}`);
  expect(Object.keys(headers).filter((name) => name.startsWith('x-envoy'))).toEqual([]);

  // A name without a domain can only be meant for the mesh.
  expect((await proxy.call(`http://rewievs:${port}/`)).status).toBe(404);
  // The proxy itself is not outside: a request for it would come in again and again.
  expect((await proxy.call(`http://127.0.0.1:${proxy.outbound.port}/`)).status).toBe(503);
  // Names that the system does not know.
  const unknown = await proxy.call('http://no-such-host.invalid/');
  expect(unknown.status).toBe(503);
  expect(unknown.body).toContain('ENOTFOUND');
  server.close();
  server.closeAllConnections();
});
