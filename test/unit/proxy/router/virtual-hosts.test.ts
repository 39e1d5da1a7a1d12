import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import { PLAINTEXT } from '../../../../src/proxy/router/match.ts';
import { compileRouteTable } from '../../../../src/proxy/router/table.ts';
import { domainCovers, HostIndex, parseDomain } from '../../../../src/proxy/router/virtual-hosts.ts';
import { deps, request, routeConfig, virtualHost } from './fixtures.ts';

function choose(domains: Record<string, readonly string[]>, authority: string, ignorePort = false): string | null {
  const hosts = Object.entries(domains).map(([name, list]) => virtualHost(name, list));
  const table = compileRouteTable(routeConfig(hosts, { ignorePortInHostMatching: ignorePort }), deps());
  return table.match(request('/', {}, { authority }), PLAINTEXT)?.virtualHost.name ?? null;
}

describe('virtual host by authority', () => {
  const hosts = {
    exact: ['www.foo.com'],
    port: ['www.foo.com:8080'],
    suffix: ['*.foo.com'],
    dash: ['*-bar.foo.com'],
    prefix: ['foo.*'],
    longPrefix: ['foo.bar.*'],
    upper: ['UPPER.Example'],
    v6: ['[::1]'],
    any: ['*'],
  };
  test.each([
    ['www.foo.com', 'exact'],
    ['WWW.Foo.COM', 'exact'],
    ['www.foo.com:8080', 'port'],
    // An exact domain without a port does not cover a host with one; neither does a suffix.
    ['www.foo.com:80', 'any'],
    ['x.foo.com', 'suffix'],
    ['X.FOO.com', 'suffix'],
    ['a.b.foo.com', 'suffix'],
    ['baz-bar.foo.com', 'dash'],
    ['-bar.foo.com', 'suffix'],
    ['.foo.com', 'any'],
    ['foo.com', 'prefix'],
    ['foo.', 'any'],
    ['foo.bar.com', 'longPrefix'],
    ['foo.com:123', 'prefix'],
    // A suffix wins over a longer prefix.
    ['foo.bar.foo.com', 'suffix'],
    ['upper.example', 'upper'],
    ['[::1]', 'v6'],
    ['', 'any'],
    ['other', 'any'],
  ])('%s goes to %s', (authority, expected) => {
    expect(choose(hosts, authority)).toBe(expected);
  });

  test.each([
    ['www.foo.com:80', 'exact'],
    ['x.foo.com:1', 'suffix'],
    ['foo.com:443', 'prefix'],
    ['[::1]:80', 'v6'],
    ['[::1]', 'v6'],
    ['www.foo.com:', 'exact'],
  ])('%s goes to %s when ports are ignored', (authority, expected) => {
    expect(choose(hosts, authority, true)).toBe(expected);
  });

  test('no virtual host, no route', () => {
    expect(choose({ only: ['a.com'] }, 'b.com')).toBeNull();
  });

  test('a domain that is there twice is refused, whatever its case', () => {
    for (const pair of [
      ['a.com', 'A.com'],
      ['*.a', '*.A'],
      ['a.*', 'A.*'],
      ['*', '*'],
    ]) {
      expect(() => choose({ one: [pair[0]!], two: [pair[1]!] }, 'x')).toThrow(/more than once/);
    }
  });

  test('the index agrees with looking at every domain', () => {
    const random = seededRandom(7);
    const label = (): string => ['a', 'b', 'ab', 'ba', 'a-b'][random.int(5)]!;
    const name = (): string => Array.from({ length: 1 + random.int(3) }, label).join('.');
    for (let round = 0; round < 120; round++) {
      const texts = new Set<string>();
      for (let i = 0; i < 12; i++) {
        const kind = random.int(7);
        texts.add(
          kind < 3 ? name() : kind < 5 ? `*${random.int(2) ? '.' : '-'}${name()}` : kind < 6 ? `${name()}.*` : '*',
        );
      }
      const domains = [...texts].map(parseDomain);
      const index = new HostIndex(
        domains.map((domain) => [domain, domain.text] as const),
        false,
      );
      const order = ['exact', 'suffix', 'prefix', 'any'];
      for (let i = 0; i < 40; i++) {
        const host = name();
        const covering = domains.filter((domain) => domainCovers(domain, host));
        covering.sort((x, y) => order.indexOf(x.kind) - order.indexOf(y.kind) || y.key.length - x.key.length);
        expect(index.find(random.int(2) ? host : host.toUpperCase())).toBe(covering[0]?.text ?? null);
      }
    }
  });
});
