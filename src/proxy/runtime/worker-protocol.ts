import type { LogLevel } from '../../base/log.ts';
import type { SocketAddress } from '../../model/address.ts';
import type { LoadAssignment } from '../../model/endpoint.ts';
import type { TlsSecret } from '../../model/tls.ts';
import type { Bootstrap } from '../../xds/bootstrap/bootstrap.ts';
import type { AdminReply } from '../admin/route.ts';
import type { ClusterView, DrainView, ListenerView, MemoryUse } from '../admin/view.ts';
import type { ListenAddress } from '../io/listen-sockets.ts';
import type { StatChange } from '../telemetry/metrics/store.ts';
import type { DrainSettings, ListenerDrain, TerminationPlan } from './drain.ts';
import type { MapChange, SnapshotChange } from './portable.ts';
import type { RunningCounts } from './running-counts.ts';

/** What a worker begins with. */
export interface WorkerStart {
  readonly worker: number;
  /** How many workers there are. */
  readonly workers: number;
  /** How often the worker of that number was started before. */
  readonly restarts: number;
  /** Of the numbers that all share. */
  readonly counts: SharedArrayBuffer;
  readonly ticketSeed: Uint8Array;
  /** Secrets made plain. */
  readonly bootstrap: Pick<Bootstrap, 'node' | 'runtime' | 'overload' | 'secrets'>;
  readonly drain: DrainSettings | undefined;
  readonly logLevel: LogLevel;
  readonly version: string;
}

/** Secrets that discovery gave, or those of the process's own identity. */
export type SecretKind = 'discovered' | 'own';

/** What a worker can be asked. */
export interface WorkerCalls {
  /** Answered when it is in force. */
  apply(value: SnapshotChange): readonly BoundListener[];
  secrets(value: { readonly kind: SecretKind; readonly change: MapChange<TlsSecret> }): void;
  failHealthCheck(value: boolean): void;
  drainListeners(value: ListenerDrain): void;
  /** These are answered when they are over. */
  drain(value: number): void;
  handOver(value: number): void;
  terminate(value: TerminationPlan): void;
  /** Answered when all said before was done, with numbers that nobody publishes otherwise up to date. */
  sync(value: null): WorkerCounts;
  view(value: null): WorkerView;
  admin(value: { readonly path: string; readonly query: string }): AdminReply;
  ejected(value: Ejection): void;
  /** Hosts that were used since it was asked last. */
  usedHosts(value: null): readonly UsedHost[];
  /** These may be asked for again, `<route configuration>/<host>`. */
  forgetHosts(value: readonly string[]): void;
  logLevel(value: LogLevel): void;
  reopenLogs(value: null): void;
  resetCounters(value: null): void;
  /** Answered when every connection is cut and every line written. */
  close(value: null): void;
}

/** What a worker asks of the thread that started it. */
export interface MainCalls {
  /** A descriptor to listen on. */
  take(value: { readonly key: string; readonly address: ListenAddress }): number;
  release(value: string): void;
  resolve(value: string): readonly string[];
  /** Answered when there is nothing more to wait for; a host that there is came with `apply` before. */
  host(value: WantedHost): HostAnswer;
  write(value: { readonly stream: 'stdout' | 'stderr'; readonly bytes: Uint8Array }): void;
  log(value: string): void;
  stats(value: readonly StatChange[]): void;
  ejected(value: Ejection): void;
}

export interface Ejection {
  readonly cluster: string;
  readonly address: string;
}

/** A host that a request is for, in lower case, and no virtual host of the route configuration is meant for it. */
export interface WantedHost {
  readonly routes: string;
  readonly host: string;
}

/** `absent`: so for whoever asks next, until it is forgotten; `go on`: the next one is to ask again. */
export type HostAnswer = 'absent' | 'go on';

/** A virtual host of a route configuration. */
export interface UsedHost {
  readonly routes: string;
  readonly name: string;
}

export interface BoundListener {
  readonly name: string;
  readonly addresses: readonly SocketAddress[];
}

export interface WorkerCounts {
  readonly running: RunningCounts;
  readonly memory: MemoryUse;
}

/** What admin pages show of a worker. */
export interface WorkerView {
  readonly clusters: readonly ClusterView[];
  readonly listeners: readonly ListenerView[];
  readonly drains: DrainView;
  /** Endpoints of clusters that get them otherwise than by discovery, by the cluster's name. */
  readonly assignments: ReadonlyMap<string, LoadAssignment>;
}
