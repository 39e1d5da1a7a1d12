import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LogRoot } from '../../../../src/base/log.ts';
import { MeshSnapshotSource } from '../../../../src/control/runtime/snapshot-source.ts';
import { resourcesOf } from '../../../../src/control/serve/snapshot.ts';
import { CLUSTER, LISTENER, ROUTE } from '../../../../src/control/serve/type-urls.ts';
import type {
  ChangeScope,
  ConfigObject,
  ConfigSource,
  ConfigState,
} from '../../../../src/control/source/collection.ts';
import { readObjects } from '../../../../src/control/source/files/yaml.ts';
import { decode, Problems } from '../../../../src/xds/proto/codec.ts';
import { Cluster } from '../../../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { bookinfoInstances } from '../../../simulation/bookinfo.ts';
import { bookinfoFiles, type Files, node } from '../../../simulation/traffic.ts';

/** Files without a disk; objects that did not change stay the same values. */
class FakeSource implements ConfigSource {
  state: ConfigState = { objects: [], findings: [] };
  #listener: ((scope: ChangeScope) => void) | null = null;
  #known = new Map<string, ConfigObject>();
  closed = false;

  constructor(files: Files) {
    this.#set(files);
  }
  write(files: Files): void {
    this.#set(files);
    this.#listener?.('config');
  }
  #set(files: Files): void {
    const read = Object.entries(files).map(([name, text]) => readObjects(text, name));
    const objects = read
      .flatMap((one) => one.objects)
      .map((object) => this.#known.get(`${object.resourceVersion} ${object.kind} ${object.name}`) ?? object);
    this.#known = new Map(objects.map((object) => [`${object.resourceVersion} ${object.kind} ${object.name}`, object]));
    this.state = { objects, findings: read.flatMap((one) => one.findings) };
  }
  async start(): Promise<void> {}
  onChange(listener: (scope: ChangeScope) => void): () => void {
    this.#listener = listener;
    return () => {
      this.#listener = null;
    };
  }
  async close(): Promise<void> {
    this.closed = true;
  }
}

const clock = { now: () => 0, wall: () => 0, after: () => ({ cancel() {} }) };
const files = (...tries: readonly string[]): Files => ({
  ...bookinfoFiles(...tries),
  'instances.yaml': bookinfoInstances(),
});
const BROKEN = bookinfoFiles('reviews-90-10')['try/reviews-90-10.yaml']?.replace('weight: 90', 'weight: ninety') ?? '';

let lines: string[];
let source: FakeSource;
let snapshots: MeshSnapshotSource;
let scopes: ChangeScope[];

beforeEach(async () => {
  lines = [];
  scopes = [];
  source = new FakeSource(files('reviews-v1'));
  snapshots = new MeshSnapshotSource(
    source,
    new LogRoot(clock, (line) => lines.push(line.slice(25).trimEnd())).logger(),
  );
  await snapshots.start();
  snapshots.onChange((scope) => scopes.push(scope));
});
afterEach(() => snapshots.close());

describe('MeshSnapshotSource', () => {
  it('serves what the files say', () => {
    const snapshot = snapshots.snapshotFor(node({}));
    expect(resourcesOf(snapshot, ROUTE).has('http_proxy')).toBe(true);
    expect(lines).toEqual([]);
  });

  it('says nothing of a change that changes nothing', () => {
    source.write(files('reviews-v1'));
    expect(scopes).toEqual([]);
  });

  it('tells config from endpoints, and lets endpoints go before the weights that they shift', () => {
    source.write({ ...files('reviews-v1'), 'instances.yaml': bookinfoInstances().replaceAll('31004', '31104') });
    expect(scopes.splice(0)).toEqual(['endpoints']);
    source.write(files('reviews-90-10'));
    expect(scopes.splice(0)).toEqual(['config']);
    source.write({ ...files('reviews-90-10'), 'instances.yaml': bookinfoInstances(['reviews-v3']) });
    expect(scopes.splice(0)).toEqual(['endpoints', 'config']);
  });

  it('logs a finding once, keeps the last good object, and says when it is cured', () => {
    const before = snapshots.snapshotFor(node({}));
    const bad = { ...files(), 'try/reviews-v1.yaml': BROKEN };
    source.write(bad);
    source.write({ ...bad });
    expect(lines.filter((line) => line.includes('ninety'))).toHaveLength(1);
    expect(lines[0]).toMatch(
      /^error +try\/reviews-v1.yaml:18 VirtualService default\/reviews spec.http\[0\].route\[0\].weight: /,
    );
    expect(snapshots.findings.map(({ code }) => code)).toContain('last-good-in-force');
    expect(snapshots.snapshotFor(node({}))).toBe(before);
    lines.length = 0;
    source.write(files('reviews-v1'));
    expect(lines.filter((line) => line.startsWith('info    cured: '))).toHaveLength(2);
    expect(snapshots.findings).toEqual([]);
  });

  it('says once what a proxy does not get', () => {
    const silent = node({ remora: {} });
    snapshots.snapshotFor(silent);
    source.write(files('reviews-90-10'));
    snapshots.snapshotFor(silent);
    expect(lines.filter((line) => line.includes('no listeners'))).toHaveLength(1);
  });

  it('drops what is gone', () => {
    const { 'services.yaml': _gone, ...rest } = files();
    source.write(rest);
    expect([...resourcesOf(snapshots.snapshotFor(node({})), CLUSTER).keys()]).toEqual(['PassthroughCluster']);
  });

  it('closes its source', async () => {
    await snapshots.close();
    expect(source.closed).toBe(true);
  });
});

describe('the mesh’s config', () => {
  const config = (text: string): string =>
    JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'istio' }, data: { mesh: text } });
  const write = (text: string): void => source.write({ ...files('reviews-v1'), 'mesh.yaml': config(text) });
  const timeouts = (): unknown[] =>
    [...resourcesOf(snapshots.snapshotFor(node({})), CLUSTER).values()]
      .filter(({ name }) => name.startsWith('outbound|'))
      .map(({ any }) => decode(Cluster, any.value ?? new Uint8Array(), new Problems())?.connect_timeout);

  it('goes out when it changes, and only what it changes', () => {
    const before = snapshots.snapshotFor(node({}));
    write('connectTimeout: 3s');
    expect(scopes).toContain('config');
    expect(new Set(timeouts())).toEqual(new Set([3000]));
    const after = snapshots.snapshotFor(node({}));
    const versions = (snapshot: typeof before, type: string) =>
      [...resourcesOf(snapshot, type).values()].map(({ name, version }) => `${name} ${version}`);
    expect(versions(after, ROUTE)).toEqual(versions(before, ROUTE));
    expect(versions(after, LISTENER)).toEqual(versions(before, LISTENER));
    expect(versions(after, CLUSTER)).not.toEqual(versions(before, CLUSTER));
    source.write(files('reviews-v1'));
    expect(new Set(timeouts())).toEqual(new Set([10_000]));
  });

  it('stays as it was while it is broken, and says what is wrong as of any object', () => {
    write('connectTimeout: 3s');
    lines = [];
    write('connectTimeout: 5s\nacessLogFile: /dev/stdout');
    expect(lines[0]).toBe(
      'error   mesh.yaml:1 ConfigMap default/istio data.mesh.acessLogFile: unknown field "acessLogFile": did you mean "accessLogFile"?',
    );
    expect(lines[1]).toContain('its last good version stays in force');
    expect(new Set(timeouts())).toEqual(new Set([3000]));
    write('connectTimeout: [');
    expect(lines.some((line) => line.includes('data.mesh: is not YAML'))).toBe(true);
    expect(new Set(timeouts())).toEqual(new Set([3000]));
  });
});
