import type { AccessLog, AccessLogFilter, LogFormat } from './access-log.ts';
import type { CidrRange } from './address.ts';
import type { HeaderValueOption, RouteConfig, UpgradeConfig } from './route.ts';

/**
 * One HTTP filter of a chain. `config` is the filter's own decoded type: the decoder is found by type URL
 * in the map that `proxy/filters/standard.ts` hands to `xds/resources`.
 */
export interface HttpFilterConfig {
  /** The name per-route config refers to. */
  readonly name: string;
  /** The filter's kind, as registered: `fault`, `local_rate_limit`, … */
  readonly kind: string;
  readonly config: unknown;
  /** Off unless a route's per-filter config turns it on. */
  readonly disabled: boolean;
}

/** envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager. 0 turns a timeout off. */
export interface HttpConnectionManager {
  readonly codec: 'AUTO' | 'HTTP1' | 'HTTP2';
  readonly statPrefix: string;
  readonly routes: RouteSource | ScopedRoutes;
  /** Without the terminal router filter, whose settings are `router`. */
  readonly filters: readonly HttpFilterConfig[];
  readonly router: RouterSettings;

  readonly requestTimeoutMs: number;
  readonly requestHeadersTimeoutMs: number;
  readonly streamIdleTimeoutMs: number;
  readonly maxStreamDurationMs: number;
  readonly delayedCloseTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly maxConnectionDurationMs: number;
  /** 0: no limit. */
  readonly maxRequestsPerConnection: number;

  readonly maxRequestHeadersBytes: number;
  readonly maxHeadersCount: number;
  readonly headersWithUnderscores: 'ALLOW' | 'REJECT_REQUEST' | 'DROP_HEADER';
  readonly acceptHttp10: boolean;
  /** Host given to an HTTP/1.0 request without one; '' for none. */
  readonly defaultHostForHttp10: string;
  readonly allowAbsoluteUrl: boolean;
  /** Trailers of requests are read, and those of responses are sent; off, they are dropped. */
  readonly enableTrailers: boolean;

  readonly serverName: string;
  readonly serverHeader: 'OVERWRITE' | 'APPEND_IF_ABSENT' | 'PASS_THROUGH';
  readonly via: string;
  readonly useRemoteAddress: boolean;
  readonly skipXffAppend: boolean;
  readonly xffNumTrustedHops: number;
  /** null: Envoy's default (RFC 1918, loopback, link-local unique local). */
  readonly internalAddresses: readonly CidrRange[] | null;
  /** Asked in order for the client's address, in place of X-Forwarded-For and the peer; empty: none. */
  readonly originalIp: readonly OriginalIpDetection[];
  /** Applied before anything else looks at a request's headers. */
  readonly earlyMutations: readonly HeaderMutation[];
  /** Say by user-agent and x-envoy-downstream-service-… that the caller is this proxy's service. */
  readonly addUserAgent: boolean;
  /** The scheme that every request is taken to have; '': its own. */
  readonly schemeToSet: '' | 'http' | 'https';
  readonly appendXForwardedPort: boolean;
  /** IPv4 peers are written as IPv6 into headers. */
  readonly ipv4AsMapped: boolean;
  readonly generateRequestId: boolean;
  readonly preserveExternalRequestId: boolean;
  readonly alwaysSetRequestIdInResponse: boolean;

  readonly normalizePath: boolean;
  readonly mergeSlashes: boolean;
  readonly escapedSlashes: 'KEEP_UNCHANGED' | 'REJECT_REQUEST' | 'UNESCAPE_AND_REDIRECT' | 'UNESCAPE_AND_FORWARD';
  readonly stripHostPort: 'NONE' | 'MATCHING' | 'ANY';
  readonly stripTrailingHostDot: boolean;

  readonly upgrades: readonly ManagerUpgrade[];
  /** null: no Proxy-Status header. */
  readonly proxyStatus: ProxyStatus | null;
  /** Absent: SANITIZE. */
  readonly clientCert?: ClientCertForwarding;
  readonly localReply: LocalReplyConfig;
  readonly accessLog: readonly AccessLog[];
  readonly accessLogFlush: AccessLogFlush;
}

/** …original_ip_detection.xff.v3.XffConfig and …custom_header.v3.CustomHeaderConfig */
export type OriginalIpDetection =
  | {
      readonly kind: 'xff';
      readonly trustedHops: number;
    }
  | {
      readonly kind: 'header';
      readonly header: string;
      /** The address may make the caller internal. */
      readonly trusted: boolean;
      /** Status for requests without a usable header; null: the next one is asked. */
      readonly rejectStatus: number | null;
    };

/** …HttpConnectionManager.UpgradeConfig */
export interface ManagerUpgrade extends UpgradeConfig {
  /** Without the router; null: the filters of the connection manager. */
  readonly filters: readonly HttpFilterConfig[] | null;
}

/** One step: the header of that lower-case name goes, or one is set. */
export type HeaderMutation = { readonly remove: string } | { readonly set: HeaderValueOption };

/** How the Proxy-Status header of RFC 9209 is written. (…ProxyStatusConfig) */
export interface ProxyStatus {
  readonly details: boolean;
  /** Response flags among the details. */
  readonly flags: boolean;
  /** The status becomes the one that RFC 9209 recommends for the error. */
  readonly recommendedStatus: boolean;
  readonly name: 'server' | 'node' | 'literal';
  readonly literal: string;
}

/** When a log entry is written besides the one at the stream's end. (…HcmAccessLogOptions) */
export interface AccessLogFlush {
  readonly onNewRequest: boolean;
  readonly onTunnel: boolean;
  /** 0: never. */
  readonly intervalMs: number;
}

/** Where a route table comes from. */
export type RouteSource =
  | { readonly kind: 'inline'; readonly config: RouteConfig }
  | { readonly kind: 'rds'; readonly name: string };

/** Route tables by a key in the request's headers. (…ScopedRoutes) */
export interface ScopedRoutes {
  readonly kind: 'scoped';
  readonly name: string;
  /** What makes a request's key. */
  readonly key: readonly ScopeFragment[];
  readonly scopes: readonly RouteScope[];
}

export interface RouteScope {
  readonly name: string;
  readonly key: readonly string[];
  readonly routes: RouteSource;
}

/** One part of a key, taken from a header. */
export interface ScopeFragment {
  /** Lower case. */
  readonly header: string;
  /** Between the elements of the header's value; '': the whole value is the only one. */
  readonly separator: string;
  readonly pick:
    | { readonly kind: 'index'; readonly index: number }
    /** The value of the first element `key` + `separator` + value. */
    | { readonly kind: 'element'; readonly separator: string; readonly key: string };
}

/** Every route table that a connection manager may use. */
export function routeSources(routes: HttpConnectionManager['routes']): readonly RouteSource[] {
  return routes.kind === 'scoped' ? routes.scopes.map((scope) => scope.routes) : [routes];
}

/** What stays the same while only tables change: `routes` without the tables that stand in it. */
export function routesShape(routes: HttpConnectionManager['routes']): unknown {
  if (routes.kind !== 'scoped') return shapeOf(routes);
  return { ...routes, scopes: routes.scopes.map((scope) => ({ ...scope, routes: shapeOf(scope.routes) })) };
}

function shapeOf(source: RouteSource): unknown {
  return source.kind === 'rds' ? source : { kind: 'inline' };
}

/** What becomes of `x-forwarded-client-cert`. (…HttpConnectionManager.ForwardClientCertDetails) */
export interface ClientCertForwarding {
  readonly mode: 'FORWARD_ONLY' | 'APPEND_FORWARD' | 'SANITIZE_SET' | 'ALWAYS_FORWARD_ONLY';
  /** What is said of the client besides the hash of its certificate, where the mode says anything. */
  readonly details: {
    readonly subject: boolean;
    readonly cert: boolean;
    readonly chain: boolean;
    readonly dns: boolean;
    readonly uri: boolean;
  };
}

/** envoy.extensions.filters.http.router.v3.Router */
export interface RouterSettings {
  readonly suppressEnvoyHeaders: boolean;
  /** Header names whose values are checked before use (`x-envoy-…`); an invalid one is a 400. */
  readonly strictCheckHeaders: readonly string[];
  readonly respectExpectedRqTimeout: boolean;
}

/** How answers that the proxy makes itself are rewritten. (…LocalReplyConfig) */
export interface LocalReplyConfig {
  readonly mappers: readonly LocalReplyMapper[];
  /** null: the reason as plain text. */
  readonly bodyFormat: LocalReplyFormat | null;
}

export interface LocalReplyFormat {
  readonly format: LogFormat;
  readonly contentType: string;
}

export interface LocalReplyMapper {
  readonly filter: AccessLogFilter | null;
  readonly status: number | null;
  readonly body: string | null;
  readonly bodyFormat: LocalReplyFormat | null;
  readonly headersToAdd: readonly HeaderValueOption[];
}
