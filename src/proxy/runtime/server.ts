import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { Registry } from '../../base/registry.ts';
import { EMPTY_SNAPSHOT, type Snapshot } from '../../model/snapshot.ts';
import type { Bootstrap } from '../../xds/bootstrap/bootstrap.ts';
import { HTTP_FILTER_TYPES } from '../filters/standard.ts';
import { LogSinks } from '../telemetry/accesslog/sink.ts';
import { StatStore } from '../telemetry/metrics/store.ts';
import { systemResolver } from '../upstream/dns.ts';
import { standardBalancers } from '../upstream/lb/standard.ts';
import { SnapshotApplier } from './apply.ts';
import { ProxyEnvironment } from './environment.ts';
import { StaticRuntime } from './runtime-values.ts';

export interface ProxyOptions {
  readonly bootstrap: Bootstrap;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

/** One running proxy. This file is where its parts meet, and the only one. */
export class Proxy {
  readonly env: ProxyEnvironment;
  readonly applier: SnapshotApplier;
  readonly #options: ProxyOptions;
  readonly #sinks: LogSinks;

  constructor(options: ProxyOptions) {
    const { clock, random, log, bootstrap } = options;
    this.#options = options;
    // Numbers first: everything below counts in them.
    const stats = new StatStore();
    // Access log files and streams outlive the config that names them.
    this.#sinks = new LogSinks(clock, options);
    const runtime = new StaticRuntime(bootstrap.runtime);
    // What the parts may ask of the process; clusters live in it.
    this.env = new ProxyEnvironment({
      clock,
      random,
      log,
      stats,
      sinks: this.#sinks,
      runtime,
      filterTypes: new Registry(
        'HTTP filter',
        HTTP_FILTER_TYPES.map((type) => [type.kind, type]),
      ),
      balancers: standardBalancers,
      resolve: systemResolver,
      record: () => {},
      explain: runtime.boolean('remora.local_reply.explain', false),
    });
    // Turns snapshots of the model into listeners, tables and clusters.
    this.applier = new SnapshotApplier(this.env);
  }

  /** Binds what the bootstrap says and resolves when it serves. */
  async start(): Promise<void> {
    await this.applier.apply(staticSnapshot(this.#options.bootstrap));
    for (const listener of this.applier.listeners.values()) {
      for (const { host, port } of listener.addresses) {
        this.#options.log.info(`listening`, { listener: listener.name, address: `${host}:${port}` });
      }
    }
  }

  /** Cuts every connection and frees everything. */
  async close(): Promise<void> {
    this.applier.close();
    this.env.wheel.close();
    await this.#sinks.close();
  }
}

/** What the bootstrap itself holds. */
function staticSnapshot(bootstrap: Bootstrap): Snapshot {
  return {
    ...EMPTY_SNAPSHOT,
    listeners: new Map(bootstrap.listeners.map((listener) => [listener.name, listener])),
    clusters: new Map(bootstrap.clusters.map((cluster) => [cluster.name, cluster])),
  };
}
