/**
 * The connections to one endpoint. The concrete pools (`http1-pool.ts`, `tcp-pool.ts`) add how a
 * request or connection is got from them; the cluster only needs this much.
 */
export interface EndpointPool {
  /** Connections open or being opened. */
  readonly connections: number;
  /** Stops reuse: idle connections close now, busy ones after their request. */
  drain(): void;
  /** Closes everything at once. */
  destroy(): void;
}
