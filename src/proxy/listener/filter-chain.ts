import type { CidrRange } from '../../model/address.ts';
import type { FilterChain, FilterChainMatch } from '../../model/listener.ts';
import { AddressRanges } from '../http/addresses.ts';

/** What a connection can be matched by. `serverName` and the protocols are '' until something sniffed them. */
export interface ChainInput {
  readonly destinationAddress: string;
  readonly destinationPort: number;
  readonly serverName: string;
  readonly transportProtocol: string;
  readonly applicationProtocols: readonly string[];
  readonly directSource: string;
  readonly source: string;
  readonly sourcePort: number;
}

interface CompiledMatch {
  readonly match: FilterChainMatch;
  readonly prefixRanges: AddressRanges | null;
  readonly directSource: AddressRanges | null;
  readonly source: AddressRanges | null;
}

interface Candidate<T> {
  readonly compiled: CompiledMatch;
  readonly value: T;
}

/**
 * Chooses the filter chain of a connection (envoy.config.listener.v3.FilterChainMatch): criteria are looked at
 * in Envoy's order and at each the most specific match wins, so the candidates are narrowed step by step.
 */
export class FilterChainTable<T> {
  readonly #chains: readonly Candidate<T>[];
  readonly #fallback: T | null;

  constructor(chains: readonly { readonly chain: FilterChain; readonly value: T }[], fallback: T | null) {
    this.#chains = chains.map(({ chain, value }) => ({ compiled: compile(chain.match), value }));
    this.#fallback = fallback;
  }

  find(input: ChainInput): T | null {
    let left = this.#chains;
    if (left.length === 1 && matchesAll(left[0]!.compiled.match)) return left[0]!.value;
    for (const criterion of CRITERIA) {
      let best = 0;
      let narrowed: Candidate<T>[] = [];
      for (const entry of left) {
        const score = criterion(entry.compiled, input);
        if (score === 0 || score < best) continue;
        if (score > best) {
          best = score;
          narrowed = [];
        }
        narrowed.push(entry);
      }
      left = narrowed;
      if (left.length === 0) return this.#fallback;
    }
    return left[0]!.value;
  }
}

/** 0: does not match; 1: says nothing, so matches; more: matches, the larger the more specific. */
type Criterion = (compiled: CompiledMatch, input: ChainInput) => number;

const CRITERIA: readonly Criterion[] = [
  ({ match }, input) => (match.destinationPort === null ? 1 : match.destinationPort === input.destinationPort ? 2 : 0),
  ({ match, prefixRanges }, input) => scoreRanges(match.prefixRanges, prefixRanges, input.destinationAddress),
  ({ match }, input) => scoreServerName(match.serverNames, input.serverName),
  ({ match }, input) =>
    match.transportProtocol === '' ? 1 : match.transportProtocol === input.transportProtocol ? 2 : 0,
  ({ match }, input) =>
    match.applicationProtocols.length === 0
      ? 1
      : match.applicationProtocols.some((protocol) => input.applicationProtocols.includes(protocol))
        ? 2
        : 0,
  ({ match, directSource }, input) => scoreRanges(match.directSourcePrefixRanges, directSource, input.directSource),
  ({ match }, input) => {
    if (match.sourceType === 'ANY') return 1;
    const local = input.source === input.destinationAddress || LOOPBACK.contains(input.source);
    return local === (match.sourceType === 'SAME_IP_OR_LOOPBACK') ? 2 : 0;
  },
  ({ match, source }, input) => scoreRanges(match.sourcePrefixRanges, source, input.source),
  ({ match }, input) => (match.sourcePorts.length === 0 ? 1 : match.sourcePorts.includes(input.sourcePort) ? 2 : 0),
];

const LOOPBACK = new AddressRanges([
  { address: '127.0.0.0', prefixLength: 8 },
  { address: '::1', prefixLength: 128 },
]);

function compile(match: FilterChainMatch): CompiledMatch {
  const ranges = (list: readonly CidrRange[]): AddressRanges | null =>
    list.length === 0 ? null : new AddressRanges(list);
  return {
    match,
    prefixRanges: ranges(match.prefixRanges),
    directSource: ranges(match.directSourcePrefixRanges),
    source: ranges(match.sourcePrefixRanges),
  };
}

function scoreRanges(ranges: readonly CidrRange[], all: AddressRanges | null, address: string): number {
  if (all === null) return 1;
  if (!all.contains(address)) return 0;
  let best = 0;
  for (const range of ranges) {
    if (range.prefixLength >= best && new AddressRanges([range]).contains(address)) best = range.prefixLength;
  }
  return best + 2;
}

/** Exact names beat wildcards, longer wildcards beat shorter ones. */
function scoreServerName(names: readonly string[], asked: string): number {
  if (names.length === 0) return 1;
  const serverName = asked.toLowerCase();
  let best = 0;
  for (const name of names) {
    if (name === serverName) return 1000;
    if (name.startsWith('*.') && serverName.endsWith(name.slice(1))) best = Math.max(best, name.length);
    else if (name === '*' && serverName !== '') best = Math.max(best, 2);
  }
  return best;
}

function matchesAll(match: FilterChainMatch): boolean {
  return (
    match.destinationPort === null &&
    match.prefixRanges.length === 0 &&
    match.serverNames.length === 0 &&
    match.transportProtocol === '' &&
    match.applicationProtocols.length === 0 &&
    match.directSourcePrefixRanges.length === 0 &&
    match.sourceType === 'ANY' &&
    match.sourcePrefixRanges.length === 0 &&
    match.sourcePorts.length === 0
  );
}
