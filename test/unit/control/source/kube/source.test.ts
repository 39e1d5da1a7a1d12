import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../../../src/base/log.ts';
import { seededRandom } from '../../../../../src/base/random.ts';
import type { ChangeScope, ObjectChange } from '../../../../../src/control/source/collection.ts';
import { KubeError } from '../../../../../src/control/source/kube/client.ts';
import { RESOURCES } from '../../../../../src/control/source/kube/resource.ts';
import { KubeSource } from '../../../../../src/control/source/kube/source.ts';
import { manualClock } from '../../../../support/clock.ts';
import { FakeServer, type FakeWatch, list, service, settled } from './fixtures.ts';

async function setUp(answers: Readonly<Record<string, unknown>> = {}) {
  const server = new FakeServer();
  const clock = manualClock();
  const source = new KubeSource({ reader: server, clock, random: seededRandom(1), log: silentLogger(clock) });
  const told: { scope: ChangeScope; changes: readonly ObjectChange[] | undefined }[] = [];
  source.onChange((scope, changes) => void told.push({ scope, changes }));
  let started = false;
  const start = source.start().then(() => {
    started = true;
  });
  expect(server.lists).toHaveLength(RESOURCES.length);
  while (server.lists.length > 0) {
    const plural = server.lists[0]?.request.pathname.split('/').at(-1) ?? '';
    expect(started).toBe(false);
    await server.answer(answers[plural] ?? list('1', []));
  }
  await start;
  const watch = (plural: string): FakeWatch => {
    const found = server.watches.findLast(({ url }) => url.pathname.endsWith(`/${plural}`));
    if (found === undefined) throw new Error(plural);
    return found;
  };
  return { server, clock, source, told, watch };
}

const gateway = (resourceVersion: string, ...names: readonly string[]) => ({
  metadata: { name: 'gw', namespace: 'edge', resourceVersion },
  spec: { servers: names.map((credentialName) => ({ tls: { mode: 'SIMPLE', credentialName } })) },
});

describe('a cluster as a source', () => {
  it('has everything once it has started, and tells what changed after', async () => {
    const { source, told, watch } = await setUp({ services: list('1', [service('web', '1')]) });
    expect(source.state.objects.map(({ name }) => name)).toEqual(['web']);
    expect(source.health).toEqual({ synced: true, stale: [], staleMs: 0 });
    watch('services').event('ADDED', service('api', '2'));
    await settled();
    expect(told.at(-1)).toMatchObject({ scope: 'config', changes: [{ before: null, after: { name: 'api' } }] });
    watch('endpointslices').event('ADDED', { metadata: { name: 'a', namespace: 'shop', resourceVersion: '3' } });
    watch('endpointslices').event('ADDED', { metadata: { name: 'b', namespace: 'shop', resourceVersion: '4' } });
    await settled();
    // One read of the socket, one change.
    expect(told).toHaveLength(2);
    expect(told[1]?.scope).toBe('endpoints');
    expect(told[1]?.changes).toHaveLength(2);
    expect(source.state.objects).toHaveLength(4);
    await source.close();
  });

  it('says what may not be read, and takes it back', async () => {
    const { source, told, server, clock } = await setUp({
      pods: new KubeError(403, 'Forbidden', '/api/v1/pods: pods is forbidden: User "x" cannot list'),
    });
    await settled();
    expect(source.state.findings).toMatchObject([{ code: 'forbidden', severity: 'error' }]);
    expect(source.state.findings[0]?.message).toContain('pods is forbidden');
    clock.advance(400);
    await server.answer(list('1', []));
    await settled();
    expect(source.state.findings).toEqual([]);
    expect(told.at(-1)).toEqual({ scope: 'config', changes: undefined });
    await source.close();
  });

  it('keeps everything, and says for how long it may be old, while the server is away', async () => {
    const { source, watch, clock, told } = await setUp({ services: list('1', [service('web', '1')]) });
    clock.advance(60_000);
    watch('services').events.end(new KubeError(0, '', 'connection lost'));
    clock.advance(100);
    await settled();
    expect(source.health).toEqual({ synced: true, stale: ['services'], staleMs: 60_100 });
    expect(source.state.objects).toHaveLength(1);
    expect(told).toEqual([]);
    await source.close();
  });

  it('asks for the Secrets that Gateways name, and for no other', async () => {
    const data = { 'tls.crt': 'QQ==', 'tls.key': 'QQ==', password: 'QQ==' };
    const { source, server, watch } = await setUp({
      gateways: list('1', [gateway('1', 'cert')]),
      secrets: list('5', [{ metadata: { name: 'cert', namespace: 'edge', resourceVersion: '4' }, data }]),
    });
    const asked = server.asked.filter((path) => path.includes('secrets')).map((path) => new URL(path, 'http://kube'));
    expect(asked.map((url) => `${url.pathname} ${url.searchParams.get('fieldSelector')}`)).toEqual([
      '/api/v1/namespaces/edge/secrets metadata.name=cert',
    ]);
    const secret = source.state.objects.find(({ kind }) => kind === 'Secret');
    expect(Object.keys(secret?.raw.data as object)).toEqual(['tls.crt', 'tls.key']);
    const followed = watch('secrets');
    watch('gateways').event('MODIFIED', gateway('6'));
    await settled();
    expect(followed.closed).toBe(true);
    expect(source.state.objects.some(({ kind }) => kind === 'Secret')).toBe(false);
    await source.close();
  });

  it('asks where the pods of a Gateway are, before and after it has started', async () => {
    const pod = (name: string, namespace: string, app: string) => ({
      metadata: { name, namespace, labels: { istio: app }, resourceVersion: '2' },
      spec: {},
    });
    const of = { ...gateway('1', 'cert'), spec: { ...gateway('1', 'cert').spec, selector: { istio: 'edge' } } };
    const { source, server, watch } = await setUp({
      gateways: list('1', [of]),
      pods: list('1', [pod('a', 'system', 'edge'), pod('b', 'shop', 'web')]),
    });
    const asked = (): string[] =>
      server.asked.flatMap((path) => /namespaces\/(\w+)\/secrets/.exec(path)?.[1] ?? []).toSorted();
    expect([...new Set(asked())]).toEqual(['system']);
    watch('pods').event('ADDED', pod('c', 'shop', 'other'));
    watch('pods').event('ADDED', pod('d', 'outer', 'edge'));
    await settled();
    expect([...new Set(asked())]).toEqual(['outer', 'system']);
    await source.close();
  });

  it('says which right is missing where a certificate may not be read, and how it is given', async () => {
    const { source } = await setUp({
      gateways: list('1', [gateway('1', 'cert')]),
      secrets: new KubeError(403, 'Forbidden', 'secrets is forbidden: User "x" cannot list'),
    });
    await settled();
    const [finding] = source.state.findings;
    expect(finding).toMatchObject({ code: 'forbidden', severity: 'error', object: 'Secret edge/cert' });
    expect(finding?.message).toBe(
      'may not be read by the control server, and servers of Gateways that name it are not served: a Role in edge that grants get, list and watch of secrets comes with `remora install --part ingress --set gatewayNamespace=edge` (secrets is forbidden: User "x" cannot list)',
    );
    await source.close();
  });

  it('reads the ConfigMap of the mesh’s config, and no other', async () => {
    const server = new FakeServer();
    const clock = manualClock();
    const source = new KubeSource({
      reader: server,
      clock,
      random: seededRandom(1),
      log: silentLogger(clock),
      meshConfigNamespace: 'mesh',
    });
    const start = source.start();
    const asked = server.asked
      .filter((path) => path.includes('configmaps'))
      .map((path) => new URL(path, 'http://kube'));
    expect(asked.map((url) => `${url.pathname} ${url.searchParams.get('fieldSelector')}`)).toEqual([
      '/api/v1/namespaces/mesh/configmaps metadata.name=istio',
    ]);
    while (server.lists.length > 0) {
      const own = server.lists[0]?.request.pathname.endsWith('/configmaps') ?? false;
      const metadata = { name: 'istio', namespace: 'mesh', resourceVersion: '4' };
      await server.answer(list('5', own ? [{ metadata, data: { mesh: 'connectTimeout: 1s', other: 'secret' } }] : []));
    }
    await start;
    expect(source.state.objects.map(({ kind, raw }) => [kind, raw.data])).toEqual([
      ['ConfigMap', { mesh: 'connectTimeout: 1s' }],
    ]);
    await source.close();
  });

  it('reads Endpoints only where no EndpointSlices are served', async () => {
    const { source, server } = await setUp();
    expect(server.asked.some((path) => path.startsWith('/api/v1/endpoints'))).toBe(false);
    await source.close();
  });

  it('ends all its watches and timers when it is closed', async () => {
    const { source, server, clock } = await setUp();
    await source.close();
    expect(server.watches.every(({ closed }) => closed)).toBe(true);
    expect(clock.pending).toBe(0);
  });
});
