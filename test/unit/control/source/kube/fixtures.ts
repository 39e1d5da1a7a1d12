import {
  KubeError,
  type KubeReader,
  type KubeRequest,
  type KubeStreamEvents,
} from '../../../../../src/control/source/kube/client.ts';

interface Answer {
  readonly request: URL;
  resolve(value: unknown): void;
  reject(error: KubeError): void;
}

/** A watch that an informer has opened. */
export class FakeWatch {
  readonly url: URL;
  readonly events: KubeStreamEvents;
  closed = false;

  constructor(url: URL, events: KubeStreamEvents) {
    this.url = url;
    this.events = events;
  }
  get from(): string | null {
    return this.url.searchParams.get('resourceVersion');
  }
  event(type: string, object: unknown): void {
    this.events.line(JSON.stringify({ type, object }));
  }
  bookmark(resourceVersion: string): void {
    this.event('BOOKMARK', { kind: 'Service', metadata: { resourceVersion, creationTimestamp: null } });
  }
}

/** The two questions that an informer asks, answered by the test. */
export class FakeServer implements KubeReader {
  readonly lists: Answer[] = [];
  readonly watches: FakeWatch[] = [];
  readonly asked: string[] = [];

  get({ path }: KubeRequest): Promise<unknown> {
    this.asked.push(path);
    return new Promise((resolve, reject) => {
      this.lists.push({ request: new URL(path, 'http://kube'), resolve, reject });
    });
  }

  stream(path: string, _accept: string, events: KubeStreamEvents) {
    const watch = new FakeWatch(new URL(path, 'http://kube'), events);
    this.watches.push(watch);
    return {
      close: () => {
        watch.closed = true;
      },
    };
  }

  get watch(): FakeWatch {
    const last = this.watches.at(-1);
    if (last === undefined) throw new Error('no watch was opened');
    return last;
  }

  /** Answers the oldest request that waits. */
  async answer(value: unknown): Promise<void> {
    const next = this.lists.shift();
    if (next === undefined) throw new Error('nothing was asked');
    if (value instanceof KubeError) next.reject(value);
    else next.resolve(value);
    await settled();
  }
}

/** All promises that can go on have gone on. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

export function list(resourceVersion: string, items: readonly unknown[], token = ''): object {
  return { metadata: { resourceVersion, ...(token === '' ? {} : { continue: token }) }, items };
}

export function service(name: string, resourceVersion: string, more: object = {}): object {
  return {
    metadata: { name, namespace: 'shop', resourceVersion, ...more },
    spec: { clusterIP: '10.96.0.1', ports: [{ name: 'http', port: 80 }] },
  };
}
