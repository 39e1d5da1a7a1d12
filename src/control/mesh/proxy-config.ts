export type InterceptionMode = 'REDIRECT' | 'TPROXY' | 'NONE';

/** What Istio's ProxyConfig, of the mesh (`defaultConfig`) or a pod (`proxy.istio.io/config`), changes about injection. */
export interface ProxyConfig {
  readonly discoveryAddress?: string;
  readonly interceptionMode?: InterceptionMode;
  readonly holdApplicationUntilProxyStarts?: boolean;
  readonly proxyAdminPort?: number;
  readonly statusPort?: number;
  readonly drainDurationS?: number;
  /** From SIGTERM to the end, where that is sooner than the pod's. */
  readonly terminationDrainDurationS?: number;
  readonly proxyMetadata: Readonly<Record<string, string>>;
}
