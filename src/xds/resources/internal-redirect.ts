import type { InternalRedirectPolicy } from '../../model/route.ts';
import type { TypedExtensionConfig } from '../proto/gen/envoy/config/core/v3.ts';
import type * as route from '../proto/gen/envoy/config/route/v3.ts';
import { AllowListedRoutesConfig } from '../proto/gen/envoy/extensions/internal_redirect/allow_listed_routes/v3.ts';
import { PreviousRoutesConfig } from '../proto/gen/envoy/extensions/internal_redirect/previous_routes/v3.ts';
import { SafeCrossSchemeConfig } from '../proto/gen/envoy/extensions/internal_redirect/safe_cross_scheme/v3.ts';
import { typeNameOf } from '../proto/message-type.ts';
import type { Decoding } from './decoding.ts';

const DEFAULT_STATUSES = [302];
const STATUSES: readonly number[] = [301, 302, 303, 307, 308];
const PREDICATES = 'allow_listed_routes, previous_routes, safe_cross_scheme';

/** The policy of a route, from the deprecated fields where only they are set; null: redirects are passed on. */
export function decodeInternalRedirects(
  action: route.RouteAction,
  path: string,
  s: Decoding,
): InternalRedirectPolicy | null {
  const policy = action.internal_redirect_policy;
  if (policy !== undefined) return decodePolicy(policy, `${path}.internal_redirect_policy`, s);
  if (action.internal_redirect_action !== 'HANDLE_INTERNAL_REDIRECT') return null;
  return decodePolicy({ max_internal_redirects: action.max_internal_redirects }, path, s);
}

function decodePolicy(policy: route.InternalRedirectPolicy, path: string, s: Decoding): InternalRedirectPolicy {
  const statuses = policy.redirect_response_codes ?? [];
  for (const [i, status] of statuses.entries()) {
    if (!STATUSES.includes(status)) {
      s.noEffect(`${path}.redirect_response_codes[${i}]`, `${status} is none of ${STATUSES.join(', ')}`);
    }
  }
  return {
    maxRedirects: policy.max_internal_redirects ?? 1,
    statuses: statuses.length === 0 ? DEFAULT_STATUSES : statuses.filter((status) => STATUSES.includes(status)),
    allowCrossScheme: policy.allow_cross_scheme_redirect ?? false,
    ...decodePredicates(policy.predicates ?? [], `${path}.predicates`, s),
    responseHeadersToCopy: (policy.response_headers_to_copy ?? []).map((name, i) =>
      decodeCopied(name, `${path}.response_headers_to_copy[${i}]`, s),
    ),
  };
}

type Predicates = Pick<InternalRedirectPolicy, 'safeCrossScheme' | 'allowedRoutes' | 'previousRoutes'>;

function decodePredicates(predicates: readonly TypedExtensionConfig[], path: string, s: Decoding): Predicates {
  let safeCrossScheme = false;
  let previousRoutes = false;
  let allowedRoutes: readonly string[] | null = null;
  for (const [i, { typed_config: any }] of predicates.entries()) {
    const at = `${path}[${i}].typed_config`;
    if (any === undefined) {
      s.error(at, `is needed: the config of one of ${PREDICATES}`);
      continue;
    }
    switch (typeNameOf(any.type_url)) {
      case AllowListedRoutesConfig.typeName: {
        const names = s.openAs(AllowListedRoutesConfig, any, at)?.allowed_route_names ?? [];
        // Of several lists, all must hold the name.
        allowedRoutes = allowedRoutes === null ? names : allowedRoutes.filter((name) => names.includes(name));
        break;
      }
      case PreviousRoutesConfig.typeName:
        previousRoutes = s.openAs(PreviousRoutesConfig, any, at) !== undefined;
        break;
      case SafeCrossSchemeConfig.typeName:
        safeCrossScheme = s.openAs(SafeCrossSchemeConfig, any, at) !== undefined;
        break;
      default:
        s.error(at, `${typeNameOf(any.type_url)} is no predicate of internal redirects here: use ${PREDICATES}`);
    }
  }
  return { safeCrossScheme, previousRoutes, allowedRoutes };
}

function decodeCopied(name: string, path: string, s: Decoding): string {
  const lower = name.toLowerCase();
  if (lower.startsWith(':') || lower === 'host') {
    s.error(path, `${JSON.stringify(name)}: host and :-prefixed headers are not copied, the Location names the host`);
  } else if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(lower)) {
    s.error(path, `${JSON.stringify(name)} is not a header name`);
  }
  return lower;
}
