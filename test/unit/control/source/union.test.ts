import { describe, expect, it } from 'vitest';
import type {
  ChangeListener,
  ConfigObject,
  ConfigSource,
  ConfigState,
  ObjectChange,
} from '../../../../src/control/source/collection.ts';
import { SourceUnion } from '../../../../src/control/source/union.ts';
import { objectOf } from '../support.ts';

class FakeSource implements ConfigSource {
  state: ConfigState = { objects: [], findings: [] };
  started = false;
  closed = false;
  tell: ChangeListener = () => {};

  constructor(...objects: readonly ConfigObject[]) {
    this.state = { objects, findings: [] };
  }
  async start(): Promise<void> {
    this.started = true;
  }
  async close(): Promise<void> {
    this.closed = true;
  }
  onChange(listener: ChangeListener): () => void {
    this.tell = listener;
    return () => {
      this.tell = () => {};
    };
  }
}

function pod(name: string): ConfigObject {
  return objectOf(`apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, namespace: shop}\n`);
}

describe('several sources as one', () => {
  it('have all objects, the first source first, and start and close together', async () => {
    const [files, cluster] = [new FakeSource(pod('a')), new FakeSource(pod('b'))];
    const union = new SourceUnion([files, cluster]);
    await union.start();
    expect(union.state.objects.map(({ name }) => name)).toEqual(['a', 'b']);
    files.state = { objects: [], findings: [] };
    union.onChange(() => {});
    files.tell('config');
    expect(union.state.objects.map(({ name }) => name)).toEqual(['b']);
    await union.close();
    expect([files.started, cluster.started, files.closed, cluster.closed]).toEqual([true, true, true, true]);
  });

  it('pass on what changed, but for an object that another source has too', () => {
    const [files, cluster] = [new FakeSource(pod('a')), new FakeSource()];
    const told: (readonly ObjectChange[] | undefined)[] = [];
    const stop = new SourceUnion([files, cluster]).onChange((_scope, changes) => void told.push(changes));
    const change = { before: null, after: pod('b') };
    cluster.tell('endpoints', [change]);
    cluster.tell('endpoints', [{ before: null, after: pod('a') }]);
    files.tell('endpoints');
    expect(told).toEqual([[change], undefined, undefined]);
    stop();
    cluster.tell('endpoints', [change]);
    expect(told).toHaveLength(3);
  });
});
