import type { NameEntry } from '../../model/name-table.ts';
import { encodeName } from '../../protocol/dns/name.ts';
import { parseIPv4, parseIPv6 } from '../../protocol/sniff/ip-text.ts';

/** The addresses of a name, as octets. */
export interface NameAddresses {
  readonly v4: readonly Uint8Array[];
  readonly v6: readonly Uint8Array[];
}

/** `alias`: the name is another one of that, as octets, to be answered by a CNAME; null: it is the name itself. */
export interface FoundName {
  readonly addresses: NameAddresses;
  readonly alias: Uint8Array | null;
}

/** Whose names are short, and how the clients' resolvers make them longer. */
export interface NameContext {
  /** Of the pod. */
  readonly namespace: string;
  /** Of Services: `svc.cluster.local`; '' nobody knows. */
  readonly domain: string;
  /** The first search domain of the pod's resolv.conf; '' none. */
  readonly search: string;
}

interface Compiled extends NameAddresses {
  readonly service: NameEntry['service'];
}

/**
 * Finds who a name is: as written, by a Service's shorter names (`name` in its own namespace, `name.ns`, `name.ns.svc`),
 * by a wildcard, and each of these behind the first search domain, which a client's resolver tries before the name as it
 * was given (Istio's DNS proxy does the same). Built anew whenever the names change; asking looks up a few texts.
 */
export class NameIndex {
  readonly #context: NameContext;
  readonly #hosts = new Map<string, Compiled>();
  #wildcards = false;

  constructor(context: NameContext, entries: Iterable<NameEntry>) {
    this.#context = context;
    for (const entry of entries) this.#add(entry);
  }

  /** Names there are, without the shorter ones. */
  get size(): number {
    return this.#hosts.size;
  }

  /** `name` in lower case, without a dot at the end. */
  find(name: string): FoundName | null {
    const found = this.#named(name);
    if (found !== undefined) return { addresses: found, alias: null };
    const { search } = this.#context;
    const base = search !== '' && name.endsWith(`.${search}`) ? name.slice(0, -search.length - 1) : '';
    const expanded = base === '' ? undefined : this.#named(base);
    if (expanded !== undefined) return { addresses: expanded, alias: encodeName(base) };
    if (!this.#wildcards) return null;
    const wild = this.#wildcard(name);
    if (wild !== undefined) return { addresses: wild, alias: null };
    const expandedWild = base === '' ? undefined : this.#wildcard(base);
    return expandedWild === undefined ? null : { addresses: expandedWild, alias: encodeName(base) };
  }

  #named(name: string): Compiled | undefined {
    const exact = this.#hosts.get(name);
    if (exact !== undefined) return exact;
    const { domain, namespace } = this.#context;
    if (domain === '') return undefined;
    const svc = domain.split('.', 1)[0]!;
    return (
      this.#short(name) ??
      (name.endsWith(`.${svc}`) ? this.#short(name.slice(0, -svc.length - 1)) : undefined) ??
      this.#short(`${name}.${namespace}`)
    );
  }

  /** The Service that `nameAndNamespace` is, if that is how it is called. */
  #short(nameAndNamespace: string): Compiled | undefined {
    const found = this.#hosts.get(`${nameAndNamespace}.${this.#context.domain}`);
    const service = found?.service;
    if (found === undefined || service == null) return undefined;
    return `${service.name}.${service.namespace}` === nameAndNamespace ? found : undefined;
  }

  /** The longest wildcard that the name is below. */
  #wildcard(name: string): Compiled | undefined {
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      const found = this.#hosts.get(`*${name.slice(dot)}`);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #add(entry: NameEntry): void {
    const { host, aliases, service } = entry;
    const compiled = compile(entry);
    if (compiled === null) return;
    for (const name of [host, ...aliases]) {
      const before = this.#hosts.get(name);
      // Two of one name: the Service counts, as its domain is its own.
      if (before !== undefined && (before.service !== null || service === null)) continue;
      this.#hosts.set(name, compiled);
      if (name.startsWith('*.')) this.#wildcards = true;
    }
  }
}

/** Entries that did not change come again, the same objects, with the next names. */
const compiledEntries = new WeakMap<NameEntry, Compiled | null>();

/** null: without any address. */
function compile(entry: NameEntry): Compiled | null {
  let compiled = compiledEntries.get(entry);
  if (compiled === undefined) {
    const v4: Uint8Array[] = [];
    const v6: Uint8Array[] = [];
    for (const address of entry.addresses) {
      const four = parseIPv4(address);
      const six = four === null ? parseIPv6(address) : null;
      if (four !== null) v4.push(four);
      else if (six !== null) v6.push(six);
    }
    compiled = v4.length + v6.length === 0 ? null : { v4, v6, service: entry.service };
    compiledEntries.set(entry, compiled);
  }
  return compiled;
}
