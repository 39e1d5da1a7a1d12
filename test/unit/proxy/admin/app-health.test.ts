import { createServer as createHttp, type RequestListener } from 'node:http';
import { createServer as createHttp2, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer as createTcp, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../../src/base/clock.ts';
import { type App, appHealthRoutes, withAppMetrics } from '../../../../src/proxy/admin/app-health.ts';
import type { ProbeAction } from '../../../../src/proxy/admin/app-probers.ts';
import { textReply } from '../../../../src/proxy/admin/route.ts';
import { type ManualClock, manualClock } from '../../../support/clock.ts';
import { request, type Served, serve } from './support.ts';

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()));
});

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  opened.push({ close: () => new Promise((resolve) => server.close(resolve)) });
  return (server.address() as AddressInfo).port;
}

function http(listener: RequestListener): Promise<number> {
  return listen(createHttp({ keepAlive: false }, listener));
}

/** A port where nothing listens. */
async function closedPort(): Promise<number> {
  const server = createTcp();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  opened.pop();
  return port;
}

async function health(action: ProbeAction, clock: App['clock'] = systemClock, timeoutMs = 1000): Promise<Served> {
  const path = '/app-health/web/readyz';
  const app: App = { address: { host: '127.0.0.1' }, probers: [{ path, action, timeoutMs }], metrics: null, clock };
  const served = await serve(appHealthRoutes(app), { kind: 'any' });
  opened.push(served);
  return served;
}

async function asked(action: ProbeAction): Promise<{ status: number; body: string }> {
  const { status, body } = await request((await health(action)).port, 'GET', '/app-health/web/readyz');
  return { status, body };
}

const HTTP = { kind: 'http', path: '/ok', tls: false, headers: [] } as const;

describe('probes through the proxy', () => {
  it('ask the application with the original path and headers', async () => {
    let seen = '';
    const port = await http((incoming, outgoing) => {
      seen = `${incoming.method} ${incoming.url} ${incoming.headers.host} ${incoming.headers['x-probe']} ${incoming.headers['user-agent']}`;
      outgoing.end('fine');
    });
    const headers = [
      ['Host', 'shop'],
      ['X-Probe', 'kubelet'],
    ] as const;
    expect(await asked({ ...HTTP, port, path: '/live?deep=1', headers })).toEqual({ status: 200, body: '' });
    expect(seen).toBe('GET /live?deep=1 shop kubelet kube-probe/remora');
  });

  it('pass on what the application says', async () => {
    const port = await http((_incoming, outgoing) => outgoing.writeHead(500).end());
    expect(await asked({ ...HTTP, port })).toEqual({ status: 500, body: 'the application answered 500\n' });
  });

  it('follow redirects on the application itself, and take one elsewhere for a success, as a kubelet does', async () => {
    const port = await http((incoming, outgoing) => {
      const to = { '/ok': '/two', '/away': 'http://elsewhere.example/', '/loop': '/loop' }[incoming.url ?? ''];
      if (to === undefined) outgoing.writeHead(incoming.url === '/two' ? 204 : 404).end();
      else outgoing.writeHead(302, { location: to }).end();
    });
    expect((await asked({ ...HTTP, port })).status).toBe(200);
    expect((await asked({ ...HTTP, port, path: '/three' })).status).toBe(404);
    expect((await asked({ ...HTTP, port, path: '/away' })).status).toBe(200);
    expect(await asked({ ...HTTP, port, path: '/loop' })).toMatchObject({ status: 503 });
  });

  it('fail where nothing listens, and where what listens is no HTTP', async () => {
    const port = await closedPort();
    expect(await asked({ ...HTTP, port })).toMatchObject({
      status: 503,
      body: expect.stringContaining(`port ${port}`),
    });
    expect((await asked({ kind: 'tcp', port })).status).toBe(503);
    const garbage = await listen(createTcp((socket) => socket.resume().end('SSH-2.0-x\r\n')));
    expect((await asked({ ...HTTP, port: garbage })).status).toBe(503);
  });

  it('end at the probe’s own timeout', async () => {
    const clock: ManualClock = manualClock();
    const arrived = Promise.withResolvers<void>();
    const silent = createTcp((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => arrived.resolve());
    });
    const port = await listen(silent);
    const served = await health({ ...HTTP, port }, clock, 2000);
    const reply = request(served.port, 'GET', '/app-health/web/readyz');
    await arrived.promise;
    clock.advance(2001);
    expect(await reply).toMatchObject({ status: 503, body: `the application on port ${port}: no answer in 2 s\n` });
  });

  it('find out whether a port accepts', async () => {
    const port = await listen(createTcp((socket) => socket.resume().end()));
    expect(await asked({ kind: 'tcp', port })).toEqual({ status: 200, body: '' });
  });

  it('speak gRPC’s health protocol', async () => {
    const services: string[] = [];
    const server = createHttp2();
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const service = Buffer.concat(chunks).subarray(7).toString();
        services.push(`${headers[':path']} ${headers.te} ${service}`);
        if (service === 'none') {
          stream.respond({ 'content-type': 'application/grpc', 'grpc-status': '5' }, { endStream: true });
          return;
        }
        stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        stream.end(Buffer.from([0, 0, 0, 0, 2, 8, service === 'down' ? 2 : 1]));
      });
    });
    const port = await listen(server as unknown as Server);
    expect(await asked({ kind: 'grpc', port, service: '' })).toEqual({ status: 200, body: '' });
    expect((await asked({ kind: 'grpc', port, service: 'shop.Web' })).status).toBe(200);
    expect(await asked({ kind: 'grpc', port, service: 'down' })).toEqual({
      status: 503,
      body: `the application on port ${port}: NOT_SERVING\n`,
    });
    expect((await asked({ kind: 'grpc', port, service: 'none' })).body).toContain('does not know this one');
    expect(services[1]).toBe('/grpc.health.v1.Health/Check trailers shop.Web');
  });

  it('refuse what answers a gRPC probe with something else', async () => {
    const port = await http((_incoming, outgoing) => outgoing.end());
    expect((await asked({ kind: 'grpc', port, service: '' })).status).toBe(503);
  });
});

describe('metrics of the application', () => {
  const own = textReply('proxy_metric 1\n');
  const app = (port: number): App => ({
    address: { host: '127.0.0.1' },
    probers: [],
    metrics: { port, path: '/m' },
    clock: systemClock,
  });

  it('follow the proxy’s own', async () => {
    const port = await http((incoming, outgoing) => outgoing.end(incoming.url === '/m' ? 'app_metric 2\n' : 'wrong'));
    expect((await withAppMetrics(own, app(port))).body).toBe('proxy_metric 1\napp_metric 2\n');
  });

  it('do not keep the proxy’s from being scraped', async () => {
    const port = await closedPort();
    const { status, body } = await withAppMetrics(own, app(port));
    expect(status).toBe(200);
    expect(body).toMatch(new RegExp(`^proxy_metric 1\\n# the application’s metrics are missing: port ${port}: .*\\n$`));
  });
});
