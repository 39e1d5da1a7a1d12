import type { HttpFilterConfig, RouterSettings } from '../../model/http-connection-manager.ts';
import { resolve } from '../proto/descriptor.ts';
import { Router } from '../proto/gen/envoy/extensions/filters/http/router/v3.ts';
import type * as hcm from '../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import { typeNameOf } from '../proto/message-type.ts';
import type { Decoding } from './decoding.ts';

export interface DecodedFilters {
  readonly filters: readonly HttpFilterConfig[];
  readonly router: RouterSettings;
}

const NO_SETTINGS: RouterSettings = {
  suppressEnvoyHeaders: false,
  strictCheckHeaders: [],
  respectExpectedRqTimeout: false,
};

/** The filter chain in its order, with the router, which must be last, taken off. */
export function decodeHttpFilters(
  list: readonly hcm.HttpFilter[] | undefined,
  path: string,
  s: Decoding,
): DecodedFilters {
  const filters: HttpFilterConfig[] = [];
  const last = (list?.length ?? 0) - 1;
  let router: RouterSettings | undefined;
  for (const [i, filter] of (list ?? []).entries()) {
    const at = `${path}[${i}]`;
    const decoded = decodeFilter(filter, at, s);
    if (decoded === undefined) {
      // What is optional was skipped, anything else is a problem already: do not complain of the router too.
      if (i === last) router ??= NO_SETTINGS;
    } else if ('router' in decoded) {
      router = decoded.router;
      if (i !== last) s.error(at, 'the router must be the last filter: the ones behind it would never run');
      if (filter.disabled === true) s.error(`${at}.disabled`, 'the router cannot be disabled');
    } else filters.push(decoded);
  }
  if (router === undefined)
    s.error(path, 'the last filter must be the router (envoy.extensions.filters.http.router.v3.Router)');
  return { filters, router: router ?? NO_SETTINGS };
}

function decodeFilter(
  filter: hcm.HttpFilter,
  path: string,
  s: Decoding,
): HttpFilterConfig | { router: RouterSettings } | undefined {
  const name = filter.name ?? '';
  const at = `${path}.typed_config`;
  const optional = filter.is_optional ?? false;
  const any = filter.typed_config;
  if (any === undefined || (optional && resolve(typeNameOf(any.type_url)) === undefined)) {
    if (optional)
      s.noEffect(path, `filter ${JSON.stringify(name)} is of an unknown type and optional, so it is skipped`);
    // Extension discovery has been refused by the field table.
    else if (filter.config_discovery === undefined)
      s.error(at, `filter ${JSON.stringify(name)} has no config: its "@type" says which filter it is`);
    return undefined;
  }
  const opened = s.open(any, at);
  if (opened === undefined) return undefined;
  if (opened.typeName === Router.typeName) {
    s.check(Router, opened.message, at);
    return { router: decodeRouter(opened.message as Router) };
  }
  const type = s.context.httpFilters.get(opened.typeName);
  if (type !== undefined) {
    const config = type.decode(opened.message, s.problems, s.warnings, at);
    return { name, kind: type.kind, config, disabled: filter.disabled ?? false };
  }
  if (optional)
    s.noEffect(
      path,
      `filter ${JSON.stringify(name)} (${opened.typeName}) is not in this version and optional, so it is skipped`,
    );
  else s.error(at, unsupported(name, opened.typeName));
  return undefined;
}

/** What a user of the filter can do instead, or when it comes. */
const HINTS: { readonly [filter: string]: string } = {
  ratelimit: 'it comes later; local_ratelimit works on each proxy',
  jwt_authn: 'it comes later; without it requests that it denies would pass',
  ext_authz: 'it comes later; without it requests that it denies would pass',
  lua: 'script filters take its place in a later version',
  wasm: 'script filters take its place in a later version',
  grpc_stats: 'gRPC comes in a later version',
  grpc_web: 'gRPC comes in a later version',
};

function unsupported(name: string, typeName: string): string {
  const short = /^envoy\.extensions\.filters\.http\.(\w+)\./.exec(typeName)?.[1] ?? '';
  const hint = HINTS[short] ?? 'take it out, or mark it is_optional to go on without it';
  return `HTTP filter ${JSON.stringify(name)} (${typeName}) is not in this version: ${hint}`;
}

function decodeRouter(router: Router): RouterSettings {
  return {
    suppressEnvoyHeaders: router.suppress_envoy_headers ?? false,
    strictCheckHeaders: (router.strict_check_headers ?? []).map((name) => name.toLowerCase()),
    respectExpectedRqTimeout: router.respect_expected_rq_timeout ?? false,
  };
}
