import type { Clock, TimerHandle } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { Watch } from '../../base/watch.ts';
import type { NameEntry, NameTable } from '../../model/name-table.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { Node } from '../proto/gen/envoy/config/core/v3.ts';
import { AdsClient, type AdsStatus } from './ads.ts';
import type { BackoffOptions } from './backoff.ts';
import { LastGoodFile } from './last-good.ts';
import type { ResourceDecoder, ResourceUpdate } from './resource-decoder.ts';
import { ResourceStore, type StoreOptions, type Warming } from './resource-store.ts';
import { WILDCARD } from './subscription.ts';
import type { AdsMode, AdsTransport } from './transport.ts';
import { CLUSTER, LISTENER, NAME_TABLE, shortName, VIRTUAL_HOST } from './type-urls.ts';

export interface DynamicConfigOptions {
  readonly transports: readonly AdsTransport[];
  readonly mode: AdsMode;
  readonly node: Node;
  readonly decoders: readonly ResourceDecoder[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly backoff?: BackoffOptions;
  /** What the bootstrap has of its own. */
  readonly statics?: Snapshot;
  /** Which of listeners and clusters the bootstrap says come over ADS; default both. */
  readonly dynamic?: { readonly listeners: boolean; readonly clusters: boolean };
  /** The names of the mesh are wanted too, for a DNS proxy; `decoders` has their type. */
  readonly names?: boolean;
  readonly secretsOf?: NonNullable<StoreOptions['secretsOf']>;
  readonly limits?: Pick<StoreOptions, 'warmingMs' | 'missingClusterMs' | 'emptiedMs' | 'retainMs'>;
  /** Where the last good config is kept; none by default. */
  readonly lastGood?: LastGoodPlace;
  /** How long a start waits for the server before it goes on with the last good config; 1 s. */
  readonly serverGraceMs?: number;
}

export interface LastGoodPlace {
  /** The file; its directory must exist. */
  readonly path: string;
  /** How long ago it may have been in force, for a start; 0: any time. */
  readonly ttlMs: number;
}

/** Who asked for virtual hosts, as `<route configuration>/<host>`. */
export interface HostListener {
  /** The server does not have them. */
  absent(names: readonly string[]): void;
  /** They are in force again from the last good config. */
  restored(names: readonly string[]): void;
}

/** Where the config in force came from, and how old it is. */
export interface DynamicConfigStatus {
  readonly source: 'none' | 'server' | 'disk';
  /** Wall time of the last accepted response, or of the save that was loaded; 0 none. */
  readonly asOf: number;
  readonly ads: AdsStatus;
  readonly warming: readonly Warming[];
}

/** How often the file hears that it is still what is in force. */
const CONFIRM_MS = 60_000;

/**
 * The proxy's config as it comes over ADS: client, store and last good file, wired. Read `snapshot`,
 * subscribe to it, and start serving when `ready` is true.
 */
export class DynamicConfig {
  readonly #options: DynamicConfigOptions;
  readonly #file: LastGoodFile | null;
  readonly client: AdsClient;
  readonly store: ResourceStore;
  /** All names of the mesh; null before the first answer, and where they are not wanted. */
  readonly names = new Watch<readonly NameEntry[] | null>(null);
  #source: DynamicConfigStatus['source'] = 'none';
  #asOf = 0;
  /** Wall time at which what was restored was in force; 0 nothing was. */
  #inForceAt = 0;
  #grace: TimerHandle | null = null;
  #confirmation: TimerHandle | null = null;

  constructor(options: DynamicConfigOptions) {
    this.#options = options;
    const { clock, log, node, decoders, lastGood } = options;
    const known = new Set(decoders.map((decoder) => decoder.typeUrl));
    this.client = new AdsClient({ ...options, onUpdate: (update) => this.#onUpdate(update) });
    this.store = new ResourceStore({
      clock,
      log,
      ...options.limits,
      ...(options.statics === undefined ? {} : { statics: options.statics }),
      ...(options.dynamic === undefined ? {} : { dynamic: options.dynamic }),
      ...(options.secretsOf === undefined ? {} : { secretsOf: options.secretsOf }),
      subscribe: (typeUrl, names) => {
        // Virtual hosts come by delta only.
        if (known.has(typeUrl) && (typeUrl !== VIRTUAL_HOST || options.mode === 'delta'))
          this.client.subscribe(typeUrl, names);
      },
    });
    this.#file =
      lastGood === undefined ? null : new LastGoodFile({ ...lastGood, nodeId: node.id ?? '', clock, log, decoders });
  }

  get snapshot(): ResourceStore['snapshot'] {
    return this.store.snapshot;
  }
  get ready(): ResourceStore['ready'] {
    return this.store.ready;
  }
  get status(): DynamicConfigStatus {
    return { source: this.#source, asOf: this.#asOf, ads: this.client.status, warming: this.store.warming };
  }

  /** Tells of virtual hosts what no snapshot says. */
  onHosts(listener: HostListener): void {
    this.#hosts = listener;
  }
  #hosts: HostListener | null = null;

  start(): void {
    const { dynamic = { listeners: true, clusters: true }, clock, serverGraceMs = 1000 } = this.#options;
    if (dynamic.clusters) this.client.subscribe(CLUSTER, [WILDCARD]);
    if (dynamic.listeners) this.client.subscribe(LISTENER, [WILDCARD]);
    if (this.#options.names) this.client.subscribe(NAME_TABLE, [WILDCARD]);
    this.store.start();
    this.client.start();
    if (this.#file === null) return;
    this.#grace = clock.after(serverGraceMs, () => this.#fallBack(this.#file));
    this.#confirmLater(this.#file);
  }

  /** For how long nobody has said that the config in force is the newest, ms; 0 while the server is connected. */
  get staleMs(): number {
    if (this.#source === 'none' || (this.#source === 'server' && this.client.connected)) return 0;
    const last = this.#source === 'disk' ? this.#inForceAt : this.client.since;
    return Math.max(0, this.#options.clock.wall() - last);
  }

  /** A config that does not change does not grow old while the server is there. */
  #confirmLater(file: LastGoodFile): void {
    this.#confirmation = this.#options.clock.after(CONFIRM_MS, () => {
      this.#confirm(file);
      this.#confirmLater(file);
    });
  }
  #confirm(file: LastGoodFile): void {
    if (this.#source === 'server' && this.client.connected) file.confirm();
  }

  /** Stops asking. The last good config is saved as it stands. */
  async close(): Promise<void> {
    this.#grace?.cancel();
    this.#confirmation?.cancel();
    if (this.#file !== null) this.#confirm(this.#file);
    await this.#file?.close(this.client);
    this.client.close();
    this.store.close();
  }

  #onUpdate(update: ResourceUpdate): void {
    this.#source = 'server';
    this.#asOf = this.#options.clock.wall();
    if (update.typeUrl === NAME_TABLE) this.#publishNames();
    else this.store.apply(update);
    if (update.absent !== undefined && update.absent.length > 0) this.#hosts?.absent(update.absent);
    // Half a config must not replace a whole one.
    if (this.store.ready.value && (update.updated.length > 0 || update.removed.length > 0))
      this.#file?.schedule(this.client);
  }

  /** The server has not answered in time: what an earlier process last had is better than nothing. */
  #fallBack(file: LastGoodFile | null): void {
    this.#grace = null;
    if (this.store.ready.value || this.#source === 'server') return;
    const saved = file?.load() ?? null;
    if (saved === null) return;
    this.#source = 'disk';
    this.#asOf = saved.savedAt;
    this.#inForceAt = saved.confirmedAt;
    for (const { typeUrl, version, resources } of saved.types) {
      const updated = this.client.restore(typeUrl, version, resources);
      this.#options.log.info('restored from the last good config', {
        type: shortName(typeUrl),
        resources: updated.length,
      });
      if (typeUrl !== NAME_TABLE)
        this.store.apply({ typeUrl, updated, removed: [], rejected: [], warnings: [], source: 'disk' });
      else if (updated.length > 0) this.#publishNames();
      if (typeUrl === VIRTUAL_HOST) this.#hosts?.restored(updated.map(({ name }) => name));
    }
  }

  #publishNames(): void {
    const tables = this.client.held(NAME_TABLE).resources.values();
    this.names.set(tables.flatMap(({ resource }) => (resource as NameTable).entries).toArray());
  }
}
