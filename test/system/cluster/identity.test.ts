// Issue 5: every workload has an identity, and who has none is refused where STRICT says so.
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pause, until } from '../support/process.ts';
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
  podsOf,
  report,
  rolledOut,
  SYSTEM,
  TOOLS_IMAGE,
} from './cluster.ts';
import { OpenLoop } from './open-loop.ts';

const RATE = 50;
/** Life of certificates here: the shortest there is. They are renewed at half of it. */
const TTL_S = 120;

let url = '';

diagnoseFailures();

beforeAll(
  () =>
    diagnosed(async () => {
      await bringUp();
      await installRemora(`workloadCertTtl=${TTL_S / 60}m`);
      await installBookinfo();
      url = `${await gatewayUrl()}/api/v1/products/0`;
      await apply(OUTSIDER);
      await kubectl('wait -n outside --for=condition=Ready pod/outsider --timeout=60s');
    }),
  300_000,
);

afterAll(async () => {
  await kubectl('delete peerauthentication --all -n default --ignore-not-found');
  await kubectl('delete namespace outside --ignore-not-found --wait=false');
});

function policy(mode: 'STRICT' | 'PERMISSIVE'): Promise<string> {
  const metadata = { name: 'default', namespace: 'default' };
  return apply(
    JSON.stringify({
      apiVersion: 'security.istio.io/v1',
      kind: 'PeerAuthentication',
      metadata,
      spec: { mtls: { mode } },
    }),
  );
}

/** What curl says outside of the mesh: a status, or how the connection ended. */
async function plainCall(): Promise<string> {
  const curl = [
    'curl',
    '-s',
    '-o',
    '/dev/null',
    '-m',
    '5',
    '-w',
    '%{http_code}',
    'http://details.default:9080/details/0',
  ];
  try {
    return await kubectl(['exec', '-n', 'outside', 'outsider', '--', ...curl]);
  } catch (error) {
    return /exit code (\d+)/.exec(String(error))?.[0] ?? String(error);
  }
}

async function plainCalls(): Promise<string[]> {
  const answers: string[] = [];
  for (let i = 0; i < 8; i++) answers.push(await plainCall());
  return answers;
}

describe('identity', () => {
  it('lets plain text in under PERMISSIVE and refuses it under STRICT, and the mesh goes on', {
    timeout: 90_000,
  }, async () => {
    await policy('PERMISSIVE');
    await until('plain text to be accepted', async () => (await plainCalls()).every((answer) => answer === '200'));
    await policy('STRICT');
    const load = new OpenLoop({ url, rate: RATE });
    // Each pod of details hears of it at a moment of its own, and from then on refuses for good.
    let refusals: readonly string[] = [];
    await until('plain text to be refused', async () => {
      refusals = await plainCalls();
      return refusals.every((answer) => answer !== '200');
    });
    await pause(5000);
    const { sent, failures } = await load.stop();
    expect(failures).toEqual({});
    // The kubelet has no certificate either, and still asks.
    expect((await podsOf('default', 'app=details')).every(isReady)).toBe(true);
    report(
      `plain text from outside: 200 under PERMISSIVE, refused under STRICT (${[...new Set(refusals)].join(', ')})`,
    );
    report(`meanwhile ${sent} requests within the mesh under STRICT, none failed`);
  });

  it('is renewed under load, and no request fails', { timeout: 240_000 }, async () => {
    const apps = ['productpage', 'details'];
    await kubectl(['rollout', 'restart', ...apps.map((app) => `deployment/${app}-v1`)]);
    await kubectl(`rollout restart -n ${SYSTEM} deployment/remora-ingressgateway`);
    await rolledOut('default', ...apps.map((app) => `${app}-v1`));
    await rolledOut(SYSTEM, 'remora-ingressgateway');
    const begun = new Date();
    const load = new OpenLoop({ url, rate: RATE });
    // Each is renewed at least once.
    await pause(TTL_S * 0.75 * 1000);
    const { sent, failed, failures, p99, seconds } = await load.stop();
    const issued = (await logsSince(begun)).matchAll(/certificate issued to=(\S+)/g);
    const renewals = new Map<string, number>();
    for (const [, id = ''] of issued) renewals.set(id, (renewals.get(id) ?? 0) + 1);
    const list = [...renewals].map(([id, count]) => `${id.split('/').at(-1)} ${count}`).join(', ');
    report(
      `certificates of ${TTL_S} s renewed under load: ${sent} requests in ${seconds.toFixed(0)} s, ${failed} failed, p99 ${p99} ms; renewals: ${list}`,
    );
    expect(failures).toEqual({});
    for (const who of ['bookinfo-productpage', 'bookinfo-details', 'remora-ingressgateway'])
      expect(
        [...renewals.keys()].some((id) => id.endsWith(`/sa/${who}`)),
        who,
      ).toBe(true);
  });

  it('of the webhooks renews itself, and the API server is told whom to trust', { timeout: 180_000 }, async () => {
    const [pod] = await podsOf(SYSTEM, 'app=remora-control');
    const before = await serialOf(pod!.status.podIP, 15017);
    await kubectl([
      'patch',
      'mutatingwebhookconfiguration',
      'remora',
      '--type=json',
      '-p',
      JSON.stringify([{ op: 'remove', path: '/webhooks/0/clientConfig/caBundle' }]),
    ]);
    const removed = performance.now();
    await until('caBundle to be back', async () => (await bundle()) !== undefined);
    const back = ((performance.now() - removed) / 1000).toFixed(1);
    await eventually(
      'another certificate',
      async () => expect(await serialOf(pod!.status.podIP, 15017)).not.toBe(before),
      TTL_S * 1000,
    );
    await kubectl('rollout restart deployment/ratings-v1');
    await rolledOut('default', 'ratings-v1');
    const [ratings] = await podsOf('default', 'app=ratings');
    expect(ratings!.spec.initContainers?.map(({ name }) => name)).toContain('remora-proxy');
    report(
      `caBundle that somebody removed was back after ${back} s; the webhook’s certificate was renewed and injects`,
    );
  });
});

async function bundle(): Promise<string | undefined> {
  const configuration = await get<{ webhooks: { clientConfig: { caBundle?: string } }[] }>(
    'mutatingwebhookconfiguration remora',
  );
  return configuration.webhooks[0]!.clientConfig.caBundle;
}

async function logsSince(time: Date): Promise<string> {
  const args = ['logs', '-n', SYSTEM, '-l', 'app=remora-control', '--tail=-1', `--since-time=${time.toISOString()}`];
  return kubectl(args);
}

/** Serial number of the certificate that is shown there. */
function serialOf(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

const OUTSIDER = JSON.stringify({
  apiVersion: 'v1',
  kind: 'List',
  items: [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'outside' } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'outsider', namespace: 'outside' },
      spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'shell', image: TOOLS_IMAGE }] },
    },
  ],
});
