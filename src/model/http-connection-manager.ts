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
  readonly routes:
    | { readonly kind: 'inline'; readonly config: RouteConfig }
    | { readonly kind: 'rds'; readonly name: string };
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

  readonly serverName: string;
  readonly serverHeader: 'OVERWRITE' | 'APPEND_IF_ABSENT' | 'PASS_THROUGH';
  readonly via: string;
  readonly useRemoteAddress: boolean;
  readonly skipXffAppend: boolean;
  readonly xffNumTrustedHops: number;
  /** null: Envoy's default (RFC 1918, loopback, link-local unique local). */
  readonly internalAddresses: readonly CidrRange[] | null;
  readonly generateRequestId: boolean;
  readonly preserveExternalRequestId: boolean;
  readonly alwaysSetRequestIdInResponse: boolean;

  readonly normalizePath: boolean;
  readonly mergeSlashes: boolean;
  readonly escapedSlashes: 'KEEP_UNCHANGED' | 'REJECT_REQUEST' | 'UNESCAPE_AND_REDIRECT' | 'UNESCAPE_AND_FORWARD';
  readonly stripHostPort: 'NONE' | 'MATCHING' | 'ANY';
  readonly stripTrailingHostDot: boolean;

  /** Absent: SANITIZE. */
  readonly clientCert?: ClientCertForwarding;

  readonly upgrades: readonly UpgradeConfig[];
  readonly localReply: LocalReplyConfig;
  readonly accessLog: readonly AccessLog[];
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
