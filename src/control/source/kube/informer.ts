import type { Clock, TimerHandle } from '../../../base/clock.ts';
import type { Random } from '../../../base/random.ts';
import type { ConfigObject, ObjectChange } from '../collection.ts';
import { isRecord } from '../schema/type.ts';
import { KubeError, type KubeReader, type KubeStream, statusError } from './client.ts';
import { kubeObject, sameObject } from './object.ts';
import { type KubeResource, pathOf } from './resource.ts';

/**
 * `listing` for the first time; `current`: the watch is open; `stale`: what is known is kept, the watch is not open;
 * `absent`: the server does not serve this kind; `forbidden`: it does, but not to us.
 */
export type InformerState = 'listing' | 'current' | 'stale' | 'absent' | 'forbidden';

export interface InformerOptions {
  readonly resource: KubeResource;
  readonly reader: KubeReader;
  readonly clock: Clock;
  readonly random: Random;
  /** '' for all namespaces. */
  readonly namespace?: string;
  /** `metadata.name=x` */
  readonly fieldSelector?: string;
  readonly backoff?: { readonly baseMs: number; readonly maxMs: number };
  /** What is different now, in the order in which it became so. */
  onChange(changes: readonly ObjectChange[]): void;
  /** `error` is what put it into this state, if anything did. */
  onState(state: InformerState, error: KubeError | null): void;
}

/** Objects in one answer of a list. */
const PAGE = 500;
/** The server ends a watch after about this long; then it goes on where it was. */
const WATCH_SECONDS = 300;
/** A server that has sent a bookmark sends one each minute. */
const SILENT_MS = 150_000;
/** How often a kind that is not served is looked for. */
const ABSENT_MS = 5_000;
const BACKOFF = { baseMs: 400, maxMs: 10_000 };
/** A watch that lasted this long was a good one. */
const GOOD_MS = 10_000;

/**
 * All objects of one kind, listed in pages and then watched. A watch that ends goes on at the last version seen, by
 * an object or a bookmark; only when the server has forgotten that version (410) is everything listed again. A watch
 * that says nothing for too long is taken for dead. What is known stays known while the server is away.
 */
export class Informer {
  readonly #options: InformerOptions;
  readonly #objects = new Map<string, ConfigObject>();
  #state: InformerState = 'listing';
  #version: string;
  /** Where a watch would go on; '' when everything is to be listed. */
  #resourceVersion = '';
  #stream: KubeStream | null = null;
  #timer: TimerHandle | null = null;
  #deadline: TimerHandle | null = null;
  #heardAt = 0;
  #openedAt = 0;
  #bookmarks = false;
  #failures = 0;
  #run = 0;
  #closed = false;

  constructor(options: InformerOptions) {
    this.#options = options;
    this.#version = options.resource.versions[0] ?? 'v1';
  }

  get state(): InformerState {
    return this.#state;
  }
  get objects(): ReadonlyMap<string, ConfigObject> {
    return this.#objects;
  }

  start(): void {
    void this.#list();
  }

  close(): void {
    this.#closed = true;
    this.#stop();
  }

  #stop(): void {
    this.#run++;
    this.#timer?.cancel();
    this.#deadline?.cancel();
    this.#stream?.close();
    this.#timer = this.#deadline = this.#stream = null;
  }

  async #list(): Promise<void> {
    this.#stop();
    const run = this.#run;
    try {
      const listed = await this.#pages(run);
      if (listed === null) return;
      this.#replace(listed.objects);
      this.#resourceVersion = listed.resourceVersion;
      this.#enter('current', null);
      this.#watch();
    } catch (error) {
      if (run !== this.#run || this.#closed) return;
      await this.#listFailed(error as KubeError, run);
    }
  }

  /** null when somebody else has begun anew meanwhile. */
  async #pages(run: number): Promise<{ objects: Map<string, ConfigObject>; resourceVersion: string } | null> {
    const { reader, resource } = this.#options;
    const objects = new Map<string, ConfigObject>();
    let token = '';
    for (;;) {
      const query = this.#query({ limit: String(PAGE), ...(token === '' ? {} : { continue: token }) });
      const path = `${pathOf(resource, this.#version, this.#options.namespace)}?${query}`;
      const page = await reader.get({ path, accept: accept(resource, true) });
      if (run !== this.#run || this.#closed) return null;
      const { items, metadata } = isRecord(page) ? page : {};
      // No items at all are null in some lists.
      if (
        !(items === null || Array.isArray(items)) ||
        !isRecord(metadata) ||
        typeof metadata.resourceVersion !== 'string'
      ) {
        throw new KubeError(0, '', `${path}: the answer is not a list`);
      }
      for (const item of items ?? []) {
        const object = kubeObject(item, resource, this.#version);
        if (object !== null) objects.set(keyOf(object), this.#kept(object));
      }
      token = typeof metadata.continue === 'string' ? metadata.continue : '';
      if (token === '') return { objects, resourceVersion: metadata.resourceVersion };
    }
  }

  /** The object that was there before when nothing of it that is kept has changed. */
  #kept(object: ConfigObject): ConfigObject {
    const before = this.#objects.get(keyOf(object));
    if (before === undefined) return object;
    return before.resourceVersion === object.resourceVersion || sameObject(before, object) ? before : object;
  }

  #replace(objects: ReadonlyMap<string, ConfigObject>): void {
    const changes: ObjectChange[] = [];
    for (const [key, before] of this.#objects) {
      if (objects.has(key)) continue;
      this.#objects.delete(key);
      changes.push({ before, after: null });
    }
    for (const [key, after] of objects) {
      const before = this.#objects.get(key) ?? null;
      if (before === after) continue;
      this.#objects.set(key, after);
      changes.push({ before, after });
    }
    if (changes.length > 0) this.#options.onChange(changes);
  }

  async #listFailed(error: KubeError, run: number): Promise<void> {
    if (error.status === 404) {
      const version = await this.#servedVersion();
      if (run !== this.#run || this.#closed) return;
      if (version !== null && version !== this.#version) {
        this.#version = version;
        void this.#list();
        return;
      }
      // The kind is gone, and its objects with it.
      this.#replace(new Map());
      this.#enter('absent', null);
      this.#after(this.#jitter(ABSENT_MS), () => void this.#list());
      return;
    }
    this.#retry(error, () => void this.#list());
  }

  /** Of the versions that we can read, the first that the server has; null none. */
  async #servedVersion(): Promise<string | null> {
    const { reader, resource } = this.#options;
    if (resource.group === '') return null;
    try {
      const group = await reader.get({ path: `/apis/${resource.group}` });
      const served = isRecord(group) && Array.isArray(group.versions) ? group.versions : [];
      const names = new Set(served.map((one: unknown) => (isRecord(one) ? one.version : '')));
      return resource.versions.find((version) => names.has(version)) ?? null;
    } catch {
      return null;
    }
  }

  #watch(): void {
    this.#stop();
    const { reader, resource, clock } = this.#options;
    // Watches that began together shall not end together.
    const seconds = Math.round(WATCH_SECONDS * (0.8 + 0.4 * this.#options.random.next()));
    const query = this.#query({
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: this.#resourceVersion,
      timeoutSeconds: String(seconds),
    });
    const path = `${pathOf(resource, this.#version, this.#options.namespace)}?${query}`;
    this.#bookmarks = false;
    this.#openedAt = this.#heardAt = clock.now();
    this.#stream = reader.stream(path, accept(resource, false), {
      open: () => {
        this.#openedAt = this.#heardAt = clock.now();
        this.#enter('current', null);
      },
      line: (text) => {
        this.#heardAt = clock.now();
        this.#event(text, path);
      },
      end: (error) => this.#ended(error),
    });
    this.#armDeadline(seconds * 1000 + 30_000);
  }

  #armDeadline(longest: number): void {
    const { clock } = this.#options;
    const limit = (): number => (this.#bookmarks ? Math.min(SILENT_MS, longest) : longest);
    const check = (): void => {
      const quiet = clock.now() - this.#heardAt;
      if (quiet < limit()) {
        this.#deadline = clock.after(Math.max(1000, limit() - quiet), check);
        return;
      }
      const message = `${this.#options.resource.plural}: nothing heard for ${Math.round(quiet / 1000)} s`;
      this.#ended(new KubeError(0, '', message));
    };
    this.#deadline = clock.after(Math.min(SILENT_MS, longest), check);
  }

  #event(text: string, path: string): void {
    const { resource } = this.#options;
    let event: unknown;
    try {
      event = JSON.parse(text);
    } catch {
      this.#ended(new KubeError(0, '', `${path}: an event that is no JSON`));
      return;
    }
    const { type, object: value } = isRecord(event) ? event : {};
    if (type === 'ERROR') {
      const code = isRecord(value) && typeof value.code === 'number' ? value.code : 0;
      this.#ended(statusError(code, path, value));
      return;
    }
    const object = kubeObject(value, resource, this.#version);
    if (object === null) {
      if (type === 'BOOKMARK') this.#bookmark(value);
      return;
    }
    this.#resourceVersion = object.resourceVersion;
    if (type === 'BOOKMARK') this.#bookmarks = true;
    else if (type === 'DELETED') this.#gone(object);
    else if (type === 'ADDED' || type === 'MODIFIED') this.#here(object);
  }

  #bookmark(value: unknown): void {
    this.#bookmarks = true;
    const version = isRecord(value) && isRecord(value.metadata) ? value.metadata.resourceVersion : undefined;
    if (typeof version === 'string') this.#resourceVersion = version;
  }

  #here(object: ConfigObject): void {
    const key = keyOf(object);
    const before = this.#objects.get(key) ?? null;
    if (before !== null && sameObject(before, object)) return;
    this.#objects.set(key, object);
    this.#options.onChange([{ before, after: object }]);
  }

  #gone(object: ConfigObject): void {
    const before = this.#objects.get(keyOf(object));
    if (before === undefined) return;
    this.#objects.delete(keyOf(object));
    this.#options.onChange([{ before, after: null }]);
  }

  #ended(error: KubeError | null): void {
    if (this.#closed || this.#stream === null) return;
    const good = this.#options.clock.now() - this.#openedAt >= GOOD_MS;
    this.#stop();
    if (good) this.#failures = 0;
    if (error === null && good) {
      this.#watch();
      return;
    }
    // Expired: the server no longer knows what happened since. NotFound: the kind is gone, or its version.
    const anew = error?.status === 410 || error?.status === 404;
    if (anew) this.#resourceVersion = '';
    if (anew && this.#failures === 0) {
      this.#failures = 1;
      void this.#list();
      return;
    }
    this.#retry(error, () => {
      if (this.#resourceVersion === '') void this.#list();
      else this.#watch();
    });
  }

  #retry(error: KubeError | null, again: () => void): void {
    const { baseMs, maxMs } = this.#options.backoff ?? BACKOFF;
    const wait = this.#jitter(Math.min(maxMs, baseMs * 2 ** Math.min(20, this.#failures)));
    this.#failures++;
    if (error?.status === 403 || error?.status === 401) this.#enter('forbidden', error);
    else if (error !== null && error.status !== 410) {
      this.#enter(this.#state === 'listing' ? 'listing' : 'stale', error);
    }
    this.#after(Math.max(wait, (error?.retryAfter ?? 0) * 1000), again);
  }

  /** Up to that long, at least half of it. */
  #jitter(ms: number): number {
    return ms * (0.5 + 0.5 * this.#options.random.next());
  }

  #after(ms: number, run: () => void): void {
    this.#timer = this.#options.clock.after(ms, () => {
      this.#timer = null;
      if (!this.#closed) run();
    });
  }

  #enter(state: InformerState, error: KubeError | null): void {
    if (state === this.#state && error === null) return;
    this.#state = state;
    this.#options.onState(state, error);
  }

  #query(more: Readonly<Record<string, string>>): URLSearchParams {
    const { fieldSelector } = this.#options;
    return new URLSearchParams({ ...more, ...(fieldSelector === undefined ? {} : { fieldSelector }) });
  }
}

function keyOf(object: ConfigObject): string {
  return `${object.namespace}/${object.name}`;
}

function accept({ metadataOnly }: KubeResource, asList: boolean): string {
  if (!metadataOnly) return 'application/json';
  return `application/json;as=PartialObjectMetadata${asList ? 'List' : ''};g=meta.k8s.io;v=v1,application/json`;
}
