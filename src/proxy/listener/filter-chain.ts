import type { CidrRange } from '../../model/address.ts';
import type { FilterChain, FilterChainMatch } from '../../model/listener.ts';
import { AddressRanges } from '../http/addresses.ts';

/** What a connection can be matched by. `serverName` and the protocols are '' until something sniffed them. */
export interface ChainInput {
  readonly destinationAddress: string;
  readonly destinationPort: number;
  /** In lower case. */
  readonly serverName: string;
  readonly transportProtocol: string;
  /** In the client's order. */
  readonly applicationProtocols: readonly string[];
  readonly directSource: string;
  readonly source: string;
  readonly sourcePort: number;
}

/** What is left of a choice after some criteria: null, nothing matches. */
type Step<T> = (input: ChainInput) => Entry<T> | null;

interface Entry<T> {
  readonly match: FilterChainMatch;
  readonly value: T;
}

/**
 * Chooses the filter chain of a connection (envoy.config.listener.v3.FilterChainMatch): criteria are looked at in
 * Envoy's order, at each the most specific match wins, and there is no way back: when what follows does not match,
 * the default chain is taken. Compiled to a tree with one look-up for a criterion that some chain uses.
 */
export class FilterChainTable<T> {
  readonly #choose: Step<T>;
  readonly #fallback: T | null;

  constructor(chains: readonly { readonly chain: FilterChain; readonly value: T }[], fallback: T | null) {
    this.#choose = new Builder<T>().build(
      chains.map(({ chain, value }) => ({ match: chain.match, value })),
      0,
    );
    this.#fallback = fallback;
  }

  find(input: ChainInput): T | null {
    const found = this.#choose(input);
    return found === null ? this.#fallback : found.value;
  }
}

/** A criterion: the keys a chain is filed under (none: it says nothing of it), and how a connection finds its key. */
interface Criterion {
  readonly keys: (match: FilterChainMatch) => readonly string[];
  /** Compiles the look-up among `keys`; null: none of them matches. */
  readonly finder: (keys: readonly string[]) => (input: ChainInput) => string | null;
}

class Builder<T> {
  /** Steps by criterion and chains: chains with many keys lead to the same steps again and again. */
  readonly #made = new Map<string, Step<T>>();
  readonly #ids = new Map<Entry<T>, number>();

  build(entries: readonly Entry<T>[], level: number): Step<T> {
    const criterion = CRITERIA[level];
    const first = entries[0] ?? null;
    if (criterion === undefined || first === null) return () => first;
    const key = `${level}:${entries.map((entry) => this.#id(entry)).join()}`;
    let step = this.#made.get(key);
    if (step === undefined) {
      step = this.#makeStep(criterion, entries, level);
      this.#made.set(key, step);
    }
    return step;
  }

  #makeStep(criterion: Criterion, entries: readonly Entry<T>[], level: number): Step<T> {
    const groups = new Map<string, Entry<T>[]>();
    const rest: Entry<T>[] = [];
    for (const entry of entries) {
      const keys = criterion.keys(entry.match);
      if (keys.length === 0) rest.push(entry);
      for (const key of new Set(keys)) {
        const group = groups.get(key);
        if (group === undefined) groups.set(key, [entry]);
        else group.push(entry);
      }
    }
    const other = this.build(rest, level + 1);
    if (groups.size === 0) return other;
    const steps = new Map([...groups].map(([key, group]) => [key, this.build(group, level + 1)]));
    const find = criterion.finder([...groups.keys()]);
    return (input) => {
      const key = find(input);
      return key === null ? other(input) : steps.get(key)!(input);
    };
  }

  #id(entry: Entry<T>): number {
    let id = this.#ids.get(entry);
    if (id === undefined) {
      id = this.#ids.size;
      this.#ids.set(entry, id);
    }
    return id;
  }
}

function exact(read: (input: ChainInput) => string): Criterion['finder'] {
  return (keys) => {
    const known = new Set(keys);
    return (input) => {
      const key = read(input);
      return known.has(key) ? key : null;
    };
  };
}

/** The longest prefix that contains the address. */
function longestPrefix(read: (input: ChainInput) => string): Criterion['finder'] {
  return (keys) => {
    const ranges = keys.map((key) => ({ key, range: readRange(key) }));
    ranges.sort((a, b) => b.range.prefixLength - a.range.prefixLength);
    const compiled = ranges.map(({ key, range }) => ({ key, holds: new AddressRanges([range]) }));
    return (input) => {
      const address = read(input);
      for (const { key, holds } of compiled) if (holds.contains(address)) return key;
      return null;
    };
  };
}

function rangeKeys(ranges: readonly CidrRange[]): readonly string[] {
  return ranges.map(({ address, prefixLength }) => `${address}/${prefixLength}`);
}
function readRange(key: string): CidrRange {
  const slash = key.lastIndexOf('/');
  return { address: key.slice(0, slash), prefixLength: Number(key.slice(slash + 1)) };
}

/** An exact name, else the longest `*.suffix`. */
function serverName(keys: readonly string[]): (input: ChainInput) => string | null {
  const known = new Set(keys);
  return ({ serverName: name }) => {
    if (name === '') return null;
    if (known.has(name)) return name;
    for (let dot = name.indexOf('.', 1); dot > 0; dot = name.indexOf('.', dot + 1)) {
      const wildcard = `*${name.slice(dot)}`;
      if (known.has(wildcard)) return wildcard;
    }
    return null;
  };
}

/** The first of the client's protocols that a chain asks for. */
function applicationProtocol(keys: readonly string[]): (input: ChainInput) => string | null {
  const known = new Set(keys);
  return ({ applicationProtocols }) => applicationProtocols.find((protocol) => known.has(protocol)) ?? null;
}

function sourceType(keys: readonly string[]): (input: ChainInput) => string | null {
  const known = new Set(keys);
  return ({ source, destinationAddress }) => {
    const type = source === destinationAddress || LOOPBACK.contains(source) ? 'SAME_IP_OR_LOOPBACK' : 'EXTERNAL';
    return known.has(type) ? type : null;
  };
}

const LOOPBACK = new AddressRanges([
  { address: '127.0.0.0', prefixLength: 8 },
  { address: '::1', prefixLength: 128 },
]);

/** In Envoy's order of precedence. */
const CRITERIA: readonly Criterion[] = [
  {
    keys: ({ destinationPort }) => (destinationPort === null ? [] : [String(destinationPort)]),
    finder: exact((input) => String(input.destinationPort)),
  },
  {
    keys: ({ prefixRanges }) => rangeKeys(prefixRanges),
    finder: longestPrefix((input) => input.destinationAddress),
  },
  { keys: ({ serverNames }) => serverNames, finder: serverName },
  {
    keys: ({ transportProtocol }) => (transportProtocol === '' ? [] : [transportProtocol]),
    finder: exact((input) => input.transportProtocol),
  },
  { keys: ({ applicationProtocols }) => applicationProtocols, finder: applicationProtocol },
  {
    keys: ({ directSourcePrefixRanges }) => rangeKeys(directSourcePrefixRanges),
    finder: longestPrefix((input) => input.directSource),
  },
  { keys: (match) => (match.sourceType === 'ANY' ? [] : [match.sourceType]), finder: sourceType },
  {
    keys: ({ sourcePrefixRanges }) => rangeKeys(sourcePrefixRanges),
    finder: longestPrefix((input) => input.source),
  },
  { keys: ({ sourcePorts }) => sourcePorts.map(String), finder: exact((input) => String(input.sourcePort)) },
];
