import type { Written } from './mesh.ts';
import type { RuleDestination } from './route-rule.ts';

/** Where TLS goes that is passed on unread: any of `matches`, by the name of the handshake. */
export interface TlsRouteRule {
  /** Namespace the rule was written in. */
  readonly namespace: string;
  /** `mesh` for sidecars, `namespace/name` of gateways. */
  readonly gateways: readonly string[];
  readonly exportTo: readonly string[];
  readonly matches: readonly TlsRouteMatch[];
  readonly destinations: readonly RuleDestination[];
  readonly written: Written;
}

export interface TlsRouteMatch {
  /** Names, and wildcards of them. */
  readonly serverNames: readonly string[];
  /** 0: any. */
  readonly port: number;
  /** Empty: those of the rule. */
  readonly gateways: readonly string[];
  readonly sourceLabels: Readonly<Record<string, string>>;
  /** '' any. */
  readonly sourceNamespace: string;
}
