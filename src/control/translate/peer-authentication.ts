import type { MtlsMode, PeerAuthenticationRule } from '../mesh/authentication.ts';
import { DEFAULT_SETTINGS } from '../mesh/settings.ts';
import { labelsMatch } from './names.ts';

/** What one workload takes. */
export interface WorkloadMtls {
  readonly mode: MtlsMode;
  /** Ports that take something else. */
  readonly ports: ReadonlyMap<number, MtlsMode>;
  /** Where the mode was written, and each port's; '' the default. */
  readonly written: string;
}

type Labels = Readonly<Record<string, string>>;

/**
 * What a workload takes from its callers (Istio: security/authn ComposePeerAuthentication): the oldest rule of the mesh,
 * of its namespace and of the workload itself, each over the one before where it says something; PERMISSIVE where none
 * does. Ports are named by rules of workloads alone. `rules` are in order of age.
 */
export function workloadMtls(
  rules: readonly PeerAuthenticationRule[],
  namespace: string,
  labels: Labels,
  root = DEFAULT_SETTINGS.rootNamespace,
): WorkloadMtls {
  const oldest = (fits: (rule: PeerAuthenticationRule) => boolean) => rules.find(fits);
  const general = (rule: PeerAuthenticationRule): boolean => Object.keys(rule.selector).length === 0;
  const own = namespace === root ? undefined : oldest((rule) => rule.namespace === namespace && general(rule));
  const levels = [
    oldest((rule) => rule.namespace === root && general(rule)),
    own,
    // Rules of the root namespace that select are for nobody, in Istio too.
    namespace === root
      ? undefined
      : oldest((rule) => rule.namespace === namespace && !general(rule) && labelsMatch(rule.selector, labels)),
  ];
  let mode: MtlsMode = 'PERMISSIVE';
  let written = '';
  for (const rule of levels) {
    if (rule?.mode == null) continue;
    mode = rule.mode;
    written = rule.written.object;
  }
  const ports = [...(levels[2]?.ports ?? [])].map(([port, one]) => [port, one ?? mode] as const);
  return { mode, ports: new Map(ports), written };
}

export function portMtls({ mode, ports }: WorkloadMtls, port: number): MtlsMode {
  return ports.get(port) ?? mode;
}

/** The same for many workloads, each asked for once. */
export class MtlsPolicies {
  readonly rules: readonly PeerAuthenticationRule[];
  readonly #known = new Map<string, WorkloadMtls>();

  readonly #root: string | undefined;

  constructor(rules: readonly PeerAuthenticationRule[], root?: string) {
    this.rules = rules;
    this.#root = root;
  }

  of(namespace: string, labels: Labels): WorkloadMtls {
    const relevant = this.#relevant;
    const key = JSON.stringify([namespace, relevant.map((name) => labels[name] ?? null)]);
    let found = this.#known.get(key);
    if (found === undefined) {
      found = workloadMtls(this.rules, namespace, labels, this.#root);
      this.#known.set(key, found);
    }
    return found;
  }

  get #relevant(): readonly string[] {
    this.#labels ??= [...new Set(this.rules.flatMap(({ selector }) => Object.keys(selector)))];
    return this.#labels;
  }
  #labels: readonly string[] | null = null;
}
