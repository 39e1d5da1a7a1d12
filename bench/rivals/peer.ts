/** Where one proxy is to run for one scenario. */
export interface Site {
  /** For its config and logs. */
  readonly folder: string;
  /** Where it listens. */
  readonly port: number;
  readonly adminPort: number;
  /** Whom it calls. */
  readonly backend: number;
  /** Local rate limit and header routes besides. */
  readonly features: boolean;
}

/** A proxy that can be measured. */
export interface Peer {
  readonly name: string;
  /** Why it cannot run here; null: it can. */
  readonly missing: string | null;
  /** Does what {@link Site.features} asks. */
  readonly hasFeatures: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** Writes its config and answers its command line. The command's process, with its children, is the proxy. */
  command(site: Site): readonly string[];
  /** Command that prints its version. */
  readonly version: readonly string[];
  /** Its access log goes to its standard output. */
  readonly logsToStdout?: boolean;
}
