import { isIP } from '../../../base/ip.ts';
import type { CidrRange } from '../../../model/address.ts';
import type { HeaderMatcher, StringMatcher } from '../../../model/matcher.ts';
import type { Problems } from '../../../xds/proto/codec.ts';
import type * as core from '../../../xds/proto/gen/envoy/config/core/v3.ts';
import type * as wire from '../../../xds/proto/gen/envoy/config/rbac/v3.ts';
import type { RBAC } from '../../../xds/proto/gen/envoy/extensions/filters/http/rbac/v3.ts';
import type { RBAC as NetworkRBAC } from '../../../xds/proto/gen/envoy/extensions/filters/network/rbac/v3.ts';
import type { PathMatcher } from '../../../xds/proto/gen/envoy/type/matcher/v3.ts';
import { decodeHeaderMatcher, decodeStringMatcher } from '../wire.ts';

/** envoy.extensions.filters.http.rbac.v3.RBAC, resolved. Without rules every request passes. */
export interface RbacConfig {
  readonly rules: RbacRules | null;
  /** Evaluated and counted, never enforced. */
  readonly shadowRules: RbacRules | null;
  readonly rulesStatPrefix: string;
  readonly shadowRulesStatPrefix: string;
  readonly trackPerRuleStats: boolean;
}

/** envoy.extensions.filters.network.rbac.v3.RBAC, resolved. */
export interface NetworkRbacConfig {
  readonly rbac: RbacConfig;
  readonly statPrefix: string;
}

/** envoy.config.rbac.v3.RBAC */
export interface RbacRules {
  readonly action: 'ALLOW' | 'DENY' | 'LOG';
  /** By name, the order in which they are asked: the first that matches gives the request its policy. */
  readonly policies: readonly RbacPolicy[];
}

/** Matches when one of the permissions and one of the principals do. */
export interface RbacPolicy {
  readonly name: string;
  readonly permissions: readonly Condition[];
  readonly principals: readonly Condition[];
}

/** A permission or a principal: what is asked of a request and of who sends it. */
export type Condition =
  | { readonly kind: 'any' }
  | { readonly kind: 'and' | 'or'; readonly of: readonly Condition[] }
  | { readonly kind: 'not'; readonly of: Condition }
  | { readonly kind: 'header'; readonly header: HeaderMatcher }
  /** The path without its query. */
  | { readonly kind: 'path'; readonly path: StringMatcher }
  | { readonly kind: 'address'; readonly of: AddressKind; readonly range: CidrRange }
  /** Destination ports from `start` to below `end`. */
  | { readonly kind: 'port'; readonly start: number; readonly end: number }
  | { readonly kind: 'serverName'; readonly name: StringMatcher }
  /** `name` null: anybody who speaks TLS. */
  | { readonly kind: 'authenticated'; readonly name: StringMatcher | null };

/** The socket's own address, its peer's, and the client's as far as X-Forwarded-For is trusted. */
export type AddressKind = 'destination' | 'directRemote' | 'remote';

/** What stands for a condition that was refused. The config that holds it is refused too. */
const NEVER: Condition = { kind: 'not', of: { kind: 'any' } };

export function decodeRbac(rbac: RBAC, problems: Problems, warnings: Problems, path: string): RbacConfig {
  for (const field of ['matcher', 'shadow_matcher'] as const) {
    if (rbac[field] === undefined) continue;
    const instead = field === 'matcher' ? 'rules' : 'shadow_rules';
    problems.add(`${path}.${field}`, `refused: matcher trees are not supported: write the policies as ${instead}`);
  }
  return {
    rules: decodeRules(rbac.rules, problems, warnings, `${path}.rules`),
    shadowRules: decodeRules(rbac.shadow_rules, problems, warnings, `${path}.shadow_rules`),
    rulesStatPrefix: rbac.rules_stat_prefix ?? '',
    shadowRulesStatPrefix: rbac.shadow_rules_stat_prefix ?? '',
    trackPerRuleStats: rbac.track_per_rule_stats ?? false,
  };
}

export function decodeNetworkRbac(
  message: unknown,
  problems: Problems,
  warnings: Problems,
  path: string,
): NetworkRbacConfig {
  const { stat_prefix: statPrefix = '', enforcement_type: _, ...rbac } = message as NetworkRBAC;
  return { rbac: decodeRbac(rbac, problems, warnings, path), statPrefix };
}

function decodeRules(
  rules: wire.RBAC | undefined,
  problems: Problems,
  warnings: Problems,
  path: string,
): RbacRules | null {
  if (rules === undefined) return null;
  if (rules.audit_logging_options !== undefined) {
    warnings.add(
      `${path}.audit_logging_options`,
      'accepted, no effect in this version: there are no audit loggers; the access log names the policy',
    );
  }
  const policies = Object.entries(rules.policies ?? {}).sort(([a], [b]) =>
    Buffer.compare(Buffer.from(a), Buffer.from(b)),
  );
  return {
    action: rules.action ?? 'ALLOW',
    policies: policies.map(([name, policy]) => {
      const at = `${path}.policies["${name}"]`;
      for (const field of ['condition', 'checked_condition'] as const) {
        if (policy[field] !== undefined) refuse(problems, `${at}.${field}`, 'CEL expressions are not supported');
      }
      return {
        name,
        permissions: list(policy.permissions, decodePermission, problems, `${at}.permissions`),
        principals: list(policy.principals, decodePrincipal, problems, `${at}.principals`),
      };
    }),
  };
}

function list<T>(
  items: readonly T[] | undefined,
  decode: (item: T, problems: Problems, path: string) => Condition,
  problems: Problems,
  path: string,
): Condition[] {
  return (items ?? []).map((item, i) => decode(item, problems, `${path}[${i}]`));
}

/** A condition cannot be left out: a policy would match more, or a denial less. */
function refuse(problems: Problems, path: string, why: string): Condition {
  problems.add(path, `refused: ${why}`);
  return NEVER;
}

function decodePermission(p: wire.Permission, problems: Problems, path: string): Condition {
  if (p.any === true) return { kind: 'any' };
  if (p.and_rules !== undefined)
    return { kind: 'and', of: list(p.and_rules.rules, decodePermission, problems, `${path}.and_rules.rules`) };
  if (p.or_rules !== undefined)
    return { kind: 'or', of: list(p.or_rules.rules, decodePermission, problems, `${path}.or_rules.rules`) };
  if (p.not_rule !== undefined) return { kind: 'not', of: decodePermission(p.not_rule, problems, `${path}.not_rule`) };
  if (p.header !== undefined) return decodeHeader(p.header, problems, `${path}.header`);
  if (p.url_path !== undefined) return decodePath(p.url_path, problems, `${path}.url_path`);
  if (p.destination_ip !== undefined)
    return decodeAddress('destination', p.destination_ip, problems, `${path}.destination_ip`);
  if (p.destination_port !== undefined) return { kind: 'port', start: p.destination_port, end: p.destination_port + 1 };
  if (p.destination_port_range !== undefined) {
    const { start = 0, end = 0 } = p.destination_port_range;
    if (start < 0 || end > 65_536 || start >= end) {
      problems.add(
        `${path}.destination_port_range`,
        `[${start}, ${end}) holds no port: start must be at least 0, end above it and at most 65536`,
      );
    }
    return { kind: 'port', start, end };
  }
  if (p.requested_server_name !== undefined) {
    const name = decodeStringMatcher(p.requested_server_name, problems, `${path}.requested_server_name`);
    return name === null ? NEVER : { kind: 'serverName', name };
  }
  if (p.metadata !== undefined)
    return refuse(problems, `${path}.metadata`, 'metadata is not matched in this version: match a header in its place');
  if (p.uri_template !== undefined)
    return refuse(problems, `${path}.uri_template`, 'templates are not supported: use url_path with a safe_regex');
  return refuse(
    problems,
    p.matcher === undefined ? path : `${path}.matcher`,
    'matchers by extension are not supported: use header, url_path, or the conditions on ports and addresses',
  );
}

function decodePrincipal(p: wire.Principal, problems: Problems, path: string): Condition {
  if (p.any === true) return { kind: 'any' };
  if (p.and_ids !== undefined)
    return { kind: 'and', of: list(p.and_ids.ids, decodePrincipal, problems, `${path}.and_ids.ids`) };
  if (p.or_ids !== undefined)
    return { kind: 'or', of: list(p.or_ids.ids, decodePrincipal, problems, `${path}.or_ids.ids`) };
  if (p.not_id !== undefined) return { kind: 'not', of: decodePrincipal(p.not_id, problems, `${path}.not_id`) };
  if (p.authenticated !== undefined) {
    const { principal_name } = p.authenticated;
    if (principal_name === undefined) return { kind: 'authenticated', name: null };
    const name = decodeStringMatcher(principal_name, problems, `${path}.authenticated.principal_name`);
    return name === null ? NEVER : { kind: 'authenticated', name };
  }
  // The connection's peer: without the PROXY protocol both are the socket's.
  if (p.source_ip !== undefined) return decodeAddress('directRemote', p.source_ip, problems, `${path}.source_ip`);
  if (p.direct_remote_ip !== undefined)
    return decodeAddress('directRemote', p.direct_remote_ip, problems, `${path}.direct_remote_ip`);
  if (p.remote_ip !== undefined) return decodeAddress('remote', p.remote_ip, problems, `${path}.remote_ip`);
  if (p.header !== undefined) return decodeHeader(p.header, problems, `${path}.header`);
  if (p.url_path !== undefined) return decodePath(p.url_path, problems, `${path}.url_path`);
  if (p.metadata !== undefined)
    return refuse(problems, `${path}.metadata`, 'metadata is not matched in this version: match a header in its place');
  return refuse(
    problems,
    p.filter_state === undefined ? path : `${path}.filter_state`,
    'there is no filter state in this version: use authenticated, a header or an address',
  );
}

function decodeHeader(header: Parameters<typeof decodeHeaderMatcher>[0], problems: Problems, path: string): Condition {
  const decoded = decodeHeaderMatcher(header, problems, path);
  return decoded === null ? NEVER : { kind: 'header', header: decoded };
}

function decodePath({ path: matcher }: PathMatcher, problems: Problems, path: string): Condition {
  const decoded = decodeStringMatcher(matcher ?? {}, problems, `${path}.path`);
  return decoded === null ? NEVER : { kind: 'path', path: decoded };
}

function decodeAddress(of: AddressKind, range: core.CidrRange, problems: Problems, path: string): Condition {
  const address = range.address_prefix ?? '';
  const prefixLength = range.prefix_len ?? 0;
  const version = isIP(address);
  if (version === 0) {
    problems.add(`${path}.address_prefix`, `${JSON.stringify(address)} is not an IP address`);
    return NEVER;
  }
  const bits = version === 4 ? 32 : 128;
  if (prefixLength > bits) {
    problems.add(`${path}.prefix_len`, `${prefixLength} is more than the ${bits} bits of an IPv${version} address`);
    return NEVER;
  }
  return { kind: 'address', of, range: { address, prefixLength } };
}
