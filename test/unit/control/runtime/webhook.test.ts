import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import { type Logger, LogRoot, silentLogger } from '../../../../src/base/log.ts';
import { Watch } from '../../../../src/base/watch.ts';
import { defaultSettings } from '../../../../src/control/injector/settings.ts';
import type { ProxyConfig } from '../../../../src/control/mesh/proxy-config.ts';
import { WebhookServer } from '../../../../src/control/runtime/webhook.ts';
import type { ConfigState } from '../../../../src/control/source/collection.ts';
import { readObjects } from '../../../../src/control/source/files/yaml.ts';
import { manualClock } from '../../../support/clock.ts';
import { WEBHOOK_CERTIFICATES } from '../../../support/webhook-certificates.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function setUp(
  state: ConfigState = { objects: [], findings: [] },
  logger?: Logger,
  proxyConfig: () => ProxyConfig | null = () => null,
) {
  const certificates = mkdtempSync(join(tmpdir(), 'remora-webhook-'));
  const clock = manualClock();
  const server = new WebhookServer({
    host: '127.0.0.1',
    port: 0,
    certificates,
    settings: defaultSettings('1'),
    state: () => state,
    proxyConfig,
    clock,
    log: logger ?? silentLogger(clock),
  });
  closing.push(
    () => rmSync(certificates, { recursive: true }),
    () => server.close(),
  );
  const write = (cert: string, key: string): void => {
    writeFileSync(join(certificates, 'tls.crt'), cert);
    writeFileSync(join(certificates, 'tls.key'), key);
  };
  /** Lets it look at its certificate, as it does by itself every few seconds. */
  const look = (): Promise<void> => {
    expect(clock.pending).toBe(1);
    return server.refresh();
  };
  return { server, write, look };
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly subject: string;
}

function post(port: number, path: string, body: string, method = 'POST'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: '127.0.0.1', port, path, method, rejectUnauthorized: false, agent: false },
      (response) => {
        const subject = String((response.socket as TLSSocket).getPeerCertificate().subject.CN);
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text, subject }));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

function review(object: unknown, namespace = 'shop'): string {
  const request = { uid: 'u1', namespace, operation: 'CREATE', object };
  return JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request });
}

const POD = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' }, spec: { containers: [{ name: 'a' }] } };
const [first, second] = WEBHOOK_CERTIFICATES as [{ cert: string; key: string }, { cert: string; key: string }];

test('pods are injected over HTTPS, and config is validated', async () => {
  const { server, write } = setUp();
  write(first.cert, first.key);
  await server.start();
  const injected = JSON.parse((await post(server.port, '/inject', review(POD))).body);
  expect(injected).toMatchObject({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: { uid: 'u1', allowed: true, patchType: 'JSONPatch' },
  });
  const patch = JSON.parse(Buffer.from(injected.response.patch, 'base64').toString());
  expect(patch.map(({ path }: { path: string }) => path)).toContain('/spec/initContainers');
  const broken = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'a' },
    spec: { host: 'a' },
  };
  const validated = JSON.parse((await post(server.port, '/validate', review(broken))).body);
  expect(validated.response).toMatchObject({ allowed: false, status: { message: expect.stringContaining('hosts') } });
});

test('the mesh’s config of the moment is for new pods', async () => {
  let mesh: ProxyConfig | null = null;
  const { server, write } = setUp(undefined, undefined, () => mesh);
  write(first.cert, first.key);
  await server.start();
  const patch = async (): Promise<string> => {
    const { response } = JSON.parse((await post(server.port, '/inject', review(POD))).body);
    return Buffer.from(response.patch, 'base64').toString();
  };
  expect(await patch()).not.toContain('--termination-grace-period-s=9');
  mesh = { terminationDrainDurationS: 9, proxyMetadata: { OWN: 'mesh' } };
  expect(await patch()).toContain('--termination-grace-period-s=9');
  expect(await patch()).toContain('{"name":"OWN","value":"mesh"}');
  mesh = { proxyMetadata: { OWN: 'changed' } };
  expect(await patch()).toContain('{"name":"OWN","value":"changed"}');
  mesh = null;
  expect(await patch()).not.toContain('"OWN"');
});

test('a namespace whose labels are known is asked', async () => {
  const yaml = 'apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: disabled}}\n';
  const { server, write } = setUp(readObjects(yaml, ''));
  write(first.cert, first.key);
  await server.start();
  expect(JSON.parse((await post(server.port, '/inject', review(POD))).body).response).toEqual({
    uid: 'u1',
    allowed: true,
  });
});

test('it listens once it has a certificate, takes a new one into use, and keeps the last good one', async () => {
  const { server, write, look } = setUp();
  await server.start();
  expect(server.port).toBe(0);
  write(first.cert, first.key);
  await look();
  expect(server.port).toBeGreaterThan(0);
  expect((await post(server.port, '/ready', '', 'GET')).subject).toBe('webhook-1');
  // A certificate whose key has not come yet.
  write(second.cert, first.key);
  await look();
  expect((await post(server.port, '/ready', '', 'GET')).subject).toBe('webhook-1');
  write(second.cert, second.key);
  await look();
  expect((await post(server.port, '/ready', '', 'GET')).subject).toBe('webhook-2');
});

test('what is wrong with a certificate is said once, and never the key', async () => {
  const lines: string[] = [];
  const clock = manualClock();
  const { server, write, look } = setUp(undefined, new LogRoot(clock, (line) => lines.push(line), 'info').logger());
  await server.start();
  await look();
  write('nonsense', first.key);
  await look();
  await look();
  expect(lines).toHaveLength(2);
  expect(lines[0]).toContain('no tls.crt and tls.key yet');
  expect(lines.join('')).not.toContain(first.key.split('\n')[1]);
});

test('what is no review is refused', async () => {
  const { server, write } = setUp();
  write(first.cert, first.key);
  await server.start();
  const status = async (path: string, body: string, method?: string) =>
    (await post(server.port, path, body, method)).status;
  expect(await status('/inject', '{}')).toBe(400);
  expect(await status('/elsewhere', review(POD))).toBe(404);
  expect(await status('/inject', '', 'GET')).toBe(405);
  expect(await status('/inject', `"${'x'.repeat(8 * 1024 * 1024)}"`)).toBe(413);
});

test('a certificate of the CA is taken as it is renewed, without a folder', async () => {
  const clock = manualClock();
  const material = new Watch({ ...first, roots: '' });
  const server = new WebhookServer({
    host: '127.0.0.1',
    port: 0,
    certificates: '',
    material: () => material,
    settings: defaultSettings('1'),
    state: () => ({ objects: [], findings: [] }),
    clock,
    log: silentLogger(clock),
  });
  closing.push(() => server.close());
  await server.start();
  expect(clock.pending).toBe(0);
  const before = await post(server.port, '/ready', '', 'GET');
  material.set({ ...second, roots: '' });
  const after = await post(server.port, '/ready', '', 'GET');
  expect([before.status, after.status]).toEqual([200, 200]);
  expect(after.subject).not.toBe(before.subject);
});
