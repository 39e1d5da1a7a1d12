import type { LogLevel } from '../../base/log.ts';
import type { SocketAddress } from '../../model/address.ts';
import type { TrafficDirection } from '../../model/listener.ts';
import type { StatStore } from '../telemetry/metrics/store.ts';
import type { CertificateInfo } from '../telemetry/tls-info.ts';
import type { ClusterDescription } from '../upstream/describe.ts';
import type { ExplainRequest, Explanation } from './explain.ts';

/** Envoy's states (envoy.admin.v3.ServerInfo.State). */
export type ServerState = 'LIVE' | 'DRAINING' | 'PRE_INITIALIZING' | 'INITIALIZING';

/**
 * All that the admin server may see and do. It is read when a request comes, on the main thread, so nothing here
 * may wait for anything but itself; `proxy/runtime/admin-view.ts` implements it over the running proxy.
 */
export interface AdminView {
  readonly stats: StatStore;
  readonly config: ConfigDumpSource;
  readonly actions: AdminActions;
  state(): ServerState;
  /** Why it is not LIVE, in one sentence; '' when it is. */
  stateReason(): string;
  serverInfo(): ServerInfo;
  /** Brings gauges that nobody sets otherwise up to date (memory, uptime): called before stats are read. */
  sample(): void;
  clusters(): readonly ClusterView[];
  listeners(): readonly ListenerView[];
  drains(): DrainView;
  /** What each TLS context in force trusts and shows. */
  certificates(): readonly CertificatesView[];
  runtime(): ReadonlyMap<string, number | boolean | string>;
  memory(): MemoryUse;
  /** Throws RangeError for a request that is none. */
  explain(request: ExplainRequest): Explanation;
}

/** What a POST may do. Each returns at once; what takes time goes on by itself. */
export interface AdminActions {
  logLevel(): LogLevel;
  setLogLevel(level: LogLevel): void;
  reopenLogs(): void;
  /** Makes `/ready` and `/healthz/ready` answer 503 and clients leave, or lets them be. */
  failHealthCheck(failed: boolean): void;
  /**
   * Asks clients to leave over the drain time, and stops accepting: at once, when `graceful` at the end of that time,
   * with `skipExit` not at all.
   */
  drainListeners(how: { readonly graceful: boolean; readonly inboundOnly: boolean; readonly skipExit: boolean }): void;
  /** Ends the process, after the answer was sent. */
  quit(): void;
}

export interface ServerInfo {
  readonly version: string;
  readonly uptimeMs: number;
  /** Since the first process of a row of hot restarts began. */
  readonly uptimeAllMs: number;
  /** envoy.config.core.v3.Node as JSON. */
  readonly node: unknown;
  /** envoy.admin.v3.CommandLineOptions as JSON: those that have a meaning here. */
  readonly options: Readonly<Record<string, unknown>>;
}

export interface MemoryUse {
  /** Bytes in use: heap and buffers. */
  readonly allocated: number;
  readonly heapSize: number;
  readonly heapFree: number;
  readonly physical: number;
}

export interface ClusterView {
  readonly description: ClusterDescription;
  readonly addedViaApi: boolean;
  /** '' for none. */
  readonly edsServiceName: string;
  readonly outlierDetection: boolean;
}

export interface ListenerView {
  readonly name: string;
  /** Where it really listens. */
  readonly addresses: readonly SocketAddress[];
  readonly direction: TrafficDirection;
  readonly connections: number;
}

/** Who is asked to leave, and how far that is. */
export interface DrainView {
  readonly state: ServerState;
  /** Why the process drains; removed listeners drain without one. */
  readonly causes: readonly string[];
  readonly strategy: string;
  readonly listeners: readonly DrainingListener[];
}

export interface DrainingListener {
  readonly name: string;
  /** It was removed or replaced, and lives on for the connections it has. */
  readonly removed: boolean;
  readonly accepting: boolean;
  /** The share of its connections that was asked to leave; null: it does not drain. */
  readonly progress: number | null;
  readonly leftMs: number | null;
  readonly connections: readonly DrainingConnection[];
}

export interface DrainingConnection {
  readonly id: number;
  readonly remote: SocketAddress;
  readonly kind: 'http' | 'tunnel' | 'tcp';
  readonly busy: boolean;
  readonly state: 'staying' | 'scheduled' | 'asked' | 'closing';
  readonly inMs: number | null;
}

/** One TLS context's certificates (envoy.admin.v3.Certificate). */
export interface CertificatesView {
  readonly roots: readonly CertificateView[];
  readonly chain: readonly CertificateView[];
}

export interface CertificateView {
  /** The file it came from, or `<inline>`. */
  readonly path: string;
  readonly certificate: CertificateInfo;
  /** Whole days; 0 when it has expired. */
  readonly daysLeft: number;
}

export const DUMP_KINDS = ['cluster', 'endpoint', 'listener', 'route', 'secret'] as const;
export type DumpKind = (typeof DUMP_KINDS)[number];

/**
 * The configuration as it came over the wire, in proto3 JSON with the protos' names. The dump leaves secrets out
 * itself: a source need not.
 */
export interface ConfigDumpSource {
  bootstrap(): { readonly json: unknown; readonly lastUpdated: number };
  resources(kind: DumpKind): DumpedResources;
}

export interface DumpedResources {
  /** The last version of the type that was accepted whole; '' none. */
  readonly version: string;
  readonly items: readonly DumpedResource[];
}

export interface DumpedResource {
  readonly name: string;
  /** From the bootstrap; from discovery and in force; from discovery and not in force yet. */
  readonly origin: 'static' | 'active' | 'warming';
  readonly version: string;
  /** Wall time, ms; 0 unknown. */
  readonly lastUpdated: number;
  /** The resource, with its `@type`. */
  readonly json: unknown;
}
