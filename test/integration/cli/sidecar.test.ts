// Issue 5, section 3: what injection writes, as processes: a sidecar that knows its pod by the environment, waits for
// its first config, answers the application's probes and metrics, and drains; and manual injection by pipe.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { Remora } from './remora.ts';

const home = mkdtempSync(join(tmpdir(), 'remora-sidecar-'));
const running = new Set<Remora>();
const servers: Server[] = [];

afterEach(async () => {
  await Promise.all([...running].map((one) => one.kill()));
  running.clear();
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}, stdin = ''): Remora {
  const remora = new Remora(args, home, stdin, env);
  running.add(remora);
  return remora;
}

async function application(): Promise<number> {
  const server = createServer({ keepAlive: false }, (request, response) => {
    if (request.url === '/metrics') response.end('app_up 1\n');
    else response.writeHead(request.url === '/ok' ? 204 : 500).end();
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** The port that a listener's line names. */
async function portOf(remora: Remora, listener: string): Promise<number> {
  const [, port] = await remora.said(new RegExp(`listening.*${listener}.*?127\\.0\\.0\\.1:(\\d+)`));
  return Number(port);
}

it('a sidecar knows its pod, answers probes and metrics of the application, and drains', async () => {
  const mesh = join(home, 'mesh');
  writeFileSync(
    `${mesh}.yaml`,
    'apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{name: http, port: 80}]}\n',
  );
  const control = start(['control', '--files', `${mesh}.yaml`, '--xds', '127.0.0.1:0', '--http', '127.0.0.1:0']);
  const [, xds] = await control.said(/serving.*xds=(127\.0\.0\.1:\d+)/);
  const port = await application();
  const probers = {
    '/app-health/web/readyz': { httpGet: { path: '/ok', port } },
    '/app-health/web/livez': { httpGet: { path: '/bad', port } },
  };
  const ports = ['--admin', '127.0.0.1:0', '--health', '127.0.0.1:0', '--prometheus', '127.0.0.1:0'];
  const sidecar = start(['proxy', '--sidecar', '--control', xds!, ...ports], {
    POD_NAME: 'web-1',
    POD_NAMESPACE: 'shop',
    INSTANCE_IP: '127.0.0.1',
    SERVICE_ACCOUNT: 'web-account',
    ISTIO_META_WORKLOAD_NAME: 'web',
    ISTIO_META_OWNER: 'kubernetes://apis/apps/v1/namespaces/shop/deployments/web',
    ISTIO_KUBE_APP_PROBERS: JSON.stringify(probers),
    ISTIO_PROMETHEUS_ANNOTATIONS: JSON.stringify({ scrape: 'true', port: String(port), path: '/metrics' }),
  });
  const [admin, health, prometheus] = [
    await portOf(sidecar, 'admin'),
    await portOf(sidecar, 'health'),
    await portOf(sidecar, 'prometheus'),
  ];
  expect(await start(['wait', '--health', `127.0.0.1:${health}`]).ended).toMatchObject({ code: 0, stderr: '' });

  const { node } = (await (await fetch(`http://127.0.0.1:${admin}/server_info`)).json()) as {
    node: { id: string; metadata: Record<string, unknown> };
  };
  expect(node.id).toBe('sidecar~127.0.0.1~web-1.shop~shop.svc.cluster.local');
  expect(node.metadata).toMatchObject({
    NAMESPACE: 'shop',
    SERVICE_ACCOUNT: 'web-account',
    WORKLOAD_NAME: 'web',
    OWNER: 'kubernetes://apis/apps/v1/namespaces/shop/deployments/web',
  });

  const probed = async (path: string) => (await fetch(`http://127.0.0.1:${health}${path}`)).status;
  expect(await probed('/app-health/web/readyz')).toBe(200);
  expect(await probed('/app-health/web/livez')).toBe(500);
  expect(await probed('/app-health/other/livez')).toBe(404);
  const metrics = await (await fetch(`http://127.0.0.1:${prometheus}/stats/prometheus`)).text();
  expect(metrics).toMatch(/^envoy_server_uptime/m);
  expect(metrics).toMatch(/\napp_up 1\n$/);

  expect(await probed('/healthz/ready')).toBe(200);
  expect(await start(['drain', '--admin', `127.0.0.1:${admin}`]).ended).toMatchObject({ code: 0, stderr: '' });
  expect(await probed('/healthz/ready')).toBe(503);
  // The application goes on being asked while it ends.
  expect(await probed('/app-health/web/readyz')).toBe(200);
});

it('wait and drain say what is not there', async () => {
  const port = await application();
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
  const waited = await start(['wait', '--health', `127.0.0.1:${port}`, '--timeout-s', '0.2']).ended;
  expect(waited).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('is not ready after 0.2 s: nothing listens there'),
  });
  const drained = await start(['drain', '--admin', `127.0.0.1:${port}`]).ended;
  expect(drained).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`cannot reach the proxy at 127.0.0.1:${port}`),
  });
});

it('inject reads a pipe, says what it skips, and refuses with exit 2', async () => {
  const pod = (more: string): string =>
    `apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {${more}containers: [{name: a, image: a}]}\n`;
  const injected = await start(['inject', '-f', '-', '--image', 'r/remora:9'], {}, pod('')).ended;
  expect(injected).toMatchObject({ code: 0, stdout: expect.stringContaining('image: r/remora:9') });
  const skipped = await start(['inject', '-f', '-'], {}, pod('hostNetwork: true, ')).ended;
  expect(skipped).toMatchObject({
    code: 0,
    stdout: pod('hostNetwork: true, '),
    stderr: expect.stringContaining('not injected: Pod default/a: hostNetwork'),
  });
  const refused = await start(
    ['inject', '-f', '-'],
    {},
    pod('').replace('{name: a}', '{name: a, labels: {sidecar.istio.io/inject: maybe}}'),
  ).ended;
  expect(refused).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringContaining('stdin:3 Pod default/a metadata.labels'),
  });
});
