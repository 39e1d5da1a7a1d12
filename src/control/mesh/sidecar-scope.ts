import type { Written } from './mesh.ts';

/** What the workloads of a namespace may call: a Sidecar. Its proxies are sent no more than that. */
export interface SidecarScope {
  readonly namespace: string;
  /** Labels of the workloads; empty: all of the namespace, and of the mesh for the root namespace's. */
  readonly selector: Readonly<Record<string, string>>;
  /** Of each of its listeners; null: as the next less specific one says, and all where none does. */
  readonly egress: readonly (readonly EgressHost[])[] | null;
  /** null: as the mesh has it. */
  readonly outbound: 'ALLOW_ANY' | 'REGISTRY_ONLY' | null;
  readonly written: Written;
}

export interface EgressHost {
  /** `*` any, `.` that of the workload, which is not the Sidecar's where that is the root namespace's. */
  readonly namespace: string;
  /** A host, or a wildcard. */
  readonly host: string;
}
