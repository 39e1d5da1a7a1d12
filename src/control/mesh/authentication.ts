import type { Written } from './mesh.ts';

/** What a workload takes from its callers: plain text, both, or mutual TLS alone. */
export type MtlsMode = 'DISABLE' | 'PERMISSIVE' | 'STRICT';

/** A PeerAuthentication: of the mesh (root namespace), of a namespace, or of the workloads that it selects. */
export interface PeerAuthenticationRule {
  readonly namespace: string;
  /** Empty: all of its namespace, or of the mesh. */
  readonly selector: Readonly<Record<string, string>>;
  /** null: as what is above it. */
  readonly mode: MtlsMode | null;
  /** By the workload's own port; null: as the workload. */
  readonly ports: ReadonlyMap<number, MtlsMode | null>;
  readonly written: Written;
}
