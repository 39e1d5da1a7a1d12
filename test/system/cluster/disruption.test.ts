// Issue 5: nothing that is done to the pods of a mesh costs a request. All load is open loop, by way of the ingress
// gateway's NodePort: gateway → productpage's sidecar → productpage → its sidecar → details' sidecar → details.
import { beforeAll, describe, expect, it } from 'vitest';
import { pause } from '../support/process.ts';
import {
  apply,
  bringUp,
  diagnosed,
  diagnoseFailures,
  eventually,
  gatewayUrl,
  get,
  installBookinfo,
  installRemora,
  isReady,
  kubectl,
  NEXT_IMAGE,
  podsOf,
  report,
  rolledOut,
  SYSTEM,
} from './cluster.ts';
import { OpenLoop } from './open-loop.ts';
import { PodLogs } from './pod-logs.ts';

/** Requests a second. */
const RATE = Number(process.env.REMORA_RATE ?? 200);
/** How long pods are deleted at random; the issue asks for 300. */
const CHAOS_SECONDS = Number(process.env.REMORA_CHAOS_SECONDS ?? 60);
const CHAOS_RATE = 50;
/** An answer that takes longer is lost. */
const PATIENCE_MS = 60_000;

let url = '';

diagnoseFailures();

beforeAll(
  () =>
    diagnosed(async () => {
      await bringUp();
      await installRemora();
      await installBookinfo();
      // What is lost is looked for, and not how slow a machine may be: productpage gives its calls 3 s by itself.
      await kubectl(`set env deployment/productpage-v1 CALL_TIMEOUT_MS=${PATIENCE_MS}`);
      await kubectl('scale deployment/productpage-v1 --replicas=2');
      await kubectl('scale deployment/details-v1 --replicas=3');
      await rolledOut('default', 'productpage-v1', 'details-v1');
      url = `${await gatewayUrl()}/api/v1/products/0`;
      await warmedUp();
    }),
  300_000,
);

/** Code that has not run yet is slow, above all on two cores. */
async function warmedUp(): Promise<void> {
  const load = new OpenLoop({ url, rate: RATE / 2, timeoutMs: PATIENCE_MS });
  await pause(5000);
  await load.stop();
}

/** Does `act` while requests come at `rate`: an error that says all that is known, unless each of them was answered. */
async function underLoad(what: string, rate: number, act: (load: OpenLoop) => Promise<string>): Promise<void> {
  const load = new OpenLoop({ url, rate, timeoutMs: PATIENCE_MS });
  const logs = new PodLogs();
  let done = '';
  let cause: unknown;
  try {
    await pause(1000);
    done = await act(load);
    await pause(2000);
  } catch (error) {
    cause = error;
  }
  const { sent, failed, first, failures, seconds, p50, p99, max } = await load.stop();
  logs.stop();
  const latency = `p50 ${p50} ms, p99 ${p99} ms, max ${max} ms`;
  report(`${what}: ${sent} requests in ${seconds.toFixed(0)} s at ${rate}/s, ${failed} failed; ${latency}; ${done}`);
  if (failed > 0) {
    const answers = logs.lines(/HTTP\/1\.1" (0|5\d\d) /);
    const warnings = logs.lines(/Z (warning|error) /);
    const parts = [JSON.stringify(failures, null, 1), ...first, ...answers.slice(0, 20), ...warnings.slice(-40)];
    throw new Error(`${failed} of ${sent} requests failed (${done}):\n${parts.join('\n')}`, { cause });
  }
  if (cause !== undefined) throw cause;
}

describe('under load', () => {
  it('a Deployment is rolled twice, and no request fails', { timeout: 240_000 }, async () => {
    const before = new Set((await podsOf('default', 'app=details')).map(({ metadata }) => metadata.name));
    await underLoad('details rolled twice', RATE, async () => {
      for (let time = 1; time <= 2; time++) {
        await kubectl('rollout restart deployment/details-v1');
        await rolledOut('default', 'details-v1');
      }
      await gone('app=details', before);
      return '3 pods replaced, twice';
    });
    const after = await podsOf('default', 'app=details');
    expect(after.filter(({ metadata }) => before.has(metadata.name))).toEqual([]);
    expect(after.filter(isReady)).toHaveLength(3);
  });

  it('the callers are rolled too, and no request fails', { timeout: 240_000 }, async () => {
    const before = new Set((await podsOf('default', 'app=productpage')).map(({ metadata }) => metadata.name));
    await underLoad('productpage rolled', RATE, async () => {
      await kubectl('rollout restart deployment/productpage-v1');
      await rolledOut('default', 'productpage-v1');
      await gone('app=productpage', before);
      return '2 pods replaced';
    });
  });

  it('the control server is killed, and upgraded, and no request fails', { timeout: 240_000 }, async () => {
    const before = new Set((await podsOf(SYSTEM, 'app=remora-control')).map(({ metadata }) => metadata.name));
    await underLoad('the control server killed, then upgraded', RATE, async () => {
      await kubectl(`delete pods -n ${SYSTEM} -l app=remora-control --grace-period=0 --force`);
      const killed = performance.now();
      await eventually('other control servers', async () => {
        const pods = await podsOf(SYSTEM, 'app=remora-control');
        expect(pods.filter((pod) => isReady(pod) && !before.has(pod.metadata.name)).length).toBeGreaterThanOrEqual(2);
      });
      const back = ((performance.now() - killed) / 1000).toFixed(1);
      await kubectl(`set image -n ${SYSTEM} deployment/remora-control control=${NEXT_IMAGE}`);
      await rolledOut(SYSTEM, 'remora-control');
      return `both replicas killed at once, back after ${back} s; then rolled to ${NEXT_IMAGE}`;
    });
    const images = await get<{ items: { spec: { containers: { image: string }[] } }[] }>(
      `pods -n ${SYSTEM} -l app=remora-control --field-selector=status.phase=Running`,
    );
    expect(images.items.map(({ spec }) => spec.containers[0]!.image)).toContain(NEXT_IMAGE);
  });

  // pains.md row 7.
  it('a sidecar that starts while there is no control server is who it was, and serves', {
    timeout: 240_000,
  }, async () => {
    await apply(STRICT);
    const [pod] = await podsOf('default', 'app=productpage');
    const { name } = pod!.metadata;
    // What is new is on disk a second later.
    await pause(5000);
    await kubectl(`scale -n ${SYSTEM} deployment/remora-control --replicas=0`);
    try {
      await eventually('the control servers to be gone', async () =>
        expect((await get<{ items: unknown[] }>(`pods -n ${SYSTEM} -l app=remora-control`)).items).toEqual([]),
      );
      const before = await restartsOf(name);
      const quit = `fetch('http://127.0.0.1:15000/quitquitquit', { method: 'POST' }).catch(() => {})`;
      await kubectl(['exec', name, '-c', 'remora-proxy', '--', 'node', '-e', quit]).catch(() => '');
      const begun = performance.now();
      await eventually('the sidecar to serve again', async () => {
        expect(await restartsOf(name)).toBe(before + 1);
        const log = await kubectl(`logs ${name} -c remora-proxy`);
        expect(log).toContain('no certificate from the CA');
        const call = `fetch('http://details:9080/details/0').then(async (r) => console.log(r.status, await r.text()))`;
        expect(await kubectl(['exec', name, '-c', 'productpage', '--', 'node', '-e', call])).toContain('200');
      });
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      report(`a sidecar restarted without a control server, under STRICT: its calls are answered after ${seconds} s`);
    } finally {
      await kubectl(`scale -n ${SYSTEM} deployment/remora-control --replicas=2`);
      await rolledOut(SYSTEM, 'remora-control');
      await kubectl('delete peerauthentication strict');
    }
  });

  it('pods are deleted at random, retries are on, and no request fails', {
    timeout: 420_000 + CHAOS_SECONDS * 1000,
  }, async () => {
    if (CHAOS_SECONDS < 300)
      report(`pods are deleted for ${CHAOS_SECONDS} s here; REMORA_CHAOS_SECONDS=300 for the five minutes of issue 5`);
    await apply(RETRIES);
    await kubectl('scale deployment/details-v1 --replicas=2');
    await rolledOut('default', 'details-v1', 'productpage-v1');
    await underLoad(`pods deleted at random for ${CHAOS_SECONDS} s`, CHAOS_RATE, async (load) => {
      const deleted = new Map<string, number>();
      const end = load.seconds + CHAOS_SECONDS;
      while (load.seconds < end) {
        const pod = await victim();
        if (pod !== null) {
          await kubectl(`delete pod -n ${pod.namespace} ${pod.name} --wait=false`);
          deleted.set(pod.app, (deleted.get(pod.app) ?? 0) + 1);
        }
        await pause(1000);
      }
      await rolledOut('default', 'details-v1', 'productpage-v1');
      await rolledOut(SYSTEM, 'remora-ingressgateway', 'remora-control');
      const of = [...deleted].map(([app, count]) => `${count} of ${app}`).join(', ');
      expect(deleted.size, 'pods of several workloads were deleted').toBeGreaterThan(1);
      return `deleted: ${of}`;
    });
  });
});

async function restartsOf(pod: string): Promise<number> {
  const { status } = await get<{ status: { initContainerStatuses: { name: string; restartCount: number }[] } }>(
    `pod ${pod}`,
  );
  return status.initContainerStatuses.find((one) => one.name === 'remora-proxy')!.restartCount;
}

const STRICT = JSON.stringify({
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: { name: 'strict', namespace: 'default' },
  spec: { mtls: { mode: 'STRICT' } },
});

/** Pods of the past have ended, with their sidecars. */
async function gone(selector: string, names: ReadonlySet<string>): Promise<void> {
  await eventually('the old pods to be gone', async () => {
    const { items } = await get<{ items: { metadata: { name: string } }[] }>(`pods -l ${selector}`);
    expect(items.filter(({ metadata }) => names.has(metadata.name))).toEqual([]);
  });
}

/** A pod of any workload on the way, chosen by lot among those that leave another ready one of their kind behind. */
async function victim(): Promise<{ namespace: string; name: string; app: string } | null> {
  const apps = [
    ['default', 'details'],
    ['default', 'productpage'],
    [SYSTEM, 'remora-ingressgateway'],
    [SYSTEM, 'remora-control'],
  ] as const;
  const choices: { namespace: string; name: string; app: string }[] = [];
  for (const [namespace, app] of apps) {
    const ready = (await podsOf(namespace, `app=${app}`)).filter(isReady);
    if (ready.length > 1) choices.push(...ready.map(({ metadata: { name } }) => ({ namespace, name, app })));
  }
  return choices[Math.floor(Math.random() * choices.length)] ?? null;
}

const RETRIES = ['details', 'productpage']
  .map((host) =>
    JSON.stringify({
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name: host === 'details' ? 'details' : 'bookinfo', namespace: 'default' },
      spec: {
        hosts: [host === 'details' ? 'details' : '*'],
        ...(host === 'details' ? {} : { gateways: ['bookinfo-gateway'] }),
        http: [
          {
            route: [{ destination: { host, port: { number: 9080 } } }],
            retries: { attempts: 3, perTryTimeout: '5s', retryOn: '5xx,reset,connect-failure,refused-stream' },
          },
        ],
      },
    }),
  )
  .join('\n---\n');
