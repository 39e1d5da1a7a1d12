import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { proxyBootstrap } from '../../src/xds/bootstrap/proxy-bootstrap.ts';
import { file, instance } from '../support/mesh-yaml.ts';
import { type HttpUpstream, httpUpstream } from '../support/upstream.ts';
import { envoy, remoraControl } from './support/peers.ts';
import { freePort, freePorts, scratch, until } from './support/process.ts';

const bookinfo = new URL('../../config/bookinfo/', import.meta.url).pathname;
const VERSIONS = ['v1', 'v2', 'v3'];

/** Real Envoy takes its config from `remora control`, by both kinds of ADS, and follows every edit without a failure. */
describe('Envoy driven by remora control', () => {
  const live = join(scratch, 'live');
  const reviews: HttpUpstream[] = [];
  let productpage: HttpUpstream;
  let control: { xds: string; http: number };

  const use = (from: string, to: string): void => copyFileSync(join(bookinfo, from), join(live, to));

  beforeAll(async () => {
    mkdirSync(live);
    for (const name of ['services.yaml', 'gateway.yaml', 'destination-rules.yaml']) use(name, name);
    for (const version of VERSIONS) {
      reviews.push(await httpUpstream((request, response) => response.end(`${version} ${request.headers.host}`)));
    }
    productpage = await httpUpstream((request, response) => response.end(`page ${request.url}`));
    const slices = VERSIONS.map((version, i) => instance('reviews', version, reviews[i]!.port));
    writeFileSync(join(live, 'pods.yaml'), file(...slices, instance('productpage', 'v1', productpage.port)));
    const [xds, http] = (await freePorts(2)) as [number, number];
    const own = join(scratch, 'control');
    mkdirSync(own);
    await remoraControl(live, xds, http, own);
    control = { xds: `127.0.0.1:${xds}`, http };
  });
  afterAll(async () => {
    for (const upstream of [...reviews, productpage]) await upstream?.close();
  });

  describe.each([
    ['state of the world', false],
    ['delta', true],
  ] as const)('%s', (_, delta) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 4 });
    let sidecar: number;
    let gateway: number;

    beforeAll(async () => {
      use('try/reviews-v1.yaml', 'reviews.yaml');
      const base = { control: control.xds, ip: '127.0.0.1', namespace: 'default', delta } as const;
      sidecar = await freePort();
      const asSidecar = proxyBootstrap({
        ...base,
        type: 'sidecar',
        pod: `caller-${delta ? 'delta' : 'sotw'}`,
        labels: { app: 'caller' },
        admin: { host: '127.0.0.1', port: await freePort() },
        metadata: { REMORA: { httpProxy: `127.0.0.1:${sidecar}` } },
      });
      await envoy(JSON.stringify(asSidecar), sidecar);
      gateway = await freePort();
      const asGateway = proxyBootstrap({
        ...base,
        type: 'router',
        pod: `gateway-${delta ? 'delta' : 'sotw'}`,
        labels: { istio: 'ingressgateway' },
        admin: { host: '127.0.0.1', port: await freePort() },
        metadata: { REMORA: { portMap: { 80: gateway }, bind: '127.0.0.1' } },
      });
      await envoy(JSON.stringify(asGateway), gateway);
    });
    afterAll(() => agent.destroy());

    /** A call as a program with `http_proxy` makes it. */
    const call = (path = '/reviews/0'): Promise<{ status: number; body: string }> =>
      fetchFrom(sidecar, `http://reviews:9080${path}`, agent);

    /** Calls until the last `count` answers all satisfy `good`; none of them may fail, not even on the way. */
    const settled = async (count: number, good: (bodies: readonly string[]) => boolean): Promise<void> => {
      const bodies: string[] = [];
      await until('the new routes', async () => {
        for (let i = 0; i < 20; i++) {
          const { status, body } = await call();
          expect(status, body).toBe(200);
          bodies.push(body.slice(0, 2));
        }
        return bodies.length >= count && good(bodies.slice(-count));
      });
    };
    const share = (bodies: readonly string[], version: string): number =>
      bodies.filter((body) => body === version).length / bodies.length;

    it('routes to the subset that a VirtualService names', async () => {
      await settled(40, (bodies) => share(bodies, 'v1') === 1);
      expect((await call()).body).toBe('v1 reviews:9080');
    });

    it('follows a change of weights under load without a failed request', async () => {
      let over = false;
      const outcomes: number[] = [];
      const load = Promise.all(
        Array.from({ length: 3 }, async () => {
          while (!over) outcomes.push((await call()).status);
        }),
      );
      use('try/reviews-50-v2-v3.yaml', 'reviews.yaml');
      await settled(100, (bodies) => share(bodies, 'v1') === 0 && Math.abs(share(bodies, 'v2') - 0.5) < 0.2);
      use('try/reviews-90-10.yaml', 'reviews.yaml');
      await settled(200, (bodies) => share(bodies, 'v2') === 0 && Math.abs(share(bodies, 'v1') - 0.9) < 0.09);
      use('try/reviews-v1.yaml', 'reviews.yaml');
      await settled(60, (bodies) => share(bodies, 'v1') === 1);
      over = true;
      await load;
      expect(outcomes.length).toBeGreaterThan(100);
      expect(outcomes.filter((status) => status !== 200)).toEqual([]);
    });

    it('serves the Gateway, and only its paths', async () => {
      const page = await fetchFrom(gateway, '/productpage?u=normal', agent);
      expect(page).toEqual({ status: 200, body: 'page /productpage?u=normal' });
      expect((await fetchFrom(gateway, '/elsewhere', agent)).status).toBe(404);
    });

    it('takes fault injection', async () => {
      use('try/ratings-abort.yaml', 'ratings.yaml');
      await until('the abort', async () => {
        const { status } = await fetchFrom(sidecar, 'http://ratings:9080/ratings/0', agent, { 'end-user': 'jason' });
        return status === 500;
      });
      // Others are not aborted: they find that ratings has no instance here.
      expect((await fetchFrom(sidecar, 'http://ratings:9080/ratings/0', agent)).status).toBe(503);
    });

    it('accepts all that it was sent', async () => {
      const { body } = await fetchFrom(control.http, '/proxies', agent);
      const proxies = JSON.parse(body) as { mode: string; types: { state: string; nacked: unknown }[] }[];
      const mine = proxies.filter(({ mode }) => mode === (delta ? 'delta' : 'sotw'));
      expect(mine).toHaveLength(2);
      const types = mine.flatMap((proxy) => proxy.types);
      expect(types.filter(({ state, nacked }) => state !== 'synced' || nacked !== null)).toEqual([]);
    });
  });
});

/** GET with the target as written: a path, or a URL in absolute form. */
function fetchFrom(
  port: number,
  target: string,
  agent: Agent,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ status: number; body: string }> {
  const host = target.startsWith('http:') ? new URL(target).host : 'localhost';
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path: target, agent, headers: { host, ...headers } }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode!, body }));
      response.on('error', reject);
    });
    request.on('error', reject);
  });
}
