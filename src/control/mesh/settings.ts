import type { ProxyConfig } from './proxy-config.ts';
import type { RuleRetries } from './route-rule.ts';

/** What holds for all of the mesh where nothing nearer says otherwise (Istio's MeshConfig). */
export interface MeshSettings {
  /** What becomes of calls to unknown hosts; null: as the control server was told. */
  readonly outbound: 'ALLOW_ANY' | 'REGISTRY_ONLY' | null;
  /** null: none is written. */
  readonly accessLog: AccessLogSettings | null;
  readonly connectTimeoutMs: number;
  readonly dnsRefreshMs: number;
  /** Mutual TLS to whoever speaks it, where no DestinationRule says what is spoken. */
  readonly autoMtls: boolean;
  /** Whose policies hold for all namespaces. */
  readonly rootNamespace: string;
  /** Of routes that say nothing of retries; null: what was provably not processed, twice. */
  readonly retries: RuleRetries | null;
  /** Of connections to services whose DestinationRule says nothing of it; null: after three minutes of silence. */
  readonly keepAlive: KeepAlive | null;
  /** Who sees objects that do not say it themselves. */
  readonly exportTo: DefaultExports;
  /** For injected pods (MeshConfig's defaultConfig); null: none is written. */
  readonly proxyConfig: ProxyConfig | null;
}

/** SO_KEEPALIVE of connections (Istio's TcpKeepalive); null: not given. */
export interface KeepAlive {
  readonly probes: number | null;
  readonly timeMs: number | null;
  readonly intervalMs: number | null;
}

/** Lists as in exportTo; empty: everybody. */
export interface DefaultExports {
  /** Services, of Kubernetes and of ServiceEntries. */
  readonly services: readonly string[];
  readonly virtualServices: readonly string[];
  readonly destinationRules: readonly string[];
}

export interface AccessLogSettings {
  /** `/dev/stdout`, `/dev/stderr` or a file. */
  readonly path: string;
  /** A line with its end; fields with their operators; null: Envoy's default line. */
  readonly format: string | Readonly<Record<string, unknown>> | null;
}

export const DEFAULT_SETTINGS: MeshSettings = {
  outbound: null,
  accessLog: { path: '/dev/stdout', format: null },
  connectTimeoutMs: 10_000,
  dnsRefreshMs: 60_000,
  autoMtls: true,
  rootNamespace: 'istio-system',
  retries: null,
  keepAlive: null,
  exportTo: { services: [], virtualServices: [], destinationRules: [] },
  proxyConfig: null,
};
