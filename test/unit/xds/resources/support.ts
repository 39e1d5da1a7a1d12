import { type Any, fromJson, type MessageType, Problems, pack, typeUrl } from '../../../../src/xds/proto/codec.ts';
import {
  type BalancerDecoder,
  type ContextParts,
  type DecodeContext,
  decodeContext,
  type HttpFilterDecoder,
} from '../../../../src/xds/resources/context.ts';

/** A filter or balancer that keeps its message as it is. */
function plainFilter(kind: string, configType: string, routeConfigType = configType): HttpFilterDecoder {
  return { kind, configType, routeConfigType, decode: (message) => message, decodeRoute: (message) => message };
}

function plainBalancer(kind: string, message: string): BalancerDecoder {
  const configType = `envoy.extensions.load_balancing_policies.${kind}.v3.${message}`;
  return { kind, configType, defaults: null, decode: (config) => config };
}

/** Stands in for the proxy's format compiler: operators are words, and `%BAD%` is not one. */
function checkFormat(text: string): string | null {
  const bad = /%(BAD[^%]*)%/.exec(text)?.[1];
  return bad === undefined ? null : `unknown command operator ${bad}`;
}

export function testContext(parts: Partial<ContextParts> = {}): DecodeContext {
  return decodeContext({
    httpFilters: [
      plainFilter('fault', 'envoy.extensions.filters.http.fault.v3.HTTPFault'),
      plainFilter(
        'rbac',
        'envoy.extensions.filters.http.rbac.v3.RBAC',
        'envoy.extensions.filters.http.rbac.v3.RBACPerRoute',
      ),
      plainFilter('local_rate_limit', 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit'),
    ],
    balancers: [
      plainBalancer('round_robin', 'RoundRobin'),
      plainBalancer('least_request', 'LeastRequest'),
      plainBalancer('random', 'Random'),
    ],
    checkFormat,
    formatWarnings: (text) => (text.includes('%EMPTY%') ? ['%EMPTY% never has a value'] : []),
    ...parts,
  });
}

/** JSON of a message, as the Any that discovery would carry. */
export function anyOf<T>(type: MessageType<T>, json: object): Any {
  const problems = new Problems();
  const message = fromJson(type, json, problems, '', { validate: false });
  if (!problems.ok) throw new Error(`${typeUrl(type)}: ${JSON.stringify(problems.list)}`);
  return pack(type, message);
}
