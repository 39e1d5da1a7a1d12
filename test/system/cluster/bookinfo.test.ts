// Issue 5: Remora installed on a real node by its own manifests, and Bookinfo on it as a user deploys it.
import { beforeAll, describe, expect, it } from 'vitest';
import { Visitor } from '../../../src/cli/demo/visitor.ts';
import { until } from '../support/process.ts';
import {
  apply,
  bringUp,
  diagnosed,
  diagnoseFailures,
  eventually,
  gatewayUrl,
  get,
  IMAGE,
  installBookinfo,
  installRemora,
  isReady,
  kubectl,
  type Pod,
  podsOf,
  report,
  rolledOut,
  TOOLS_IMAGE,
  tryFile,
} from './cluster.ts';

let url = '';

diagnoseFailures();

beforeAll(
  () =>
    diagnosed(async () => {
      const start = performance.now();
      const seconds = () => `${((performance.now() - start) / 1000).toFixed(0)} s`;
      await bringUp();
      report(`the node is up: ${seconds()}`);
      await installRemora();
      report(`the control server and the gateway are ready: ${seconds()}`);
      await installBookinfo();
      // What is asked of one of them has to hold for the other.
      await kubectl('scale deployment/productpage-v1 --replicas=2');
      await rolledOut('default', 'productpage-v1');
      report(`Bookinfo is ready: ${seconds()}`);
      url = await gatewayUrl();
    }),
  300_000,
);

describe('Bookinfo in a namespace with the label', () => {
  it('has a native sidecar in every pod, and every pod is ready', async () => {
    const pods = await podsOf('default', 'app in (productpage, details, reviews, ratings)');
    expect(pods.length).toBeGreaterThanOrEqual(7);
    for (const pod of pods) {
      const injected = pod.spec.initContainers?.map(({ name, restartPolicy }) => `${name} ${restartPolicy ?? '-'}`);
      expect(injected, pod.metadata.name).toEqual(['remora-init -', 'remora-proxy Always']);
      expect(isReady(pod), pod.metadata.name).toBe(true);
      expect(pod.spec.containers[0]!.readinessProbe?.httpGet?.path).toMatch(/^\/app-health\/\w+\/readyz$/);
    }
    report(`${pods.length} pods of Bookinfo are ready, each with its native sidecar`);
  });

  it('shows the page through the NodePort of the ingress gateway', async () => {
    const page = await new Visitor(url).get('/productpage');
    expect(page.status).toBe(200);
    expect(page.body).toContain('The Comedy of Errors');
    expect(page.version, 'a pod of reviews is named on the page').toMatch(/^v[123]$/);
    const { status } = await new Visitor(url).get('/nothing-here');
    expect(status, 'a path that the Gateway does not name').toBe(404);
    report(`GET ${url}/productpage: 200 in ${page.ms.toFixed(0)} ms`);
  });

  it('splits calls by the weights of a VirtualService', async () => {
    await tryFile('reviews-90-10.yaml');
    const visitor = new Visitor(url);
    await until('no call to go to v2', async () => (await visitor.visit(20)).every(({ version }) => version !== 'v2'));
    const visits = (await Promise.all(Array.from({ length: 10 }, () => new Visitor(url).visit(100)))).flat();
    expect(visits.filter(({ status }) => status !== 200)).toEqual([]);
    const share = visits.filter(({ version }) => version === 'v3').length / visits.length;
    // Four standard deviations of 1000 draws at 10 %: one run of 16,000 fails by chance.
    const bound = 4 * Math.sqrt((0.1 * 0.9) / visits.length);
    report(
      `weights 90/10 over ${visits.length} requests: v3 ${(share * 100).toFixed(1)} % (10 ± ${(bound * 100).toFixed(1)})`,
    );
    expect(Math.abs(share - 0.1)).toBeLessThan(bound);
  });

  it('sends jason to v2 and everybody else to v1', async () => {
    await tryFile('reviews-jason-v2.yaml');
    const [jason, other] = [new Visitor(url), new Visitor(url)];
    await jason.signIn('jason');
    // Each pod of productpage hears of it at a moment of its own.
    await until('jason to see v2', async () => (await jason.visit(20)).every(({ version }) => version === 'v2'));
    const versions = async (visitor: Visitor) => new Set((await visitor.visit(50)).map(({ version }) => version));
    expect([...(await versions(jason))]).toEqual(['v2']);
    expect([...(await versions(other))]).toEqual(['v1']);
    await kubectl('delete virtualservice reviews');
    report('50 of 50 calls of jason went to v2, 50 of 50 of others to v1');
  });
});

describe('other workloads in it', () => {
  it('are as ready as their own probe says, which the kubelet asks by way of the proxy', async () => {
    await apply(PROBED);
    await kubectl('rollout status deployment/probed --timeout=60s');
    const [pod] = await podsOf('default', 'app=probed');
    const call = (path: string) =>
      kubectl(['exec', pod!.metadata.name, '-c', 'app', '--', 'node', '-e', `fetch('http://127.0.0.1:8080${path}')`]);
    const ready = async () => {
      const { endpoints } = (await get<{ items: Slice[] }>('endpointslices -l kubernetes.io/service-name=probed'))
        .items[0]!;
      return endpoints?.[0]?.conditions.ready ?? false;
    };
    expect(await ready()).toBe(true);
    const times: string[] = [];
    for (const [path, to] of [
      ['/down', false],
      ['/up', true],
    ] as const) {
      await call(path);
      const start = performance.now();
      await until(`the endpoint to be ${to ? '' : 'not '}ready`, async () => (await ready()) === to);
      times.push(`${to ? 'ready' : 'not ready'} after ${(performance.now() - start).toFixed(0)} ms`);
    }
    report(`a probe that fails, then passes (period 1 s): ${times.join(', ')}`);
  });

  it('may be a Job, which finishes although there is a proxy beside it', async () => {
    const start = performance.now();
    await kubectl('delete job once --ignore-not-found');
    await apply(JOB);
    await kubectl('wait --for=condition=Complete job/once --timeout=90s');
    const job = await eventually('the pod to be over', async () => {
      const [pod] = (await get<{ items: Pod[] }>('pods -l job-name=once')).items;
      expect(pod!.status.phase).toBe('Succeeded');
      return pod!;
    });
    expect(job.spec.initContainers?.map(({ name }) => name)).toContain('remora-proxy');
    expect(await kubectl(`logs ${job.metadata.name} -c job`)).toContain('"type":"paperback"');
    report(`a Job that calls details finished in ${((performance.now() - start) / 1000).toFixed(1)} s`);
    await kubectl('delete job once');
    await kubectl('delete deployment/probed service/probed');
  });
});

interface Slice {
  readonly endpoints?: readonly { readonly conditions: { readonly ready?: boolean } }[];
}

const APP = `
let up = true;
require('node:http').createServer((request, response) => {
  if (request.url === '/down') up = false;
  if (request.url === '/up') up = true;
  response.writeHead(request.url === '/ready' && !up ? 503 : 200).end();
}).listen(8080);
process.on('SIGTERM', () => process.exit(0));
`;

const PROBED = JSON.stringify({
  apiVersion: 'v1',
  kind: 'List',
  items: [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'probed', namespace: 'default' },
      spec: { selector: { app: 'probed' }, ports: [{ name: 'http', port: 80, targetPort: 'web' }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'probed', namespace: 'default' },
      spec: {
        selector: { matchLabels: { app: 'probed' } },
        template: {
          metadata: { labels: { app: 'probed' } },
          spec: {
            containers: [
              {
                name: 'app',
                image: IMAGE,
                command: ['node', '-e', APP],
                securityContext: { runAsUser: 1000 },
                ports: [{ name: 'web', containerPort: 8080 }],
                readinessProbe: { httpGet: { path: '/ready', port: 'web' }, periodSeconds: 1, failureThreshold: 1 },
                livenessProbe: { tcpSocket: { port: 'web' }, periodSeconds: 2 },
              },
            ],
          },
        },
      },
    },
  ],
});

const JOB = JSON.stringify({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name: 'once', namespace: 'default' },
  spec: {
    backoffLimit: 0,
    template: {
      spec: {
        restartPolicy: 'Never',
        containers: [
          {
            name: 'job',
            image: TOOLS_IMAGE,
            command: ['curl', '-sf', 'http://details:9080/details/0'],
            securityContext: { runAsUser: 1000 },
          },
        ],
      },
    },
  },
});
