import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../../../src/base/clock.ts';
import { silentLogger } from '../../../../../src/base/log.ts';
import { seededRandom } from '../../../../../src/base/random.ts';
import { MeshSnapshotSource } from '../../../../../src/control/runtime/snapshot-source.ts';
import { proxyNode } from '../../../../../src/control/serve/node.ts';
import { changedSince, type ProxySnapshot, resourcesOf } from '../../../../../src/control/serve/snapshot.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE } from '../../../../../src/control/serve/type-urls.ts';
import type {
  ChangeListener,
  ChangeScope,
  ConfigObject,
  ConfigSource,
  ConfigState,
  ObjectChange,
} from '../../../../../src/control/source/collection.ts';
import { kubeObject } from '../../../../../src/control/source/kube/object.ts';
import { RESOURCES } from '../../../../../src/control/source/kube/resource.ts';

/** A cluster whose objects the test changes one by one; `tell` is off for one that says nothing of what changed. */
class FakeCluster implements ConfigSource {
  readonly objects = new Map<string, ConfigObject>();
  readonly #tell: boolean;
  #listener: ChangeListener | null = null;

  constructor(tell: boolean) {
    this.#tell = tell;
  }
  get state(): ConfigState {
    return { objects: [...this.objects.values()], findings: [] };
  }
  async start(): Promise<void> {}
  async close(): Promise<void> {}
  onChange(listener: ChangeListener): () => void {
    this.#listener = listener;
    return () => {};
  }
  change(key: string, after: ConfigObject | null): void {
    const before = this.objects.get(key) ?? null;
    if (after === null) this.objects.delete(key);
    else this.objects.set(key, after);
    const changes: ObjectChange[] = [{ before, after }];
    if (this.#tell) this.#listener?.('config', changes);
    else this.#listener?.('config');
  }
}

let version = 0;
function object(kind: string, name: string, rest: object, metadata: object = {}): ConfigObject {
  const resource = RESOURCES.find((one) => one.kind === kind);
  const value = { metadata: { name, namespace: 'shop', resourceVersion: String(++version), ...metadata }, ...rest };
  const made = resource === undefined ? null : kubeObject(value, resource, resource.versions[0] ?? 'v1');
  if (made === null) throw new Error(`no ${kind}`);
  return made;
}

function service(name: string, spec: object = {}): ConfigObject {
  return object('Service', name, { spec: { clusterIP: '10.96.0.1', ports: [{ name: 'http', port: 80 }], ...spec } });
}

interface Instance {
  readonly address: string;
  readonly pod?: string;
  readonly ready?: boolean;
}

function slice(of: string, instances: readonly Instance[], name = `${of}-1`, port = 'http'): ConfigObject {
  const endpoints = instances.map(({ address, pod, ready = true }) => ({
    addresses: [address],
    conditions: { ready },
    nodeName: 'n1',
    ...(pod === undefined ? {} : { targetRef: { kind: 'Pod', name: pod } }),
  }));
  return object(
    'EndpointSlice',
    name,
    { addressType: 'IPv4', endpoints, ports: [{ name: port, port: 8080 }] },
    { labels: { 'kubernetes.io/service-name': of } },
  );
}

function pod(name: string, version = 'v1', phase = 'Running'): ConfigObject {
  return object('Pod', name, { status: { phase, podIP: '10.1.0.1' } }, { labels: { app: 'web', version } });
}

const NODES = ['shop', 'other'].map((namespace) =>
  proxyNode({
    id: `sidecar~10.0.0.7~client.${namespace}~${namespace}.svc.cluster.local`,
    metadata: { NAMESPACE: namespace, REMORA: { httpProxy: '127.0.0.1:15001' } },
  }),
);

async function follow(first: readonly (readonly [string, ConfigObject])[]) {
  const told = new FakeCluster(true);
  const silent = new FakeCluster(false);
  for (const [key, one] of first) {
    told.objects.set(key, one);
    silent.objects.set(key, one);
  }
  const log = silentLogger(systemClock);
  const [ours, theirs] = [new MeshSnapshotSource(told, log), new MeshSnapshotSource(silent, log)];
  await Promise.all([ours.start(), theirs.start()]);
  const scopes: ChangeScope[] = [];
  ours.onChange((scope) => void scopes.push(scope));
  const compare = (): void => {
    for (const node of NODES) expect(contents(ours.snapshotFor(node))).toEqual(contents(theirs.snapshotFor(node)));
    expect([...ours.mesh.workloads].sort(byName)).toEqual([...theirs.mesh.workloads].sort(byName));
    expect(ours.findings).toEqual(theirs.findings);
  };
  compare();
  return {
    ours,
    scopes,
    change(key: string, after: ConfigObject | null) {
      told.change(key, after);
      silent.change(key, after);
      compare();
    },
  };
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : 1;
}

function contents(snapshot: ProxySnapshot): object {
  const of = (url: string) => [...resourcesOf(snapshot, url)].map(([name, { version: v }]) => `${name} ${v}`).sort();
  return { version: snapshot.version, all: [CLUSTER, ENDPOINT, LISTENER, ROUTE].map(of) };
}

const [NODE] = NODES;

describe('changes that are followed', () => {
  it('give what a look at everything gives, whatever changes in whatever order', async () => {
    const random = seededRandom(7);
    const { change } = await follow([
      ['web', service('web')],
      ['api', service('api', { publishNotReadyAddresses: true })],
      ['db', service('db', { ports: [{ name: 'tcp-db', port: 5432 }] })],
    ]);
    const instances = (): Instance[] =>
      Array.from({ length: random.int(4) }, (_, i) => ({
        address: `10.1.0.${random.int(5) + i * 5}`,
        ...(random.next() < 0.8 ? { pod: `pod${random.int(6)}` } : {}),
        ready: random.next() < 0.8,
      }));
    for (let i = 0; i < 400; i++) {
      const of = ['web', 'api', 'db', 'nobody'][random.int(4)] ?? 'web';
      const part = random.int(2);
      const kind = random.next();
      const name = `pod${random.int(6)}`;
      if (kind < 0.5) change(`${of}-${part}`, slice(of, instances(), `${of}-${part}`, of === 'db' ? 'tcp-db' : 'http'));
      else if (kind < 0.6) change(`${of}-${part}`, null);
      else if (kind < 0.9) change(name, pod(name, `v${random.int(3)}`));
      else if (kind < 0.95) change(name, null);
      else change(of, of === 'db' ? service('db', { ports: [{ name: 'tcp-db', port: 5432 }] }) : service(of));
    }
  });

  it('touch the maps of what changed alone, and say which names', async () => {
    const { ours, change, scopes } = await follow([
      ['web', service('web')],
      ['api', service('api')],
      ['web-1', slice('web', [{ address: '10.1.0.1' }])],
      ['api-1', slice('api', [{ address: '10.1.0.2' }])],
    ]);
    if (NODE === undefined) throw new Error('no node');
    const before = ours.snapshotFor(NODE);
    change('web-1', slice('web', [{ address: '10.1.0.1' }, { address: '10.1.0.3' }]));
    const after = ours.snapshotFor(NODE);
    expect(scopes).toEqual(['endpoints']);
    for (const url of [CLUSTER, LISTENER, ROUTE]) expect(resourcesOf(after, url)).toBe(resourcesOf(before, url));
    expect(changedSince(resourcesOf(after, ENDPOINT), resourcesOf(before, ENDPOINT))).toEqual([
      'outbound|80||web.shop.svc.cluster.local',
    ]);
  });

  it('are no change where a pod is otherwise in nothing that a proxy sees', async () => {
    const { ours, change, scopes } = await follow([
      ['web', service('web')],
      ['pod1', pod('pod1')],
      ['web-1', slice('web', [{ address: '10.1.0.1', pod: 'pod1' }])],
    ]);
    if (NODE === undefined) throw new Error('no node');
    const before = ours.snapshotFor(NODE);
    change('pod1', pod('pod1', 'v1', 'Pending'));
    expect(scopes).toEqual([]);
    expect(ours.snapshotFor(NODE)).toBe(before);
    change('pod1', pod('pod1', 'v2'));
    expect(scopes).toEqual(['endpoints']);
  });

  it('are more than endpoints when a service gets its first one, which shifts weights', async () => {
    const { change, scopes } = await follow([['web', service('web')]]);
    change('web-1', slice('web', [{ address: '10.1.0.1' }]));
    expect(scopes).toContain('config');
  });

  it('look at everything where somebody else shares the endpoints', async () => {
    const { change } = await follow([
      ['web', service('web')],
      ['alias', service('alias', { type: 'ExternalName', externalName: 'web.shop.svc.cluster.local', ports: [] })],
      ['web-1', slice('web', [{ address: '10.1.0.1' }])],
    ]);
    change('web-1', slice('web', [{ address: '10.1.0.1' }, { address: '10.1.0.2' }]));
  });

  it('take the place of an instance from its node', async () => {
    const labels = { 'topology.kubernetes.io/region': 'eu', 'topology.kubernetes.io/zone': 'eu-1' };
    const { ours } = await follow([
      ['n1', object('Node', 'n1', {}, { namespace: undefined, labels })],
      ['web', service('web')],
      ['web-1', slice('web', [{ address: '10.1.0.1' }])],
    ]);
    expect(ours.mesh.services.get('web.shop.svc.cluster.local')?.endpoints[0]?.locality).toBe('eu/eu-1');
  });
});
