import { expect, test } from 'vitest';
import type { FilterChain, FilterChainMatch } from '../../../../src/model/listener.ts';
import { type ChainInput, FilterChainTable } from '../../../../src/proxy/listener/filter-chain.ts';

const ANY: FilterChainMatch = {
  destinationPort: null,
  prefixRanges: [],
  serverNames: [],
  transportProtocol: '',
  applicationProtocols: [],
  directSourcePrefixRanges: [],
  sourceType: 'ANY',
  sourcePrefixRanges: [],
  sourcePorts: [],
};
const INPUT: ChainInput = {
  destinationAddress: '10.0.0.5',
  destinationPort: 80,
  serverName: '',
  transportProtocol: 'raw_buffer',
  applicationProtocols: [],
  directSource: '192.168.1.9',
  source: '192.168.1.9',
  sourcePort: 5000,
};

function table(
  chains: Record<string, Partial<FilterChainMatch>>,
  fallback: string | null = null,
): FilterChainTable<string> {
  const list = Object.entries(chains).map(([value, match]) => ({
    chain: { name: value, match: { ...ANY, ...match } } as FilterChain,
    value,
  }));
  return new FilterChainTable(list, fallback);
}

test('a chain that says nothing matches everything', () => {
  expect(table({ only: {} }).find(INPUT)).toBe('only');
});

test('without a match there is the default chain, or none', () => {
  const chains = { other: { destinationPort: 443 } };
  expect(table(chains).find(INPUT)).toBeNull();
  expect(table(chains, 'default').find(INPUT)).toBe('default');
});

test('the port is looked at before the address, the address before the source', () => {
  const chains = table({
    port: { destinationPort: 80 },
    address: { prefixRanges: [{ address: '10.0.0.5', prefixLength: 32 }] },
    source: { sourcePrefixRanges: [{ address: '192.168.1.9', prefixLength: 32 }] },
  });
  expect(chains.find(INPUT)).toBe('port');
  expect(chains.find({ ...INPUT, destinationPort: 81 })).toBe('address');
  expect(chains.find({ ...INPUT, destinationPort: 81, destinationAddress: '10.0.0.6' })).toBe('source');
});

test('the longer prefix wins', () => {
  const chains = table({
    wide: { sourcePrefixRanges: [{ address: '192.168.0.0', prefixLength: 16 }] },
    narrow: { sourcePrefixRanges: [{ address: '192.168.1.0', prefixLength: 24 }] },
    any: {},
  });
  expect(chains.find(INPUT)).toBe('narrow');
  expect(chains.find({ ...INPUT, source: '192.168.2.1' })).toBe('wide');
  expect(chains.find({ ...INPUT, source: '8.8.8.8' })).toBe('any');
});

test('an exact server name beats a wildcard, a longer wildcard a shorter', () => {
  const chains = table({
    exact: { serverNames: ['a.b.example'] },
    long: { serverNames: ['*.b.example'] },
    short: { serverNames: ['*.example'] },
  });
  expect(chains.find({ ...INPUT, serverName: 'a.b.example' })).toBe('exact');
  expect(chains.find({ ...INPUT, serverName: 'x.b.example' })).toBe('long');
  expect(chains.find({ ...INPUT, serverName: 'x.example' })).toBe('short');
  expect(chains.find({ ...INPUT, serverName: 'example' })).toBeNull();
});

test('source types tell this machine from others', () => {
  const chains = table({ local: { sourceType: 'SAME_IP_OR_LOOPBACK' }, external: { sourceType: 'EXTERNAL' } });
  expect(chains.find(INPUT)).toBe('external');
  expect(chains.find({ ...INPUT, source: '127.0.0.1' })).toBe('local');
  expect(chains.find({ ...INPUT, source: INPUT.destinationAddress })).toBe('local');
});

test('there is no way back: a chain that matches better at first and not at last leaves the default', () => {
  const chains = table({ tls: { serverNames: ['a.b'], transportProtocol: 'tls' }, plain: {} }, 'default');
  expect(chains.find({ ...INPUT, serverName: 'a.b', transportProtocol: 'tls' })).toBe('tls');
  expect(chains.find({ ...INPUT, serverName: 'a.b' })).toBe('default');
  expect(chains.find(INPUT)).toBe('plain');
});

test("of the protocols offered the client's first counts, not the first chain", () => {
  const chains = table({
    old: { applicationProtocols: ['http/1.1'] },
    both: { applicationProtocols: ['h2', 'istio'] },
    none: {},
  });
  expect(chains.find({ ...INPUT, applicationProtocols: ['h2', 'http/1.1'] })).toBe('both');
  expect(chains.find({ ...INPUT, applicationProtocols: ['http/1.1', 'h2'] })).toBe('old');
  expect(chains.find({ ...INPUT, applicationProtocols: ['spdy', 'istio'] })).toBe('both');
  expect(chains.find({ ...INPUT, applicationProtocols: ['spdy'] })).toBe('none');
});

test('the peer and whom it speaks for are told apart', () => {
  const chains = table({
    balancer: { directSourcePrefixRanges: [{ address: '10.1.0.0', prefixLength: 16 }] },
    office: { sourcePrefixRanges: [{ address: '203.0.113.0', prefixLength: 24 }] },
    port: { sourcePorts: [7, 9] },
  });
  const input = { ...INPUT, directSource: '10.1.2.3', source: '203.0.113.7', sourcePort: 9 };
  expect(chains.find(input)).toBe('balancer');
  expect(chains.find({ ...input, directSource: '10.2.0.1' })).toBe('office');
  expect(chains.find({ ...input, directSource: '10.2.0.1', source: '2001:db8::1' })).toBe('port');
  expect(chains.find({ ...input, directSource: '10.2.0.1', source: '::1', sourcePort: 1 })).toBeNull();
});

test('one chain for many names, ports and ranges is found by each of them', () => {
  const names = Array.from({ length: 300 }, (_, i) => `host${i}.example`);
  const chains = table({
    many: {
      serverNames: names,
      sourcePorts: Array.from({ length: 300 }, (_, i) => i),
      applicationProtocols: ['a', 'b'],
    },
    wild: { serverNames: ['*.example'] },
  });
  const input = { ...INPUT, applicationProtocols: ['b'], sourcePort: 299 };
  expect(chains.find({ ...input, serverName: 'host299.example' })).toBe('many');
  expect(chains.find({ ...input, serverName: 'host300.example' })).toBe('wild');
  expect(chains.find({ ...input, serverName: '.example' })).toBeNull();
});
