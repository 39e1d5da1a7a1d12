import { count } from '../../../base/words.ts';
import type { Headers } from '../../../protocol/http/headers.ts';
import type { CorsPolicy as WirePolicy } from '../../../xds/proto/gen/envoy/extensions/filters/http/cors/v3.ts';
import { compileStringMatcher, type StringTest } from '../../matcher/string.ts';
import {
  type FilterContext,
  type FilterDescription,
  FilterResult,
  type FilterStream,
  type HttpFilter,
  type HttpFilterType,
} from '../filter.ts';
import { isEnabled } from '../fraction.ts';
import { type CorsPolicy, decodeCorsPolicy } from './config.ts';

/** A policy with its matchers compiled: what a route or virtual host carries. */
export interface Cors {
  readonly policy: CorsPolicy;
  readonly origins: readonly StringTest[];
  /** `*` is among the origins. */
  readonly anyOrigin: boolean;
}

export const cors: HttpFilterType<null, Cors> = {
  kind: 'cors',
  configType: 'envoy.extensions.filters.http.cors.v3.Cors',
  routeConfigType: 'envoy.extensions.filters.http.cors.v3.CorsPolicy',
  decode: () => null,
  decodeRoute: (message, problems, _warnings, path) =>
    compilePolicy(decodeCorsPolicy(message as WirePolicy, problems, path)),
  routeData: { plain: ({ policy }) => policy, compile: (plain) => compilePolicy(plain as CorsPolicy) },
  create: (_config, context) => new CorsFilter(context),
};

function compilePolicy(policy: CorsPolicy): Cors {
  const origins = policy.allowOrigins.map(compileStringMatcher);
  return { policy, origins, anyOrigin: origins.some((origin) => origin.test('*')) };
}

/** Answers preflights and grants cross-origin reads, by the policy of the route. A filter without one does nothing. */
class CorsFilter implements HttpFilter<Cors> {
  readonly #context: FilterContext;
  readonly #originValid: number;
  readonly #originInvalid: number;

  constructor(context: FilterContext) {
    this.#context = context;
    const { stats, statPrefix } = context;
    const counter = (stat: string): number =>
      stats.counter(
        `envoy_http_cors_${stat}`,
        { envoy_http_conn_manager_prefix: statPrefix },
        `http.${statPrefix}.cors.${stat}`,
      );
    this.#originValid = counter('origin_valid');
    this.#originInvalid = counter('origin_invalid');
  }

  onRequestHead(stream: FilterStream, route: Cors | null): FilterResult {
    if (route === null) return FilterResult.Next;
    const { request } = stream;
    const origin = request.headers.get('origin');
    if (origin === undefined || origin === '') return FilterResult.Next;
    const { policy } = route;
    const enabled = isEnabled(policy.enabled, true, this.#context);
    if (!enabled && !isEnabled(policy.shadow, false, this.#context)) return FilterResult.Next;
    const allowed = route.anyOrigin || route.origins.some((matcher) => matcher.test(origin));
    this.#context.stats.inc(allowed ? this.#originValid : this.#originInvalid);
    if (!enabled) return FilterResult.Next;
    if (allowed) stream.slots[this.#context.slot] = origin;
    if (request.method !== 'OPTIONS' || !request.headers.get('access-control-request-method')) return FilterResult.Next;
    if (!allowed && policy.forwardNotMatchingPreflights) return FilterResult.Next;
    stream.reply({
      status: 200,
      body: '',
      details: 'cors_response',
      flags: 0,
      reason: '',
      headers: allowed ? preflightHeaders(policy, request.headers) : [],
    });
    return FilterResult.Replied;
  }

  onResponseHead(stream: FilterStream, route: Cors | null): FilterResult {
    const origin = stream.slots[this.#context.slot] as string | undefined;
    if (origin === undefined || route === null) return FilterResult.Next;
    const { headers } = stream.response;
    headers.set('access-control-allow-origin', origin);
    if (route.policy.allowCredentials) headers.set('access-control-allow-credentials', 'true');
    if (route.policy.exposeHeaders !== '') headers.set('access-control-expose-headers', route.policy.exposeHeaders);
    return FilterResult.Next;
  }

  describe(route: Cors | null): FilterDescription | null {
    if (route === null) return null;
    const { allowMethods } = route.policy;
    const origins = count(route.origins.length, 'pattern of origins', 'patterns of origins');
    return { says: `answers preflights for ${origins}${allowMethods === '' ? '' : `, ${allowMethods}`}`, fault: null };
  }
}

/** What a preflight's answer says besides what every answer says. */
function preflightHeaders(policy: CorsPolicy, request: Headers): [name: string, value: string][] {
  const headers: [string, string][] = [];
  if (policy.allowMethods !== '') headers.push(['access-control-allow-methods', policy.allowMethods]);
  if (policy.allowHeaders !== '') headers.push(['access-control-allow-headers', policy.allowHeaders]);
  if (policy.maxAge !== '') headers.push(['access-control-max-age', policy.maxAge]);
  if (policy.allowPrivateNetworkAccess && request.get('access-control-request-private-network') === 'true') {
    headers.push(['access-control-allow-private-network', 'true']);
  }
  return headers;
}
