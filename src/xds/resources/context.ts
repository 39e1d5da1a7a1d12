import { readBoundedFile } from '../../base/bounded-file.ts';
import { systemClock } from '../../base/clock.ts';
import { Registry } from '../../base/registry.ts';
import type { Problems } from '../proto/codec.ts';

/**
 * What decoding needs to know of an HTTP filter. `HttpFilterType` of proxy/filters satisfies it; it is
 * declared here because xds never imports proxy.
 */
export interface HttpFilterDecoder {
  readonly kind: string;
  /** Full proto name of the config. */
  readonly configType: string;
  /** Full proto name of the per-route config; '' when the filter has none. */
  readonly routeConfigType: string;
  decode(message: unknown, problems: Problems, warnings: Problems, path: string): unknown;
  decodeRoute(message: unknown, problems: Problems, warnings: Problems, path: string): unknown;
}

/** Of a network filter before a TCP proxy. `NetworkFilterType` of proxy/filters satisfies it. */
export interface NetworkFilterDecoder {
  readonly kind: string;
  readonly configType: string;
  decode(message: unknown, problems: Problems, warnings: Problems, path: string): unknown;
}

/** What decoding needs to know of a load balancing policy. `BalancerType` of proxy/upstream/lb satisfies it. */
export interface BalancerDecoder {
  readonly kind: string;
  readonly configType: string;
  readonly defaults: unknown;
  decode(message: unknown, problems: Problems, warnings: Problems, path: string): unknown;
}

/** Values of the bootstrap's runtime, by flat key. */
export type RuntimeMap = ReadonlyMap<string, number | boolean | string>;

/** What the decoders are given from outside: the proxy's extensions, and the checks that belong to it. */
export interface DecodeContext {
  readonly httpFilters: Registry<HttpFilterDecoder>;
  /** The same filters by the type of their per-route config. */
  readonly routeFilters: Registry<HttpFilterDecoder>;
  readonly networkFilters: Registry<NetworkFilterDecoder>;
  readonly balancers: Registry<BalancerDecoder>;
  readonly runtime: RuntimeMap;
  /** Says what is wrong with a format string (`%REQ(X)%`), or null. */
  readonly checkFormat: (text: string) => string | null;
  /** Names what in a valid format never has a value here. */
  readonly formatWarnings: (text: string) => readonly string[];
  /** Reads what a DataSource's `filename` names. Throws a system error, or that it has more than `maxBytes`. */
  readonly readFile: (path: string, maxBytes: number) => Uint8Array;
  /** Wall time, ms: what expired is named. */
  readonly now: () => number;
}

export interface ContextParts {
  readonly httpFilters?: Iterable<HttpFilterDecoder>;
  readonly networkFilters?: Iterable<NetworkFilterDecoder>;
  readonly balancers?: Iterable<BalancerDecoder>;
  readonly runtime?: RuntimeMap;
  readonly checkFormat?: (text: string) => string | null;
  readonly formatWarnings?: (text: string) => readonly string[];
  readonly readFile?: (path: string, maxBytes: number) => Uint8Array;
  readonly now?: () => number;
}

export function decodeContext(parts: ContextParts): DecodeContext {
  const filters = [...(parts.httpFilters ?? [])];
  const withRoutes = filters.filter((filter) => filter.routeConfigType !== '');
  return {
    httpFilters: new Registry(
      'HTTP filter',
      filters.map((filter) => [filter.configType, filter]),
    ),
    routeFilters: new Registry(
      'per-route HTTP filter config',
      withRoutes.map((filter) => [filter.routeConfigType, filter]),
    ),
    networkFilters: new Registry(
      'network filter',
      [...(parts.networkFilters ?? [])].map((filter) => [filter.configType, filter]),
    ),
    balancers: new Registry(
      'load balancing policy',
      [...(parts.balancers ?? [])].map((balancer) => [balancer.configType, balancer]),
    ),
    runtime: parts.runtime ?? new Map(),
    checkFormat: parts.checkFormat ?? (() => null),
    formatWarnings: parts.formatWarnings ?? (() => []),
    readFile: parts.readFile ?? readBoundedFile,
    now: parts.now ?? systemClock.wall,
  };
}
