import type { Clock, TimerHandle } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Applied } from '../serve/clients.ts';
import { type ConfigObject, type Finding, objectKey, objectName } from '../source/collection.ts';
import { KubeError, type KubeRequest } from '../source/kube/client.ts';
import { pathOf, RESOURCES } from '../source/kube/resource.ts';
import { isRecord } from '../source/schema/type.ts';
import { type Outcome, policyStatusWith, statusWith } from './conditions.ts';

export interface StatusWriterOptions {
  readonly api: { send(request: KubeRequest): Promise<unknown> };
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether this replica may write now: the leader alone does. */
  leading(): boolean;
  /** Objects of the cluster as they were read last. */
  objects(): readonly ConfigObject[];
  /** Everything that is wrong at present. */
  findings(): readonly Finding[];
  /** Counts up whenever what people wrote has changed and is in force. */
  epoch(): number;
  /** How many of the connected proxies run by the config of this epoch or a later one. */
  appliedSince(epoch: number): Applied;
  /** Time between looks at what has changed; default 1 s. */
  readonly everyMs?: number;
  /** Writes a second, at most; default 20. */
  readonly rate?: number;
}

/** Kinds whose status is ours to write. */
const KINDS: ReadonlySet<string> = new Set([
  'VirtualService',
  'DestinationRule',
  'Gateway',
  'ServiceEntry',
  'Sidecar',
  'PeerAuthentication',
  'ResiliencePolicy',
]);

/** One version of an object, and how far it has come. */
interface Entry {
  object: ConfigObject;
  epoch: number;
  /** What was written or found in place last; '' nothing yet. */
  said: string;
  /** Every proxy has had this version. */
  complete: boolean;
}

/**
 * Writes into each object how many proxies run by it (pains row 41): `applied by n of m proxies`. Only the leader writes,
 * only what is new, and at a bounded rate. Each write names the version that it has read, so that one that comes late,
 * of a replica that leads no more, is refused by the API server.
 */
export class StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #due = new Map<string, Outcome>();
  #timer: TimerHandle | null = null;
  #objects: readonly ConfigObject[] | null = null;
  #wasLeading = false;
  #writing: Promise<void> | null = null;
  #trouble = '';
  #closed = false;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, everyMs = 1000 } = this.#options;
    this.#timer = clock.after(everyMs, () => {
      this.#look();
      if (!this.#closed) this.start();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#due.clear();
    await this.#writing;
  }

  #look(): void {
    this.#follow();
    const leading = this.#options.leading();
    // What the leader before wrote is not known here: it is read before anything is written.
    if (leading && !this.#wasLeading) for (const entry of this.#entries.values()) entry.said = '';
    this.#wasLeading = leading;
    if (!leading) {
      this.#due.clear();
      return;
    }
    const errors = new Map<string, Finding>();
    for (const finding of this.#options.findings()) {
      if (finding.severity === 'error' && !errors.has(finding.object)) errors.set(finding.object, finding);
    }
    const counts = new Map<number, Applied>();
    for (const [key, entry] of this.#entries) this.#judge(key, entry, errors, counts);
    if (this.#due.size > 0) this.#writing ??= this.#write().finally(() => (this.#writing = null));
  }

  /** Which version of each object there is, and since when. */
  #follow(): void {
    const objects = this.#options.objects();
    if (objects === this.#objects) return;
    this.#objects = objects;
    const epoch = this.#options.epoch();
    const seen = new Set<string>();
    for (const object of objects) {
      if (!KINDS.has(object.kind)) continue;
      const key = objectKey(object);
      seen.add(key);
      const entry = this.#entries.get(key);
      if (entry?.object === object) continue;
      if (entry !== undefined && entry.object.generation === object.generation) entry.object = object;
      else this.#entries.set(key, { object, epoch, said: '', complete: false });
    }
    for (const key of this.#entries.keys()) if (!seen.has(key)) this.#entries.delete(key);
  }

  #judge(key: string, entry: Entry, errors: ReadonlyMap<string, Finding>, counts: Map<number, Applied>): void {
    const error = errors.get(objectName(entry.object)) ?? null;
    let applied = counts.get(entry.epoch);
    if (applied === undefined) {
      applied = this.#options.appliedSince(entry.epoch);
      counts.set(entry.epoch, applied);
    }
    const done = error === null && applied.applied === applied.of;
    // All had it: who comes later gets it with everything else.
    if (entry.complete && error === null) return;
    entry.complete = done;
    const said = `${error?.message ?? ''} ${applied.applied}/${applied.rejected}/${applied.of}`;
    if (said === entry.said) return;
    this.#due.set(key, { generation: entry.object.generation ?? 0, error, applied });
    entry.said = said;
  }

  async #write(): Promise<void> {
    const { clock, rate = 20 } = this.#options;
    for (const [key, outcome] of this.#due) {
      this.#due.delete(key);
      const entry = this.#entries.get(key);
      if (entry === undefined || this.#closed || !this.#options.leading()) continue;
      if (!(await this.#writeOne(entry.object, outcome))) {
        entry.said = '';
        entry.complete = false;
      }
      await new Promise<void>((resolve) => clock.after(1000 / rate, resolve));
    }
  }

  /** False: it is to be tried again. */
  async #writeOne(object: ConfigObject, outcome: Outcome): Promise<boolean> {
    const { api, clock, log } = this.#options;
    const path = statusPath(object);
    if (path === null) return true;
    try {
      const present = await api.send({ path });
      const { metadata } = isRecord(present) ? present : {};
      const { resourceVersion, generation } = isRecord(metadata) ? metadata : {};
      // A newer one is on its way to us.
      if (generation !== object.generation) return true;
      const now = new Date(clock.wall()).toISOString().replace(/\.\d+Z$/, 'Z');
      const status = (object.kind === 'ResiliencePolicy' ? policyStatusWith : statusWith)(present, outcome, now);
      if (status === null || !this.#options.leading()) return true;
      const body = { metadata: { resourceVersion }, status };
      await api.send({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' });
      this.#trouble = '';
      return true;
    } catch (error) {
      const code = error instanceof KubeError ? error.status : 0;
      if (code === 404) return true;
      const text = messageOf(error);
      // Conflict: somebody else was faster, and the next look sees it.
      if (code !== 409 && text !== this.#trouble) {
        this.#trouble = text;
        log.warn(`status of ${objectName(object)} not written: ${text}`);
      }
      return false;
    }
  }
}

function statusPath(object: ConfigObject): string | null {
  const resource = RESOURCES.find(({ kind }) => kind === object.kind);
  if (resource === undefined) return null;
  const version = object.apiVersion.slice(object.apiVersion.indexOf('/') + 1);
  return `${pathOf(resource, version, object.namespace)}/${encodeURIComponent(object.name)}/status`;
}
