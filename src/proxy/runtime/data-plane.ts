import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { Registry } from '../../base/registry.ts';
import type { Bootstrap } from '../../xds/bootstrap/bootstrap.ts';
import type { HttpFilterType } from '../filters/filter.ts';
import { HTTP_FILTER_TYPES } from '../filters/standard.ts';
import type { ListenSockets } from '../io/listen-sockets.ts';
import type { LogSinks } from '../telemetry/accesslog/sink.ts';
import { identityOfNode } from '../telemetry/metrics/identity.ts';
import { RequestMetrics } from '../telemetry/metrics/istio.ts';
import type { StatStore } from '../telemetry/metrics/store.ts';
import { StatSweeper } from '../telemetry/metrics/sweeper.ts';
import { CertificateWatch } from '../tls/certificate-watch.ts';
import { systemResolver } from '../upstream/dns.ts';
import { standardBalancers } from '../upstream/lb/standard.ts';
import { SnapshotApplier } from './apply.ts';
import { DrainManager, type DrainSettings } from './drain.ts';
import { type EnvironmentParts, ProxyEnvironment } from './environment.ts';
import { StaticRuntime } from './runtime-values.ts';

export interface DataPlaneParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly stats: StatStore;
  readonly sinks: LogSinks;
  readonly bootstrap: Pick<Bootstrap, 'node' | 'runtime' | 'overload' | 'secrets'>;
  readonly drain: DrainSettings | undefined;
  readonly sockets: ListenSockets | null;
  /** A listener that cannot be bound is no reason not to begin: others serve already. */
  readonly serving?: boolean;
  /** What only a worker has. */
  readonly worker?: Pick<
    EnvironmentParts,
    'resolve' | 'workers' | 'hosts' | 'overloadProbes' | 'ticketSeed' | 'connectionIds'
  >;
}

/** One thread that serves: what its parts may ask of it, and what makes it be what a snapshot says. */
export class DataPlane {
  readonly env: ProxyEnvironment;
  readonly runtime: StaticRuntime;
  /** Turns snapshots of the model into listeners, tables and clusters. */
  readonly applier: SnapshotApplier;
  /** Asks clients to leave, and ends what is to end. */
  readonly drain: DrainManager;
  readonly #sweeper: StatSweeper;
  /** Null: another thread has the same certificates, and says it. */
  readonly #certificates: CertificateWatch | null;

  constructor(parts: DataPlaneParts) {
    const { clock, random, log, stats, sinks, bootstrap, sockets, serving, worker } = parts;
    this.runtime = new StaticRuntime(bootstrap.runtime);
    const metrics = new RequestMetrics(stats, identityOfNode(bootstrap.node.metadata));
    this.#sweeper = new StatSweeper(clock, [metrics, stats]);
    // What the parts may ask of the process; clusters live in it.
    this.env = new ProxyEnvironment({
      clock,
      random,
      log,
      stats,
      sinks,
      node: bootstrap.node,
      runtime: this.runtime,
      filterTypes: filterTypes(),
      balancers: standardBalancers,
      resolve: systemResolver,
      metrics,
      overload: bootstrap.overload,
      sockets,
      secrets: bootstrap.secrets,
      explain: this.runtime.boolean('remora.local_reply.explain', false),
      ...worker,
    });
    this.applier = new SnapshotApplier(this.env, parts.drain, serving);
    this.env.overloadManager.onRelief = () => {
      for (const listener of this.applier.listeners.values()) listener.serveHeld();
    };
    const first = worker === undefined || worker.connectionIds?.first === 1;
    this.#certificates = first ? new CertificateWatch(this.env.tls) : null;
    this.drain = new DrainManager(this.env, this.applier, parts.drain);
  }

  start(): void {
    this.#sweeper.start();
    this.#certificates?.start();
    this.env.overloadManager.start();
  }

  /** Cuts every connection and frees everything. */
  close(): void {
    this.applier.close();
    this.env.overloadManager.close();
    this.env.hosts.close();
    this.#sweeper.stop();
    this.#certificates?.stop();
    this.env.tls.close();
    this.env.wheel.close();
  }
}

/** The filters that there are, by kind. */
export function filterTypes(): Registry<HttpFilterType> {
  return new Registry(
    'HTTP filter',
    HTTP_FILTER_TYPES.map((type) => [type.kind, type]),
  );
}
