// Issue 5: pods of other kinds than Bookinfo's, on a real node: they are called, and they call.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  apply,
  bringUp,
  diagnosed,
  diagnoseFailures,
  eventually,
  get,
  HOST_ADDRESS,
  IMAGE,
  installBookinfo,
  installRemora,
  isReady,
  kubectl,
  type Pod,
  report,
} from './cluster.ts';

diagnoseFailures();

beforeAll(
  () =>
    diagnosed(async () => {
      await bringUp();
      await installRemora();
      await installBookinfo();
      await apply(WORKLOADS);
      for (const kind of ['deployment/classic', 'deployment/tproxy', 'deployment/captured-dns', 'statefulset/headless'])
        await kubectl(`rollout status ${kind} --timeout=90s`);
    }),
  300_000,
);

/** What a program in the pod gets for a URL, through its own sidecar. */
async function call(from: string, container: string, url: string): Promise<string> {
  const script = `fetch('${url}').then(async (r) => console.log(r.status + ' ' + await r.text()), (e) => console.log(e.cause?.code ?? e))`;
  return (await kubectl(['exec', from, '-c', container, '--', 'node', '-e', script])).trim();
}

async function podOf(app: string): Promise<Pod> {
  const { items } = await get<{ items: Pod[] }>(`pods -l app=${app}`);
  return items.filter(isReady)[0]!;
}

async function callsBothWays(app: string, url: string): Promise<void> {
  const { name } = (await podOf(app)).metadata;
  const calls = () => call('deployment/productpage-v1', 'productpage', url);
  await eventually(`${url} to answer`, async () => expect(await calls()).toBe(`200 ${name}`), 20_000);
  expect(await call(name, 'app', 'http://details:9080/details/0')).toContain('"type":"paperback"');
  // Who is called sees the mesh's certificate, not plain text, also where nobody asked for it.
  const log = await kubectl(`logs ${name} -c remora-proxy --tail=20`);
  expect(log).toMatch(/"GET \/ HTTP\/1\.1" 200/);
}

describe('a pod in the mesh', () => {
  it('may have the proxy as an ordinary container, which the application waits for', async () => {
    const { spec } = await podOf('classic');
    expect(spec.containers.map(({ name }) => name)).toEqual(['remora-proxy', 'app']);
    // The application asked at its start, once.
    expect(await kubectl('logs deployment/classic -c app')).toContain('at the start: 200');
    await callsBothWays('classic', 'http://classic/');
    report('a classic sidecar: the application’s first call, at its start, was answered');
  });

  it('may be taken over by TPROXY', async () => {
    await callsBothWays('tproxy', 'http://tproxy/');
    report('TPROXY: called and calling');
  });

  it('may be one of a StatefulSet, called by its own name', async () => {
    await callsBothWays('headless', 'http://headless-0.headless:8080/');
    report('a StatefulSet’s pod: called by its own name, and calling');
  });

  it('may have its DNS answered by the proxy, and knows hosts that no DNS server knows', async () => {
    await callsBothWays('captured-dns', 'http://captured-dns/');
    const outside = createServer((request, response) => response.end(`outside, asked for ${request.headers.host}`));
    await new Promise<void>((resolve) => outside.listen(0, HOST_ADDRESS, resolve));
    try {
      const { port } = outside.address() as AddressInfo;
      await apply(serviceEntry(port));
      const { name } = (await podOf('captured-dns')).metadata;
      await eventually('the host of the ServiceEntry', async () =>
        expect(await call(name, 'app', 'http://books.example/')).toBe('200 outside, asked for books.example'),
      );
      expect(await call('deployment/classic', 'app', 'http://books.example/')).toMatch(/ENOTFOUND|EAI_AGAIN/);
      report('DNS by the sidecar: a ServiceEntry’s host without an address was called by its name');
    } finally {
      outside.close();
      await kubectl('delete serviceentry books --ignore-not-found');
    }
  });
});

/** Of a host that only the mesh knows, behind the port of this process. */
function serviceEntry(port: number): string {
  return JSON.stringify({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'books', namespace: 'default' },
    spec: {
      hosts: ['books.example'],
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      location: 'MESH_EXTERNAL',
      resolution: 'STATIC',
      endpoints: [{ address: HOST_ADDRESS, ports: { http: port } }],
    },
  });
}

const PROGRAM = `
fetch('http://details:9080/details/0').then((r) => console.log('at the start: ' + r.status), (e) => console.log('at the start: ' + e.cause?.code));
require('node:http').createServer((request, response) => response.end(process.env.HOSTNAME)).listen(8080, '0.0.0.0');
process.on('SIGTERM', () => process.exit(0));
`;

function workload(kind: 'Deployment' | 'StatefulSet', name: string, annotations: Readonly<Record<string, string>>) {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { name, namespace: 'default' },
    spec: {
      ...(kind === 'StatefulSet' ? { serviceName: name } : {}),
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, annotations },
        spec: {
          containers: [
            {
              name: 'app',
              image: IMAGE,
              command: ['node', '-e', PROGRAM],
              securityContext: { runAsUser: 1000 },
              ports: [{ containerPort: 8080 }],
              readinessProbe: { httpGet: { port: 8080 }, periodSeconds: 1 },
            },
          ],
        },
      },
    },
  };
}

function service(name: string, spec: object) {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 8080 }], ...spec },
  };
}

const WORKLOADS = JSON.stringify({
  apiVersion: 'v1',
  kind: 'List',
  items: [
    service('classic', {}),
    workload('Deployment', 'classic', { 'sidecar.istio.io/nativeSidecar': 'false' }),
    service('tproxy', {}),
    workload('Deployment', 'tproxy', { 'sidecar.istio.io/interceptionMode': 'TPROXY' }),
    service('captured-dns', {}),
    workload('Deployment', 'captured-dns', {
      'proxy.istio.io/config': '{proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true"}}',
    }),
    service('headless', { clusterIP: 'None', ports: [{ name: 'http', port: 8080 }] }),
    workload('StatefulSet', 'headless', {}),
  ],
});
