import type { GatewayServer } from '../../mesh/gateway.ts';
import type { RouteRule, RouteTableRule, RuleMatch } from '../../mesh/route-rule.ts';
import type { ConfigObject, Finding } from '../../source/collection.ts';
import { objectName } from '../../source/collection.ts';
import { findingAt, placeOf } from '../../source/finding.ts';
import type { Decoded } from '../decoded.ts';
import {
  compareAge,
  compareHosts,
  compareText,
  exportedTo,
  fullHost,
  gatewayName,
  hostMatches,
  visibleTo,
} from '../names.ts';

/** One VirtualService with its rules resolved, delegates included. */
export interface TranslatedVirtualService {
  readonly source: Decoded<'VirtualService'>;
  readonly rules: readonly RouteRule[];
}

interface Claim {
  readonly source: ConfigObject;
  readonly rules: readonly RouteRule[];
  readonly exportTo: readonly string[];
  /** Place of the host in the object, for findings. */
  readonly hostIndex: number;
}

/**
 * Route tables such that for each host, gateway and namespace of a proxy the first visible table is the whole truth.
 * Where one VirtualService alone has a host it is the table as written; several are merged (see README.md).
 */
export function mergeRoutes(
  services: readonly TranslatedVirtualService[],
  servers: readonly GatewayServer[],
): {
  readonly routes: readonly RouteTableRule[];
  readonly findings: readonly Finding[];
} {
  const findings: Finding[] = [];
  const tables = new Map<string, RouteTableRule>();
  for (const [host, byGateway] of claimsOf(services)) {
    for (const [gateway, written] of byGateway) {
      const claims = admittedTogether(written, host, gateway, servers, findings);
      for (const { exportTo, visible } of views(claims)) {
        const rules = visible.length === 1 ? (visible[0]?.rules ?? []) : mergeRules(visible, host, findings);
        const first = visible[0]?.source;
        if (first !== undefined) addTable(tables, { host, gateway, exportTo, rules, first, merged: visible });
      }
    }
  }
  const routes = joinGateways(tables.values()).sort(compareTables);
  return { routes, findings: dedupe(findings) };
}

function claimsOf(services: readonly TranslatedVirtualService[]): Map<string, Map<string, Claim[]>> {
  const claims = new Map<string, Map<string, Claim[]>>();
  for (const { source, rules } of services.toSorted((a, b) => compareAge(a.source.object, b.source.object))) {
    const { object, value } = source;
    const gateways = value.gateways?.length
      ? value.gateways.map((name) => gatewayName(name, object.namespace))
      : ['mesh'];
    const exportTo = exportedTo(value.exportTo, object.namespace);
    for (const [hostIndex, text] of (value.hosts ?? []).entries()) {
      const host = fullHost(text, object.namespace);
      const byGateway = claims.get(host) ?? new Map<string, Claim[]>();
      claims.set(host, byGateway);
      for (const gateway of new Set(gateways)) {
        const list = byGateway.get(gateway) ?? [];
        list.push({ source: object, rules, exportTo, hostIndex });
        byGateway.set(gateway, list);
      }
    }
  }
  return claims;
}

/**
 * A gateway's server may take hosts of some namespaces only, and a table has one namespace. So objects of several
 * namespaces merge where every server that has the host takes them all; elsewhere those of the first namespace count.
 */
function admittedTogether(
  claims: readonly Claim[],
  host: string,
  gateway: string,
  servers: readonly GatewayServer[],
  findings: Finding[],
): readonly Claim[] {
  if (new Set(claims.map((claim) => claim.source.namespace)).size < 2) return claims;
  const own = servers.filter((server) => server.gateway === gateway).map((server) => admittedNamespaces(server, host));
  const having = own.filter((namespaces) => namespaces.length > 0);
  if (having.length === 0) return claims;
  const takes = (claim: Claim) => (namespaces: readonly string[]) =>
    namespaces.includes('*') || namespaces.includes(claim.source.namespace);
  const admitted = claims.filter((claim) => having.some(takes(claim)));
  if (admitted.every((claim) => having.every(takes(claim)))) return admitted;
  const first = admitted[0]?.source.namespace;
  for (const claim of admitted) {
    if (claim.source.namespace === first) continue;
    const message = `${host} at ${gateway} is taken by objects of namespace ${first}: the gateway's servers admit different namespaces, so these rules are not merged there`;
    findings.push(findingAt(claim.source, 'warning', 'conflicting-host', ['spec', 'hosts', claim.hostIndex], message));
  }
  return admitted.filter((claim) => claim.source.namespace === first);
}

function admittedNamespaces(server: GatewayServer, host: string): readonly string[] {
  return server.hosts
    .filter((admitted) => hostMatches(admitted.host, host) || hostMatches(host, admitted.host))
    .map((admitted) => admitted.namespace);
}

/** Who sees what: one view for each namespace that is named, and one for all the others. Narrow views come first. */
function views(claims: readonly Claim[]): readonly { exportTo: readonly string[]; visible: readonly Claim[] }[] {
  const named = [...new Set(claims.flatMap((claim) => claim.exportTo))].filter((space) => space !== '*').sort();
  const all = claims.filter((claim) => claim.exportTo.includes('*'));
  const views: { exportTo: string[]; visible: readonly Claim[] }[] = [];
  for (const space of named) {
    const visible = claims.filter((claim) => visibleTo(claim.exportTo, space));
    if (visible.length === all.length) continue;
    const same = views.find(
      (view) => view.visible.length === visible.length && view.visible.every((claim, i) => claim === visible[i]),
    );
    if (same === undefined) views.push({ exportTo: [space], visible });
    else same.exportTo.push(space);
  }
  if (all.length > 0) views.push({ exportTo: ['*'], visible: all });
  return views;
}

interface Piece {
  readonly host: string;
  readonly gateway: string;
  readonly exportTo: readonly string[];
  readonly rules: readonly RouteRule[];
  readonly first: ConfigObject;
  readonly merged: readonly Claim[];
}

/** Hosts of one gateway with the very same rules share a table. */
function addTable(tables: Map<string, RouteTableRule>, piece: Piece): void {
  const objects = piece.merged.map((claim) => objectName(claim.source));
  const key = JSON.stringify([objects, piece.exportTo, piece.gateway]);
  const known = tables.get(key);
  tables.set(key, {
    hosts: known === undefined ? [piece.host] : [...known.hosts, piece.host],
    namespace: piece.first.namespace,
    gateways: [piece.gateway],
    exportTo: piece.exportTo,
    rules: known?.rules ?? piece.rules,
    written: { object: objectName(piece.first), place: placeOf(piece.first) },
  });
}

/** Gateways whose tables have the same hosts and rules share a table. */
function joinGateways(tables: Iterable<RouteTableRule>): RouteTableRule[] {
  const joined: RouteTableRule[] = [];
  for (const table of tables) {
    const same = joined.findIndex(
      (other) =>
        sameRules(other.rules, table.rules) &&
        JSON.stringify([other.hosts, other.exportTo]) === JSON.stringify([table.hosts, table.exportTo]),
    );
    const other = joined[same];
    if (other === undefined) joined.push(table);
    else joined[same] = { ...other, gateways: [...other.gateways, ...table.gateways] };
  }
  return joined;
}

function sameRules(a: readonly RouteRule[], b: readonly RouteRule[]): boolean {
  return a.length === b.length && a.every((rule, i) => rule === b[i]);
}

function compareTables(a: RouteTableRule, b: RouteTableRule): number {
  const wide = (table: RouteTableRule): number => (table.exportTo.includes('*') ? 1 : 0);
  return (
    compareHosts(a.hosts[0] ?? '', b.hosts[0] ?? '') ||
    wide(a) - wide(b) ||
    compareText(a.written.object, b.written.object) ||
    compareText(a.gateways[0] ?? '', b.gateways[0] ?? '')
  );
}

/**
 * Rules of several objects for one host in one order: always the most specific of those that are next in their
 * objects (so that within an object the order stays as written), and of equally specific ones the older object's.
 */
function mergeRules(claims: readonly Claim[], host: string, findings: Finding[]): readonly RouteRule[] {
  const queues = claims.map((claim) => ({ claim, rules: claim.rules.flatMap(split), next: 0 }));
  const merged: RouteRule[] = [];
  const owners = new Map<string, { claim: Claim; rule: RouteRule }>();
  for (;;) {
    let best: (typeof queues)[number] | undefined;
    for (const queue of queues) {
      const rule = queue.rules[queue.next];
      if (rule === undefined) continue;
      const other = best?.rules[best.next];
      if (other === undefined || compareSpecificity(rule, other) < 0) best = queue;
    }
    const rule = best?.rules[best.next];
    if (best === undefined || rule === undefined) return merged;
    best.next++;
    const key = matchKey(rule.matches[0]);
    const earlier = owners.get(key);
    if (earlier === undefined) {
      owners.set(key, { claim: best.claim, rule });
      merged.push(rule);
    } else if (earlier.claim !== best.claim) {
      findings.push(conflict(best.claim, rule, earlier, host));
    } else {
      merged.push(rule);
    }
  }
}

function conflict(claim: Claim, rule: RouteRule, earlier: { claim: Claim; rule: RouteRule }, host: string): Finding {
  const name = rule.name === '' ? `the rule at ${rule.written.place}` : `rule ${rule.name}`;
  const by = `${earlier.rule.written.object}${earlier.rule.name === '' ? '' : ` rule ${earlier.rule.name}`} (${earlier.rule.written.place})`;
  const message = `${name} never applies to ${host}: ${by} comes first and matches the same; change its match or merge the objects`;
  return findingAt(claim.source, 'warning', 'conflicting-route', ['spec', 'hosts', claim.hostIndex], message);
}

/** A rule for each of its matches: they may end up apart. */
function split(rule: RouteRule): readonly RouteRule[] {
  return rule.matches.length < 2 ? [rule] : rule.matches.map((match) => ({ ...rule, matches: [match] }));
}

/** Gateway API's precedence: exact path, longer prefix, method, more headers, more query parameters; then what is ours. */
export function compareSpecificity(a: RouteRule, b: RouteRule): number {
  const left = specificity(a.matches[0]);
  const right = specificity(b.matches[0]);
  for (const [i, value] of left.entries()) {
    const difference = (right[i] ?? 0) - value;
    if (difference !== 0) return difference;
  }
  return 0;
}

function specificity(match: RuleMatch | undefined): readonly number[] {
  if (match === undefined) return [PATH_ANY, 0, 0, 0, 0, 0];
  const path = pathRank(match);
  return [
    path,
    path === PATH_EXACT || path === PATH_PREFIX ? (match.uri?.value.length ?? 0) : 0,
    match.method === null ? 0 : 1,
    match.headers.size +
      match.withoutHeaders.size +
      (match.authority === null ? 0 : 1) +
      (match.scheme === null ? 0 : 1),
    match.queryParams.size,
    (match.port > 0 ? 1 : 0) +
      Object.keys(match.sourceLabels).length +
      (match.sourceNamespace === '' ? 0 : 1) +
      match.gateways.length,
  ];
}

const PATH_EXACT = 4;
const PATH_PREFIX = 3;
const PATH_REGEX = 2;
const PATH_ANY = 1;

function pathRank({ uri }: RuleMatch): number {
  if (uri === null) return PATH_ANY;
  if (uri.kind === 'exact') return PATH_EXACT;
  if (uri.kind === 'regex') return PATH_REGEX;
  return uri.value.length > 1 ? PATH_PREFIX : PATH_ANY;
}

/** Two matches with the same key match the same requests. Names and statistics do not count; the prefix `/` is no match. */
export function matchKey(match: RuleMatch | undefined): string {
  if (match === undefined) return matchKey(EVERYTHING);
  const sorted = (map: ReadonlyMap<string, unknown>): unknown => [...map].sort(([a], [b]) => compareText(a, b));
  const uri = match.uri?.kind === 'prefix' && match.uri.value.length <= 1 ? null : match.uri;
  return JSON.stringify([
    uri,
    uri !== null && match.ignoreUriCase,
    match.scheme,
    match.method,
    match.authority,
    sorted(match.headers),
    sorted(match.withoutHeaders),
    sorted(match.queryParams),
    match.port,
    Object.entries(match.sourceLabels).sort(),
    match.sourceNamespace,
    match.gateways.toSorted(),
  ]);
}

const EVERYTHING: RuleMatch = {
  name: '',
  uri: null,
  ignoreUriCase: false,
  scheme: null,
  method: null,
  authority: null,
  headers: new Map(),
  withoutHeaders: new Map(),
  queryParams: new Map(),
  port: 0,
  sourceLabels: {},
  sourceNamespace: '',
  gateways: [],
  statPrefix: '',
};

/** The same conflict is met once for each gateway and view. */
function dedupe(findings: readonly Finding[]): readonly Finding[] {
  const seen = new Set<string>();
  return findings.filter((finding) => {
    const key = `${finding.object} ${finding.field} ${finding.message}`;
    return !seen.has(key) && seen.add(key) !== undefined;
  });
}
