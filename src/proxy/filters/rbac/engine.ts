import { toOctets } from '../../../base/regex.ts';
import { compileCidr } from '../../matcher/cidr.ts';
import { compileHeaderMatcher } from '../../matcher/header.ts';
import { compileStringMatcher, type StringTest } from '../../matcher/string.ts';
import type { ConnectionInfo, StreamInfo } from '../../telemetry/stream-info.ts';
import type { Condition, RbacRules } from './config.ts';

/** A compiled condition. Asking makes no object. */
export type Test = (info: StreamInfo) => boolean;

/** A policy of an {@link Engine}, compiled. */
export interface CompiledPolicy {
  readonly name: string;
  /** Envoy's `response_code_details` of a request that it denies. */
  readonly details: string;
  readonly test: Test;
}

/** Compiled rules (envoy.config.rbac.v3.RBAC). */
export class Engine {
  readonly action: RbacRules['action'];
  readonly policies: readonly CompiledPolicy[];

  constructor(rules: RbacRules) {
    this.action = rules.action;
    this.policies = rules.policies.map(({ name, permissions, principals }) => ({
      name,
      details: deniedDetails(name),
      test: every([some(permissions.map(compileCondition)), some(principals.map(compileCondition))]),
    }));
  }

  /** Index of the first policy that matches; -1: none does. */
  match(info: StreamInfo): number {
    const { policies } = this;
    for (let i = 0; i < policies.length; i++) if (policies[i]!.test(info)) return i;
    return -1;
  }

  /** Whether a request passes that a policy matched (`matched` ≥ 0), or none. */
  allows(matched: number): boolean {
    if (this.action === 'LOG') return true;
    return matched >= 0 === (this.action === 'ALLOW');
  }
}

/** The details of a denied request: the policy's name, `none` when none matched. White space would split log lines. */
export function deniedDetails(policy: string): string {
  return `rbac_access_denied_matched_policy[${toOctets(policy.replace(/[ \t\n\v\f\r]/g, '_'))}]`;
}

const ALWAYS: Test = () => true;

export function compileCondition(condition: Condition): Test {
  switch (condition.kind) {
    case 'any':
      return ALWAYS;
    case 'and':
      return every(condition.of.map(compileCondition));
    case 'or':
      return some(condition.of.map(compileCondition));
    case 'not': {
      const test = compileCondition(condition.of);
      return (info) => !test(info);
    }
    case 'header': {
      const header = compileHeaderMatcher(condition.header);
      return (info) => header.test(info.request);
    }
    case 'path': {
      const path = compileStringMatcher(condition.path);
      // A CONNECT has no path, and no matcher matches it (Envoy).
      return (info) => info.request.path !== '' && path.test(withoutQuery(info.request.path));
    }
    case 'address': {
      const test = compileCidr(condition.range);
      switch (condition.of) {
        case 'destination':
          return (info) => test(info.connection.local.host);
        case 'directRemote':
          return (info) => test(info.connection.directRemote.host);
        case 'remote':
          return (info) => test(info.remote);
      }
      break;
    }
    case 'port': {
      const { start, end } = condition;
      return (info) => {
        const { port } = info.connection.local;
        return port >= start && port < end;
      };
    }
    case 'serverName': {
      const name = compileStringMatcher(condition.name);
      return (info) => name.test(info.connection.requestedServerName);
    }
    case 'authenticated': {
      if (condition.name === null) return (info) => isTls(info.connection);
      const name = compileStringMatcher(condition.name);
      return (info) => isTls(info.connection) && matchesPeer(info.connection, name);
    }
  }
}

function isTls(connection: ConnectionInfo): boolean {
  return connection.tlsVersion !== '';
}

/** Whether a name of the peer's certificate matches: a URI, else a DNS name, else the subject (Envoy: matchers.cc). */
function matchesPeer({ tls }: ConnectionInfo, name: StringTest): boolean {
  const peer = tls?.peer ?? null;
  // Envoy asks an absent certificate's subject, which is empty.
  if (peer === null) return name.test('');
  for (const uri of peer.uriSans) if (name.test(uri)) return true;
  for (const dns of peer.dnsSans) if (name.test(dns)) return true;
  return name.test(peer.subject);
}

/** Up to the query or the fragment, as Envoy's path matchers see it. */
function withoutQuery(path: string): string {
  for (let i = 0; i < path.length; i++) {
    const c = path.charCodeAt(i);
    if (c === 0x3f || c === 0x23) return path.substring(0, i);
  }
  return path;
}

function every(tests: readonly Test[]): Test {
  const needed = tests.filter((test) => test !== ALWAYS);
  const [a, b] = needed;
  if (a === undefined) return ALWAYS;
  if (b === undefined) return a;
  if (needed.length === 2) return (info) => a(info) && b(info);
  return (info) => {
    for (let i = 0; i < needed.length; i++) if (!needed[i]!(info)) return false;
    return true;
  };
}

function some(tests: readonly Test[]): Test {
  if (tests.includes(ALWAYS)) return ALWAYS;
  const [a, b] = tests;
  if (a !== undefined && b === undefined) return a;
  if (a !== undefined && b !== undefined && tests.length === 2) return (info) => a(info) || b(info);
  return (info) => {
    for (let i = 0; i < tests.length; i++) if (tests[i]!(info)) return true;
    return false;
  };
}
