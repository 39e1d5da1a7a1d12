import type { SubjectAltName } from '../../base/certificate.ts';
import type { SanMatcher } from '../../model/tls.ts';
import { compileStringMatcher } from '../matcher/string.ts';

export type SanTest = (san: SubjectAltName) => boolean;

/** Compiles a matcher of one kind of name. An exact DNS matcher follows the rules of DNS names (Envoy: san_matcher.cc). */
export function compileSanMatcher({ kind, matcher, oid }: SanMatcher): SanTest {
  if (kind === 'DNS' && matcher.kind === 'exact')
    return (san) => san.kind === 'DNS' && dnsNameMatch(matcher.value, san.value);
  const { test } = compileStringMatcher(matcher);
  return (san) => san.kind === kind && san.oid === oid && test(san.value);
}

/** Whether a name is one that a certificate is for: any SAN that equals it, or a DNS name that covers it. */
export function sanCovers(san: SubjectAltName, name: string): boolean {
  return san.kind === 'DNS' ? dnsNameMatch(name, san.value) : san.value === name;
}

/** Whether the DNS name of a certificate, perhaps with a `*` in its first label, covers `name` (Envoy: Utility::dnsNameMatch). */
export function dnsNameMatch(name: string, pattern: string): boolean {
  const wanted = name.toLowerCase();
  const offered = pattern.toLowerCase();
  if (wanted === offered) return true;
  const dot = wanted.indexOf('.');
  const patternDot = offered.indexOf('.');
  if (dot < 0 || patternDot < 0) return false;
  const first = offered.slice(0, patternDot);
  const rest = offered.slice(patternDot);
  if (!first.includes('*') || rest.includes('*') || first.startsWith('xn--') || wanted.slice(dot) !== rest)
    return false;
  const star = first.indexOf('*');
  const label = wanted.slice(0, dot);
  // One star, which stands for at least nothing: `f*` covers `f`.
  return (
    first.indexOf('*', star + 1) < 0 &&
    label.length >= first.length - 1 &&
    label.startsWith(first.slice(0, star)) &&
    label.endsWith(first.slice(star + 1))
  );
}
