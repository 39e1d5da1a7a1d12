import { describe, expect, it } from 'vitest';
import { AutoAddresses } from '../../../../../src/control/translate/istio/auto-addresses.ts';

describe('AutoAddresses', () => {
  it('gives what istiod gives (TestNDS of istio/istio pilot/pkg/xds)', () => {
    const addresses = new AutoAddresses();
    expect(addresses.allocate('ns2', 'random-1.host.example')[0]).toBe('240.240.116.21');
    expect(addresses.allocate('ns2', 'random-3.host.example')[0]).toBe('240.240.81.100');
  });
  it('one of each family, with the same octets', () => {
    const [four = '', six = ''] = new AutoAddresses().allocate('default', 'a.example');
    const [, , third, fourth] = four.split('.').map(Number);
    expect(four).toMatch(/^240\.240\./);
    expect(six).toBe(`2001:2::f0f0:${(third! * 256 + fourth!).toString(16)}`);
  });
  it('each host its own, whatever its number; the first keeps its when others come', () => {
    const addresses = new AutoAddresses();
    const all = Array.from({ length: 5_000 }, (_, i) => addresses.allocate('default', `host-${i}.example`).join());
    expect(new Set(all).size).toBe(5_000);
    const again = new AutoAddresses();
    expect(Array.from({ length: 1_000 }, (_, i) => again.allocate('default', `host-${i}.example`).join())).toEqual(
      all.slice(0, 1_000),
    );
    for (const one of all) expect(one).not.toMatch(/\.(0|255),/);
  });
  it('hosts of other namespaces are others', () => {
    const of = (namespace: string): string => new AutoAddresses().allocate(namespace, 'a.example').join();
    expect(of('a')).not.toBe(of('b'));
  });
});
