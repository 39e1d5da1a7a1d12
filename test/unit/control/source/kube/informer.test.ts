import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../../../src/base/random.ts';
import type { ObjectChange } from '../../../../../src/control/source/collection.ts';
import { KubeError } from '../../../../../src/control/source/kube/client.ts';
import { Informer, type InformerState } from '../../../../../src/control/source/kube/informer.ts';
import { RESOURCES } from '../../../../../src/control/source/kube/resource.ts';
import { manualClock } from '../../../../support/clock.ts';
import { FakeServer, list, service, settled } from './fixtures.ts';

function setUp(kind = 'Service') {
  const server = new FakeServer();
  const clock = manualClock();
  const changes: string[] = [];
  const states: InformerState[] = [];
  const resource = RESOURCES.find((one) => one.kind === kind);
  if (resource === undefined) throw new Error(kind);
  const said = ({ before, after }: ObjectChange): string =>
    before === null ? `+${after?.name}` : after === null ? `-${before.name}` : `~${after.name}`;
  const informer = new Informer({
    resource,
    reader: server,
    clock,
    random: seededRandom(1),
    onChange: (list) => void changes.push(...list.map(said)),
    onState: (state) => void states.push(state),
  });
  informer.start();
  return { server, clock, changes, states, informer };
}

describe('an informer', () => {
  it('lists in pages and watches from the list on', async () => {
    const { server, changes, informer } = setUp();
    expect(server.lists[0]?.request.searchParams.get('limit')).toBe('500');
    await server.answer(list('7', [service('a', '5')], 'more'));
    expect(server.lists[0]?.request.searchParams.get('continue')).toBe('more');
    await server.answer(list('7', [service('b', '6')]));
    expect(changes).toEqual(['+a', '+b']);
    expect(server.watch.from).toBe('7');
    expect(server.watch.url.searchParams.get('allowWatchBookmarks')).toBe('true');
    server.watch.events.open();
    server.watch.event('ADDED', service('c', '8'));
    server.watch.event('DELETED', service('a', '9'));
    expect(changes.slice(2)).toEqual(['+c', '-a']);
    expect([...informer.objects.keys()]).toEqual(['shop/b', 'shop/c']);
    expect(informer.state).toBe('current');
  });

  it('tells nothing when nothing that is kept has changed', async () => {
    const { server, changes } = setUp();
    await server.answer(list('7', [service('a', '5')]));
    server.watch.event('MODIFIED', service('a', '8', { managedFields: [{ manager: 'x' }] }));
    expect(changes).toEqual(['+a']);
    server.watch.event('MODIFIED', service('a', '9', { labels: { app: 'a' } }));
    expect(changes).toEqual(['+a', '~a']);
  });

  it('resumes at the last bookmark when the server ends the watch', async () => {
    const { server, clock } = setUp();
    await server.answer(list('7', []));
    server.watch.events.open();
    server.watch.bookmark('42');
    clock.advance(60_000);
    server.watch.events.end(null);
    expect(server.watches).toHaveLength(2);
    expect(server.watch.from).toBe('42');
    expect(server.asked).toHaveLength(1);
  });

  it('lists again after 410 Gone, and tells what came and went meanwhile', async () => {
    const { server, changes } = setUp();
    await server.answer(list('7', [service('a', '5'), service('b', '6')]));
    server.watch.events.open();
    server.watch.event('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' });
    expect(server.watch.closed).toBe(true);
    await server.answer(list('90', [service('b', '6'), service('c', '80')]));
    expect(changes).toEqual(['+a', '+b', '-a', '+c']);
    expect(server.watch.from).toBe('90');
  });

  it('does not list again without end when the server keeps saying 410', async () => {
    const { server, clock } = setUp();
    await server.answer(list('7', []));
    server.watch.event('ERROR', { code: 410 });
    await server.answer(list('8', []));
    server.watch.event('ERROR', { code: 410 });
    await settled();
    expect(server.lists).toHaveLength(0);
    clock.advance(10_000);
    expect(server.lists).toHaveLength(1);
  });

  it('keeps what it knows while the server is away, and waits longer each time', async () => {
    const { server, clock, informer, states, changes } = setUp();
    await server.answer(list('7', [service('a', '5')]));
    server.watch.events.open();
    clock.advance(20_000);
    const waits: number[] = [];
    for (let i = 0; i < 8; i++) {
      server.watch.events.end(new KubeError(0, '', 'connection refused'));
      const before = server.watches.length;
      const from = clock.now();
      while (server.watches.length === before) clock.advance(50);
      waits.push(clock.now() - from);
    }
    expect(informer.state).toBe('stale');
    expect(states.at(-1)).toBe('stale');
    expect(changes).toEqual(['+a']);
    expect(waits[0]).toBeLessThanOrEqual(400);
    expect(Math.max(...waits)).toBeGreaterThan(4000);
    expect(Math.max(...waits)).toBeLessThanOrEqual(10_050);
    expect(server.watch.from).toBe('7');
    server.watch.events.open();
    expect(informer.state).toBe('current');
  });

  it('takes a watch for dead that says nothing, sooner where bookmarks come', async () => {
    const { server, clock } = setUp();
    await server.answer(list('7', []));
    server.watch.events.open();
    server.watch.bookmark('8');
    clock.advance(149_000);
    expect(server.watches).toHaveLength(1);
    clock.advance(12_000);
    expect(server.watches).toHaveLength(2);
    expect(server.watches[0]?.closed).toBe(true);
    expect(server.watch.from).toBe('8');
    server.watch.events.open();
    clock.advance(250_000);
    expect(server.watches).toHaveLength(2);
    clock.advance(150_000);
    expect(server.watches.length).toBeGreaterThan(2);
  });

  it('waits as long as the server asks', async () => {
    const { server, clock } = setUp();
    await server.answer(new KubeError(429, 'TooManyRequests', 'slow down', 30));
    clock.advance(29_000);
    expect(server.lists).toHaveLength(0);
    clock.advance(1_000);
    expect(server.lists).toHaveLength(1);
  });

  it('does without a kind that is not served, and notices when it comes', async () => {
    const { server, clock, informer, changes } = setUp('VirtualService');
    await server.answer(new KubeError(404, 'NotFound', 'the server could not find the requested resource'));
    await server.answer(new KubeError(404, 'NotFound', 'no such group'));
    expect(informer.state).toBe('absent');
    clock.advance(5_000);
    await server.answer(list('3', [service('reviews', '2')]));
    expect(informer.state).toBe('current');
    expect(changes).toEqual(['+reviews']);
  });

  it('reads an older version where that is what the server has', async () => {
    const { server, informer } = setUp('VirtualService');
    await server.answer(new KubeError(404, 'NotFound', 'not found'));
    await server.answer({ versions: [{ version: 'v1alpha3' }, { version: 'v1beta1' }] });
    expect(server.lists[0]?.request.pathname).toBe('/apis/networking.istio.io/v1beta1/virtualservices');
    await server.answer(list('3', [service('reviews', '2')]));
    expect(informer.objects.get('shop/reviews')?.apiVersion).toBe('networking.istio.io/v1beta1');
  });

  it('forgets the objects of a kind that is taken away', async () => {
    const { server, informer, changes } = setUp('VirtualService');
    await server.answer(list('3', [service('reviews', '2')]));
    server.watch.events.open();
    server.watch.events.end(new KubeError(404, 'NotFound', 'gone'));
    await settled();
    await server.answer(new KubeError(404, 'NotFound', 'gone'));
    await server.answer({ versions: [] });
    expect(informer.state).toBe('absent');
    expect(changes).toEqual(['+reviews', '-reviews']);
  });

  it('keeps of an object what is read of it, and not what is secret or large', async () => {
    const { server, informer } = setUp('Pod');
    const pod = {
      metadata: {
        name: 'web-1',
        namespace: 'shop',
        resourceVersion: '5',
        creationTimestamp: '2026-01-01T00:00:00Z',
        labels: { app: 'web' },
        annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', 'sidecar.istio.io/inject': 'true' },
        managedFields: [{}],
      },
      spec: {
        serviceAccountName: 'web',
        nodeName: 'n1',
        containers: [{ name: 'a', env: [{ name: 'PASSWORD', value: 'x' }], ports: [{ containerPort: 80 }] }],
      },
      status: { phase: 'Running', podIP: '10.0.0.1', conditions: [{}] },
    };
    await server.answer(list('7', [pod]));
    const object = informer.objects.get('shop/web-1');
    expect(object?.createdAt).toBe(Date.UTC(2026, 0, 1));
    expect(object?.annotations).toEqual({ 'sidecar.istio.io/inject': 'true' });
    expect(object?.raw).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      spec: { serviceAccountName: 'web', nodeName: 'n1', containers: [{ ports: [{ containerPort: 80 }] }] },
      status: { phase: 'Running', podIP: '10.0.0.1' },
    });
  });

  it('is silent once it is closed', async () => {
    const { server, informer, changes, clock } = setUp();
    await server.answer(list('7', []));
    informer.close();
    expect(server.watch.closed).toBe(true);
    expect(clock.pending).toBe(0);
    expect(changes).toEqual([]);
  });
});
