import { ConfigError } from '../../base/errors.ts';
import { toOctets } from '../../base/regex.ts';
import { lowerAscii } from './header-match.ts';
import { portStart } from './normalize.ts';
import { PrefixTree } from './prefix-tree.ts';

/** A virtual host's domain, taken apart. */
export interface Domain {
  /** As it was written. */
  readonly text: string;
  /** In order of precedence. */
  readonly kind: 'exact' | 'suffix' | 'prefix' | 'any';
  /** Lower case, without the star. */
  readonly key: string;
}

export function parseDomain(text: string): Domain {
  const lower = lowerAscii(toOctets(text));
  if (lower === '*') return { text, kind: 'any', key: '' };
  if (lower.startsWith('*')) return { text, kind: 'suffix', key: lower.slice(1) };
  if (lower.endsWith('*')) return { text, kind: 'prefix', key: lower.slice(0, -1) };
  return { text, kind: 'exact', key: lower };
}

/** Whether a domain covers a host (lower case, port already removed where it is to be ignored). */
export function domainCovers(domain: Domain, host: string): boolean {
  const { key } = domain;
  switch (domain.kind) {
    case 'exact':
      return host === key;
    // A star stands for at least one character.
    case 'suffix':
      return host.length > key.length && host.endsWith(key);
    case 'prefix':
      return host.length > key.length && host.startsWith(key);
    case 'any':
      return true;
  }
}

/**
 * Finds the virtual host of an authority as Envoy does: exact, then the longest suffix wildcard, then the
 * longest prefix wildcard, then `*`. The cost does not depend on the number of virtual hosts.
 */
export class HostIndex<T> {
  readonly #exact = new Map<string, T>();
  readonly #suffixes: PrefixTree<T> | null;
  readonly #prefixes: PrefixTree<T> | null;
  readonly #any: T | null;
  readonly #ignorePort: boolean;
  #lastAuthority: string | null = null;
  #lastFound: T | null = null;

  /** Throws ConfigError when two domains are the same. */
  constructor(hosts: Iterable<readonly [domain: Domain, host: T]>, ignorePort: boolean) {
    this.#ignorePort = ignorePort;
    const suffixes = new Map<string, T>();
    const prefixes = new Map<string, T>();
    let any: T | null = null;
    for (const [domain, host] of hosts) {
      const { kind, key } = domain;
      const map = kind === 'exact' ? this.#exact : kind === 'suffix' ? suffixes : prefixes;
      if (kind === 'any' ? any !== null : map.has(key)) {
        throw new ConfigError(`domain ${JSON.stringify(domain.text)} is there more than once`);
      }
      if (kind === 'any') any = host;
      else map.set(key, host);
    }
    this.#suffixes = suffixes.size === 0 ? null : new PrefixTree(suffixes, { fold: true, reverse: true });
    this.#prefixes = prefixes.size === 0 ? null : new PrefixTree(prefixes, { fold: true });
    this.#any = any;
  }

  find(authority: string): T | null {
    // A sidecar's clients ask for few hosts, and mostly for the same one again.
    if (authority === this.#lastAuthority) return this.#lastFound;
    const found = this.#find(authority);
    this.#lastAuthority = authority;
    this.#lastFound = found;
    return found;
  }

  #find(authority: string): T | null {
    const host = this.hostOf(authority);
    let found = this.#exact.get(host);
    if (found !== undefined) return found;
    const lower = lowerAscii(host);
    if (lower !== host) {
      found = this.#exact.get(lower);
      if (found !== undefined) return found;
    }
    return shorterThan(this.#suffixes, host) ?? shorterThan(this.#prefixes, host) ?? this.#any;
  }

  /** The part of an authority that domains are compared with. */
  hostOf(authority: string): string {
    if (!this.#ignorePort) return authority;
    const colon = portStart(authority);
    return colon < 0 ? authority : authority.substring(0, colon);
  }
}

/** The longest key that is not the whole host. */
function shorterThan<T>(tree: PrefixTree<T> | null, host: string): T | null {
  if (tree === null) return null;
  let entry = tree.deepest(host, host.length);
  while (entry !== null && entry.key.length >= host.length) entry = entry.above;
  return entry === null ? null : entry.value;
}
