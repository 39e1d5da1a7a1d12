import { describe, expect, it } from 'vitest';
import type { NameEntry } from '../../../../src/model/name-table.ts';
import { readName } from '../../../../src/protocol/dns/name.ts';
import { formatIPv4, formatIPv6 } from '../../../../src/protocol/sniff/ip-text.ts';
import { type FoundName, type NameContext, NameIndex } from '../../../../src/proxy/dns/name-index.ts';

const CONTEXT: NameContext = {
  namespace: 'default',
  domain: 'svc.cluster.local',
  search: 'default.svc.cluster.local',
};

function service(name: string, namespace: string, ...addresses: string[]): NameEntry {
  return { host: `${name}.${namespace}.svc.cluster.local`, addresses, aliases: [], service: { name, namespace } };
}
function external(host: string, ...addresses: string[]): NameEntry {
  return { host, addresses, aliases: [], service: null };
}

/** Addresses, with the alias before them; null for a name that is not known. */
function text(found: FoundName | null): string | null {
  if (found === null) return null;
  const addresses = [...found.addresses.v4.map(formatIPv4), ...found.addresses.v6.map(formatIPv6)].join(' ');
  return found.alias === null ? addresses : `${readName(found.alias, 0)?.name} ${addresses}`;
}
function finder(entries: NameEntry[], context: Partial<NameContext> = {}): (name: string) => string | null {
  const index = new NameIndex({ ...CONTEXT, ...context }, entries);
  return (name) => text(index.find(name));
}

describe('a Service', () => {
  const find = finder([
    service('reviews', 'default', '10.0.0.1', 'fd00::1'),
    service('ratings', 'prod', '10.0.0.2'),
    service('mysql-0.mysql', 'default', '10.0.0.3'),
  ]);
  it.each(['reviews.default.svc.cluster.local', 'reviews.default.svc', 'reviews.default', 'reviews'])('is %s', (name) =>
    expect(find(name)).toBe('10.0.0.1 fd00::1'),
  );
  it('of another namespace is not called by its name alone', () => {
    expect(find('ratings')).toBeNull();
    expect(find('ratings.prod')).toBe('10.0.0.2');
    expect(find('ratings.prod.svc')).toBe('10.0.0.2');
  });
  it('a pod of a headless one is called like it', () => {
    expect(find('mysql-0.mysql')).toBe('10.0.0.3');
    expect(find('mysql-0.mysql.default.svc')).toBe('10.0.0.3');
  });
  it('nobody else is', () => {
    for (const name of ['', 'default', 'reviews.', 'reviews.prod', 'svc', 'reviews.default.sv', 'svc.cluster.local'])
      expect(find(name)).toBeNull();
  });
  it('without a domain is called as it is written', () => {
    const find = finder([service('reviews', 'default', '10.0.0.1')], { domain: '', namespace: '' });
    expect(find('reviews.default.svc.cluster.local')).toBe('10.0.0.1');
    expect(find('reviews.default')).toBeNull();
  });
});

describe('what the resolver of a client makes longer', () => {
  const find = finder([
    external('api.example.com', '240.240.0.1'),
    external('*.wild.example', '240.240.0.2'),
    service('ratings', 'prod', '10.0.0.2'),
  ]);
  it('is an alias of what was meant', () => {
    expect(find('api.example.com.default.svc.cluster.local')).toBe('api.example.com 240.240.0.1');
    expect(find('ratings.prod.default.svc.cluster.local')).toBe('ratings.prod 10.0.0.2');
    expect(find('a.wild.example.default.svc.cluster.local')).toBe('a.wild.example 240.240.0.2');
  });
  it('by the first search domain only', () => expect(find('api.example.com.cluster.local')).toBeNull());
  it('is not, where somebody has that very name', () => {
    const find = finder([service('api', 'default', '10.0.0.1'), external('api', '240.240.0.1')]);
    expect(find('api.default.svc.cluster.local')).toBe('10.0.0.1');
  });
});

describe('a wildcard', () => {
  const find = finder([
    external('*.example.com', '10.0.0.1'),
    external('*.eu.example.com', '10.0.0.2'),
    external('www.example.com', '10.0.0.3'),
  ]);
  it('is every name below it, the longest first, and a name itself before all', () => {
    expect(find('a.example.com')).toBe('10.0.0.1');
    expect(find('a.b.example.com')).toBe('10.0.0.1');
    expect(find('a.eu.example.com')).toBe('10.0.0.2');
    expect(find('eu.example.com')).toBe('10.0.0.1');
    expect(find('www.example.com')).toBe('10.0.0.3');
  });
  it('is not the name above', () => expect(find('example.com')).toBeNull());
});

describe('two of one name', () => {
  it('the Service counts, in whatever order they come', () => {
    const both = [external('a.default.svc.cluster.local', '240.0.0.1'), service('a', 'default', '10.0.0.1')];
    for (const entries of [both, both.toReversed()])
      expect(finder(entries)('a.default.svc.cluster.local')).toBe('10.0.0.1');
  });
  it('of others the first', () =>
    expect(finder([external('a', '10.0.0.1'), external('a', '10.0.0.2')])('a')).toBe('10.0.0.1'));
});

describe('an entry', () => {
  it('without an address that can be read is no name', () => {
    const index = new NameIndex(CONTEXT, [external('a', 'nonsense'), external('b')]);
    expect(index.find('a')).toBeNull();
    expect(index.size).toBe(0);
  });
  it('has aliases', () => {
    const entry: NameEntry = { host: 'a.example', addresses: ['10.0.0.1'], aliases: ['b.example'], service: null };
    expect(finder([entry])('b.example')).toBe('10.0.0.1');
  });
});
