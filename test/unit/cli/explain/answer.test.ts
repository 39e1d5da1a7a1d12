import { describe, expect, it } from 'vitest';
import { chooseListener, hostOf } from '../../../../src/cli/explain/answer.ts';
import type { ListenerExplanation } from '../../../../src/proxy/admin/explain.ts';

function listener(name: string, address: string, direction: 'INBOUND' | 'OUTBOUND' = 'OUTBOUND'): ListenerExplanation {
  return {
    listener: name,
    addresses: [address],
    direction,
    filterChain: '',
    statPrefix: name,
    routeTable: name,
    internal: true,
    outcome: '',
    trace: null,
    route: null,
    filters: [],
  };
}

describe('the listener that a request comes to', () => {
  const all = [listener('in', '127.0.0.1:1', 'INBOUND'), listener('a', '0.0.0.0:80'), listener('b', '[::]:8443')];
  it.each([
    ['http://x:8443/', 'b'],
    ['http://x/', 'a'],
    ['http://[::1]:8443/', 'b'],
    ['http://x:9999/', 'a'],
  ])('of %s is %s', (url, name) => expect(chooseListener(all, { url })?.listener).toBe(name));
  it('is the one that was named, or none', () => {
    expect(chooseListener(all, { url: 'http://x/', listener: 'in' })?.listener).toBe('in');
    expect(chooseListener(all, { url: 'http://x/', listener: 'c' })).toBeNull();
  });
  it('is an inbound one where there are only those', () => {
    expect(chooseListener(all.slice(0, 1), { url: 'http://x/' })?.listener).toBe('in');
  });
});

describe('the host of a question', () => {
  it.each([
    ['http://Reviews:9080/x', 'reviews'],
    ['http://[::1]:80/', '::1'],
    ['reviews/x', 'reviews'],
    ['/x', ''],
  ])('%s is %s', (url, host) => expect(hostOf({ url, headers: [] })).toBe(host));
  it('is that of the header', () => expect(hostOf({ url: '/x', headers: [['HOST', 'a:1']] })).toBe('a'));
});
