// Issue 5, section 5: identities and mutual TLS between sidecars, over real sockets, with a control server on files.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { heldClock } from '../../support/clock.ts';
import { call, type Mesh, mesh, until } from '../../support/mesh.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { destinationRule, file, peerAuthentication, service } from '../../support/mesh-yaml.ts';

/** What is served to whoever calls the sidecar's inbound port without a certificate. */
function plainCall(it: Mesh, proxy: string): Promise<string> {
  return call(it.proxy(proxy).inbound.port, '/', { host: 'reviews:9080' }).then(
    ({ status }) => String(status),
    () => 'refused',
  );
}

function requests(it: Mesh, proxy: string, labels: RegExp): string[] {
  const { stats } = it.proxy(proxy).proxy.env;
  return [...stats.series()]
    .filter(({ name }) => name === 'istio_requests_total')
    .map((one) => JSON.stringify(one.labels))
    .filter((one) => labels.test(one));
}

it('sidecars call each other by mutual TLS without being told, and others in plain text', async () => {
  const it = ends(
    await mesh()
      .certificates()
      .yaml('services.yaml', file(service('productpage'), service('reviews'), service('legacy')))
      .sidecar('productpage')
      .sidecar('reviews')
      .sidecar('legacy', 'v1', { plain: true })
      .start(),
  );
  const productpage = it.proxy('productpage-v1');
  expect(await productpage.call('http://reviews:9080/')).toMatchObject({ status: 200, body: 'reviews-v1' });
  expect(await productpage.call('http://legacy:9080/')).toMatchObject({ status: 200, body: 'legacy-v1' });
  // Who has no certificate is let in while nobody forbids it.
  expect(await it.proxy('legacy-v1').call('http://reviews:9080/')).toMatchObject({ status: 200 });
  const both =
    /"source_principal":"spiffe:\/\/cluster.local\/ns\/default\/sa\/productpage".*"destination_principal":"spiffe:\/\/cluster.local\/ns\/default\/sa\/reviews"/;
  expect(requests(it, 'reviews-v1', both)).toHaveLength(1);
  expect(requests(it, 'reviews-v1', /"connection_security_policy":"mutual_tls"/)).toHaveLength(1);
  expect(requests(it, 'reviews-v1', /"connection_security_policy":"none"/)).toHaveLength(1);
  expect(requests(it, 'productpage-v1', both)).toHaveLength(1);
  // What watches for certificates that nobody replaces leaves these out.
  const owns = productpage.proxy.env.tls.views().map(({ own }) => own);
  expect(new Set(owns)).toEqual(new Set([true]));
});

it('STRICT refuses plain text and PERMISSIVE takes both, from the moment that the policy is written', async () => {
  const it = ends(
    await mesh()
      .certificates()
      .yaml('services.yaml', file(service('productpage'), service('reviews')))
      .sidecar('productpage')
      .sidecar('reviews')
      .start(),
  );
  const productpage = it.proxy('productpage-v1');
  expect(await plainCall(it, 'reviews-v1')).toBe('200');
  it.config.write(
    'policy.yaml',
    peerAuthentication('STRICT', 'default', { selector: { matchLabels: { app: 'reviews' } } }),
  );
  await until('plain text refused', async () => (await plainCall(it, 'reviews-v1')) === 'refused');
  expect(await plainCall(it, 'productpage-v1')).toBe('200');
  expect(await productpage.call('http://reviews:9080/')).toMatchObject({ status: 200 });
  // Nearer policies win; the mesh's own holds where there is none.
  it.config.write('policy.yaml', peerAuthentication('STRICT', 'istio-system'));
  await until('plain text refused by all', async () => (await plainCall(it, 'productpage-v1')) === 'refused');
  expect(await plainCall(it, 'reviews-v1')).toBe('refused');
  it.config.write('nearer.yaml', peerAuthentication('DISABLE'));
  await until('plain text taken', async () => (await plainCall(it, 'reviews-v1')) === '200');
  expect(await productpage.call('http://reviews:9080/')).toMatchObject({ status: 200 });
});

it('a client knows a server by its service account, and DestinationRules decide otherwise', async () => {
  const it = ends(
    await mesh()
      .certificates()
      .yaml('services.yaml', file(service('productpage'), service('reviews')))
      .sidecar('productpage')
      .sidecar('reviews')
      .start(),
  );
  const productpage = it.proxy('productpage-v1');
  const tls = { mode: 'ISTIO_MUTUAL', subjectAltNames: ['spiffe://cluster.local/ns/default/sa/somebody-else'] };
  it.config.write('rule.yaml', destinationRule('reviews', { trafficPolicy: { tls } }));
  const wrong = await until('the wrong server refused', async () => {
    const answer = await productpage.call('http://reviews:9080/');
    return answer.status === 503 ? answer : null;
  });
  expect(wrong.body).toContain('no subject alternative name matches');
  it.config.write('strict.yaml', peerAuthentication('STRICT'));
  it.config.write('rule.yaml', destinationRule('reviews', { trafficPolicy: { tls: { mode: 'ISTIO_MUTUAL' } } }));
  await until('the right server', async () => (await productpage.call('http://reviews:9080/')).status === 200);
  it.config.write('rule.yaml', destinationRule('reviews', { trafficPolicy: { tls: { mode: 'DISABLE' } } }));
  await until('plain text refused', async () => (await productpage.call('http://reviews:9080/')).status === 503);
});

it('certificates and roots are replaced under load without a failed request, and last while the CA is away', async () => {
  const clock = heldClock();
  const it = ends(
    await mesh()
      .certificates({ clock, holdMs: 0 })
      .yaml('services.yaml', file(service('productpage'), service('reviews'), peerAuthentication('STRICT')))
      .sidecar('productpage')
      .sidecar('reviews')
      .start(),
  );
  const productpage = it.proxy('productpage-v1');
  const failed: string[] = [];
  let sent = 0;
  let over = false;
  const load = (async () => {
    while (!over) {
      sent++;
      const { status, body } = await productpage.call('http://reviews:9080/');
      if (status !== 200) failed.push(`${status} ${body}`);
    }
  })();
  const served = async (): Promise<void> => {
    const before = sent;
    await until('twenty more requests', () => sent > before + 20);
  };
  const serials = () => it.proxy('reviews-v1').log.lines.filter((line) => line.includes('certificate in force')).length;
  const renewed = async (): Promise<void> => {
    const before = serials();
    clock.release();
    await until('certificates renewed', () => serials() > before);
    await served();
  };
  await served();
  await renewed();
  const stageOf = () => it.log.find(/stage=signing/) !== undefined;
  writeFileSync(join(it.caFolder, 'rotate-root'), '');
  await renewed();
  expect(it.log.find(/stage=announced/)).toBeDefined();
  // Now everybody trusts the new root, and the next certificates are by it.
  await renewed();
  await until('the new root signs', stageOf);
  await renewed();
  await renewed();
  expect(it.log.find(/stage=stable/)).toBeDefined();
  await it.stopControl();
  clock.release();
  await it.proxy('reviews-v1').log.until(/no certificate from the CA/);
  await served();
  over = true;
  await load;
  expect(failed).toEqual([]);
}, 30_000);

it('config and certificates come by TLS to who proves to be this server’s user, and to nobody else', async () => {
  const it = ends(
    await mesh()
      .certificates({ secure: true })
      .yaml('services.yaml', file(service('productpage'), service('reviews')))
      .sidecar('productpage')
      .sidecar('reviews')
      .start(),
  );
  expect(await it.proxy('productpage-v1').call('http://reviews:9080/')).toMatchObject({ status: 200 });
  expect(requests(it, 'reviews-v1', /"connection_security_policy":"mutual_tls"/)).toHaveLength(1);
  // A token is needed but once: who has a certificate shows that.
  writeFileSync(it.tokenPath, 'not-the-one');
  await it.stopControl();
  await it.startControl();
  await it.synced();
  const stranger = it.sidecar({ service: 'reviews', version: 'v2' });
  void stranger.catch(() => {});
  await until('the stranger refused', () =>
    it.proxies.get('reviews-v2')?.log.find(/the token is not the one of this server/),
  );
});

// pains.md row 1
it('a proxy is not ready before it has a certificate, whatever config it has', async () => {
  const it = ends(
    await mesh()
      .certificates()
      .yaml('services.yaml', file(service('reviews')))
      .sidecar('reviews')
      .start(),
  );
  const token = readFileSync(it.tokenPath);
  writeFileSync(it.tokenPath, 'not-the-one');
  const started = it.sidecar({ service: 'reviews', version: 'v2' });
  const waiting = await until('the second proxy', () => it.proxies.get('reviews-v2'));
  await until('its config', () => waiting.proxy.addressOf('http_proxy'));
  await waiting.log.until(/no certificate from the CA: .*the token is not the one of this server/);
  const ready = () => call(waiting.proxy.adminAddress?.port ?? 0, '/ready', { host: 'localhost' });
  expect((await ready()).status).toBe(503);
  writeFileSync(it.tokenPath, token);
  await started;
  expect((await ready()).status).toBe(200);
});

it('the example of config/security does what it says', async () => {
  const example = readFileSync(new URL('../../../config/security/mutual-tls.yaml', import.meta.url), 'utf8');
  const it = ends(
    await mesh()
      .certificates()
      .yaml('services.yaml', file(service('productpage'), service('reviews')))
      .yaml('mutual-tls.yaml', example)
      .sidecar('productpage')
      .sidecar('reviews')
      .start(),
  );
  expect(await it.findings()).toEqual([]);
  expect(await plainCall(it, 'productpage-v1')).toBe('refused');
  expect(await plainCall(it, 'reviews-v1')).toBe('200');
  expect(await it.proxy('reviews-v1').call('http://productpage:9080/')).toMatchObject({ status: 200 });
});
