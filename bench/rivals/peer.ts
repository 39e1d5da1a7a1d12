/** Where one proxy is to run for one scenario. */
export interface Site {
  /** For its config and logs. */
  readonly folder: string;
  /** Where it listens. */
  readonly port: number;
  readonly adminPort: number;
  /** Whom it calls. */
  readonly backend: number;
  /** RBAC, local rate limit and header routes besides. */
  readonly features: boolean;
  /** TLS on both hops, with the certificate of `bench/support/certificate.ts`. */
  readonly tls?: boolean;
  /** Routes in place of the one that takes everything. */
  readonly table?: RouteTable;
  /** Downstream connections that must fit, where that is to be configured; 4,000 when absent. */
  readonly connections?: number;
  /** How many threads serve; absent: the peer's own choice on one core. */
  readonly workers?: number;
  /** Port of a control server that gives the config; absent: all config is in files. */
  readonly control?: number;
}

/** Exact hosts, each with `routes` exact paths. */
export interface RouteTable {
  readonly hosts: number;
  readonly routes: number;
}

export function hostName(index: number): string {
  return `service-${index}.namespace-${index % 50}.svc.cluster.local`;
}

export function routePath(index: number): string {
  return `/api/v1/resource-${index}`;
}

/** 0, 1, 2 … below `count`. */
export function indexes(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** A proxy that can be measured. */
export interface Peer {
  readonly name: string;
  /** Why it cannot run here; null: it can. */
  readonly missing: string | null;
  /** Does what {@link Site.features} asks. */
  readonly hasFeatures: boolean;
  /** Does what {@link Site.tls} asks. */
  readonly hasTls?: boolean;
  /** Takes its config from a control server when {@link Site.control} says so. */
  readonly hasControl?: boolean;
  /** Does what {@link Site.workers} asks. */
  readonly hasWorkers?: boolean;
  /** It is to have the cores that the bench has for several workers. */
  readonly workers?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Writes its config and answers its command line. The command's process, with its children, is the proxy. */
  command(site: Site): readonly string[];
  /** Command that prints its version. */
  readonly version: readonly string[];
  /** Its access log goes to its standard output. */
  readonly logsToStdout?: boolean;
}
