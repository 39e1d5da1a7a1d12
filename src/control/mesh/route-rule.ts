import type { Written } from './mesh.ts';

/** All rules for one set of hosts, for sidecars, for gateways, or both. */
export interface RouteTableRule {
  /** Fully qualified or wildcard hosts. */
  readonly hosts: readonly string[];
  /** Namespace the rule was written in: short names in it were resolved there. */
  readonly namespace: string;
  /** `mesh` for sidecars, `namespace/name` of gateways. */
  readonly gateways: readonly string[];
  /** Namespaces whose proxies see it; ['*'] all. */
  readonly exportTo: readonly string[];
  readonly rules: readonly RouteRule[];
  readonly written: Written;
}

/** One HTTP rule: any of `matches` (none: everything), then the action. */
export interface RouteRule {
  readonly name: string;
  readonly matches: readonly RuleMatch[];
  readonly action:
    | { readonly kind: 'forward'; readonly destinations: readonly RuleDestination[] }
    | { readonly kind: 'redirect'; readonly redirect: RuleRedirect }
    | { readonly kind: 'direct'; readonly status: number; readonly body: Uint8Array };
  readonly rewrite: RuleRewrite | null;
  /** 0: off (the default; Istio's too). */
  readonly timeoutMs: number;
  /** null: the mesh's default (only what is provably unprocessed). */
  readonly retries: RuleRetries | null;
  readonly fault: RuleFault | null;
  readonly cors: RuleCors | null;
  readonly headers: HeaderOperations | null;
  readonly written: Written;
}

export interface TextMatch {
  readonly kind: 'exact' | 'prefix' | 'regex';
  readonly value: string;
}

export interface RuleMatch {
  readonly name: string;
  readonly uri: TextMatch | null;
  readonly ignoreUriCase: boolean;
  readonly scheme: TextMatch | null;
  readonly method: TextMatch | null;
  readonly authority: TextMatch | null;
  /** null value: the header only has to be there. */
  readonly headers: ReadonlyMap<string, TextMatch | null>;
  readonly withoutHeaders: ReadonlyMap<string, TextMatch | null>;
  readonly queryParams: ReadonlyMap<string, TextMatch | null>;
  /** 0: any. */
  readonly port: number;
  readonly sourceLabels: Readonly<Record<string, string>>;
  /** '' any. */
  readonly sourceNamespace: string;
  /** Empty: those of the table. */
  readonly gateways: readonly string[];
  readonly statPrefix: string;
}

export interface RuleDestination {
  readonly host: string;
  /** '' none. */
  readonly subset: string;
  /** 0: the request's own port, or the only one of the service. */
  readonly port: number;
  readonly weight: number;
  readonly headers: HeaderOperations | null;
}

export interface HeaderOperations {
  readonly request: HeaderOperation;
  readonly response: HeaderOperation;
}

export interface HeaderOperation {
  readonly set: Readonly<Record<string, string>>;
  readonly add: Readonly<Record<string, string>>;
  readonly remove: readonly string[];
}

export interface RuleRedirect {
  readonly uri: string;
  readonly prefixRewrite: string;
  readonly authority: string;
  /** A port, or how to derive it; null: leave. */
  readonly port: number | 'FROM_PROTOCOL_DEFAULT' | 'FROM_REQUEST_PORT' | null;
  readonly scheme: string;
  readonly status: number;
}

export interface RuleRewrite {
  readonly uri: string;
  readonly authority: string;
  readonly regex: { readonly match: string; readonly rewrite: string } | null;
}

export interface RuleRetries {
  /** 0 turns retries off. */
  readonly attempts: number;
  /** 0: the route's timeout. */
  readonly perTryTimeoutMs: number;
  /** As in the API, status codes included; '' the mesh's default conditions. */
  readonly retryOn: string;
  /** 0: 25 ms. */
  readonly backoffMs: number;
  readonly ignorePreviousHosts: boolean;
}

export interface RuleFault {
  readonly delay: { readonly fixedMs: number; readonly percent: number } | null;
  readonly abort: { readonly status: number; readonly grpcStatus: string; readonly percent: number } | null;
}

export interface RuleCors {
  readonly allowOrigins: readonly TextMatch[];
  readonly allowMethods: readonly string[];
  readonly allowHeaders: readonly string[];
  readonly exposeHeaders: readonly string[];
  readonly maxAgeMs: number | null;
  readonly allowCredentials: boolean | null;
  readonly unmatchedPreflights: 'FORWARD' | 'IGNORE';
}
