import type { FractionalPercent, HeaderMatcher, QueryParameterMatcher, StringMatcher } from './matcher.ts';

/** envoy.config.route.v3.RouteConfiguration */
export interface RouteConfig extends HeaderMutations {
  readonly name: string;
  readonly virtualHosts: readonly VirtualHost[];
  /** Lower-case names of request headers that only internal callers may send. */
  readonly internalOnlyHeaders: readonly string[];
  readonly ignorePortInHostMatching: boolean;
  /** Routes are matched without what stands behind a `;` in a segment; templates see it. */
  readonly ignorePathParameters: boolean;
  /** True: route's mutations are applied last and so win; false (default): the table's win. */
  readonly mostSpecificHeaderMutationsWins: boolean;
  readonly perFilterConfig: PerFilterConfig;
  /** Virtual hosts come one by one (VHDS) and are added to those that it has itself. Absent: it has all. */
  readonly discoversHosts?: true;
  /** What the discovered hosts were added to: two configurations with the same base differ in hosts alone. */
  readonly base?: RouteConfig;
}

export interface VirtualHost extends HeaderMutations {
  readonly name: string;
  readonly domains: readonly string[];
  readonly routes: readonly Route[];
  readonly requireTls: 'NONE' | 'EXTERNAL_ONLY' | 'ALL';
  readonly retryPolicy: RetryPolicy | null;
  readonly includeRequestAttemptCount: boolean;
  readonly includeAttemptCountInResponse: boolean;
  readonly includeIsTimeoutRetryHeader: boolean;
  readonly perRequestBufferLimitBytes: number | null;
  readonly perFilterConfig: PerFilterConfig;
  /** Where hosts are discovered on demand: only for requests whose own host the server does not have. */
  readonly fallback?: true;
  /** Cluster for what is called at the host's address and is no HTTP; absent: none. (Ours: `remora.bytes_cluster`.) */
  readonly bytesTo?: string;
}

/**
 * Per-filter config by the filter's name; `config` is the own decoded per-route type of a filter of that kind, null
 * when only `disabled` is said.
 */
export type PerFilterConfig = ReadonlyMap<
  string,
  { readonly config: unknown; readonly disabled: boolean; readonly kind?: string }
>;

export interface Route extends HeaderMutations {
  readonly name: string;
  readonly match: RouteMatch;
  readonly action: RouteAction;
  readonly perFilterConfig: PerFilterConfig;
  readonly statPrefix: string;
  readonly perRequestBufferLimitBytes: number | null;
  /** Where this route was written (`VirtualService default/reviews, reviews.yaml:12, http[0]`), from its filter metadata; '' unknown. */
  readonly origin: string;
}

export interface RouteMatch {
  readonly path:
    | { readonly kind: 'path' | 'prefix' | 'pathSeparatedPrefix'; readonly value: string }
    | { readonly kind: 'regex'; readonly value: string }
    /** envoy.path.match.uri_template */
    | { readonly kind: 'template'; readonly value: string }
    | { readonly kind: 'connect' };
  readonly caseSensitive: boolean;
  readonly headers: readonly HeaderMatcher[];
  readonly queryParameters: readonly QueryParameterMatcher[];
  readonly runtimeFraction: FractionalPercent | null;
  readonly grpc: boolean;
  /** null: TLS does not matter. */
  readonly tls: { readonly presented: boolean | null; readonly validated: boolean | null } | null;
}

export type RouteAction =
  | ({ readonly kind: 'forward' } & ForwardAction)
  | ({ readonly kind: 'redirect' } & RedirectAction)
  | ({ readonly kind: 'direct' } & DirectResponseAction);

export interface ForwardAction {
  readonly cluster: ClusterSpecifier;
  readonly clusterNotFoundStatus: 404 | 500 | 503;
  readonly rewrite: PathRewrite | null;
  readonly hostRewrite: HostRewrite | null;
  readonly appendXForwardedHost: boolean;
  /** Whole response; 0 off. Envoy's default is 15,000. */
  readonly timeoutMs: number;
  /** null: the connection manager's stream idle timeout; 0 off. */
  readonly idleTimeoutMs: number | null;
  readonly retryPolicy: RetryPolicy | null;
  readonly upgrades: readonly UpgradeConfig[];
  readonly maxStreamDurationMs: number | null;
  /** null: the `grpc-timeout` header is not looked at. */
  readonly grpcTimeout: GrpcTimeout | null;
  readonly priority: 'DEFAULT' | 'HIGH';
  /** null: redirects of the upstream are passed on. */
  readonly internalRedirects: InternalRedirectPolicy | null;
}

/** How a request's `grpc-timeout` becomes its timeout. */
export interface GrpcTimeout {
  /** 0: no cap. */
  readonly maxMs: number;
  /** Taken off, so that this proxy gives up before its client does. */
  readonly offsetMs: number;
  /** As `max_grpc_timeout`: for gRPC requests only, and a gRPC request without the header may take `maxMs`. */
  readonly legacy: boolean;
}

/** envoy.config.route.v3.InternalRedirectPolicy: redirects of the upstream that are followed here. */
export interface InternalRedirectPolicy {
  /** How often one request may be redirected. */
  readonly maxRedirects: number;
  readonly statuses: readonly number[];
  readonly allowCrossScheme: boolean;
  /** An http request is not redirected to https (predicate `safe_cross_scheme`). */
  readonly safeCrossScheme: boolean;
  /** Names of the routes it may lead to (predicate `allow_listed_routes`); null: any. */
  readonly allowedRoutes: readonly string[] | null;
  /** From this route each other one is entered once only (predicate `previous_routes`). */
  readonly previousRoutes: boolean;
  /** Lower case. They take the place of the request's, or remove it. */
  readonly responseHeadersToCopy: readonly string[];
}

export type ClusterSpecifier =
  | { readonly kind: 'cluster'; readonly name: string }
  | { readonly kind: 'header'; readonly name: string }
  | {
      readonly kind: 'weighted';
      readonly clusters: readonly WeightedCluster[];
      readonly headerName: string;
      /** `<prefix>.<cluster>` in the runtime overrides a weight; '' for none. */
      readonly runtimeKeyPrefix: string;
    };

export interface WeightedCluster extends HeaderMutations {
  /** '' when `clusterHeader` names the header that holds it. */
  readonly name: string;
  readonly clusterHeader: string;
  readonly weight: number;
  readonly hostRewrite: string;
  readonly perFilterConfig: PerFilterConfig;
}

export type PathRewrite =
  | { readonly kind: 'prefix'; readonly value: string }
  | { readonly kind: 'regex'; readonly pattern: string; readonly substitution: string }
  /** Of a template match (envoy.path.rewrite.uri_template): `/x/{variable}`. */
  | { readonly kind: 'template'; readonly value: string };

export type HostRewrite =
  | { readonly kind: 'literal'; readonly value: string }
  | { readonly kind: 'auto' }
  | { readonly kind: 'header'; readonly name: string }
  | { readonly kind: 'pathRegex'; readonly pattern: string; readonly substitution: string };

export interface RedirectAction {
  readonly scheme: string;
  readonly httpsRedirect: boolean;
  readonly host: string;
  /** 0: as it was. */
  readonly port: number;
  readonly path:
    | { readonly kind: 'none' | 'path' | 'prefix'; readonly value: string }
    | Extract<PathRewrite, { readonly kind: 'regex' }>;
  readonly status: 301 | 302 | 303 | 307 | 308;
  readonly stripQuery: boolean;
}

export interface DirectResponseAction {
  readonly status: number;
  /** latin1 text of the body's bytes. */
  readonly body: string;
}

/** envoy.config.route.v3.RetryPolicy */
export interface RetryPolicy {
  /** Conditions as named in `x-envoy-retry-on`, with `retriable-status-codes` and so on; gRPC ones included. */
  readonly retryOn: readonly string[];
  readonly numRetries: number;
  /** 0: the route's timeout is the only one. */
  readonly perTryTimeoutMs: number;
  /** Without a byte from the upstream, once the request is with it whole; 0 off. */
  readonly perTryIdleTimeoutMs: number;
  readonly retriableStatusCodes: readonly number[];
  readonly retriableHeaders: readonly HeaderMatcher[];
  readonly retriableRequestHeaders: readonly HeaderMatcher[];
  readonly baseIntervalMs: number;
  readonly maxIntervalMs: number;
  /** Reset headers (`retry-after`, `x-ratelimit-reset`) that set the back-off; null: none. */
  readonly rateLimitedBackOff: {
    readonly headers: readonly { readonly name: string; readonly format: 'SECONDS' | 'UNIX_TIMESTAMP' }[];
    readonly maxIntervalMs: number;
  } | null;
  /** Do not pick a host that was tried before. */
  readonly avoidPreviousHosts: boolean;
  readonly hostSelectionMaxAttempts: number;
}

export interface UpgradeConfig {
  /** Lower case: `websocket`, `connect`, … */
  readonly type: string;
  readonly enabled: boolean;
}

/** What is added to and removed from heads at one level of the route table. */
export interface HeaderMutations {
  readonly requestHeadersToAdd: readonly HeaderValueOption[];
  /** Lower case. */
  readonly requestHeadersToRemove: readonly string[];
  readonly responseHeadersToAdd: readonly HeaderValueOption[];
  readonly responseHeadersToRemove: readonly string[];
}

export interface HeaderValueOption {
  /** In the case it is to be sent. */
  readonly name: string;
  /** With command operators. */
  readonly value: string;
  readonly action: 'APPEND_IF_EXISTS_OR_ADD' | 'ADD_IF_ABSENT' | 'OVERWRITE_IF_EXISTS_OR_ADD' | 'OVERWRITE_IF_EXISTS';
  readonly keepEmptyValue: boolean;
}

export type { FractionalPercent, HeaderMatcher, QueryParameterMatcher, StringMatcher };
