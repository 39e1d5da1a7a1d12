import { expect, test } from 'vitest';
import { AddressRanges, internalAddresses, plainAddress } from '../../../../src/proxy/http/addresses.ts';

test('without config nobody is internal', () => {
  const internal = internalAddresses(null);
  for (const address of ['10.1.2.3', '172.31.0.1', '192.168.9.9', '127.0.0.1', '::1', 'fd00::1', '8.8.8.8', ''])
    expect(internal.contains(address)).toBe(false);
});

test('config says who is', () => {
  const internal = internalAddresses([{ address: '203.0.113.0', prefixLength: 24 }]);
  expect(internal.contains('203.0.113.7')).toBe(true);
  expect(internal.contains('10.0.0.1')).toBe(false);
});

test('what is remembered is bounded and stays right', () => {
  const ranges = new AddressRanges([{ address: '10.0.0.0', prefixLength: 16 }]);
  for (let i = 0; i < 5000; i++)
    expect(ranges.contains(`10.${i & 1}.${(i >> 8) & 255}.${i & 255}`)).toBe((i & 1) === 0);
});

test('a mapped IPv4 address is shown as IPv4', () => {
  expect(plainAddress('::ffff:1.2.3.4')).toBe('1.2.3.4');
  expect(plainAddress('::1')).toBe('::1');
  // Hexadecimal it would be no address any more.
  expect(plainAddress('::ffff:a00:1')).toBe('::ffff:a00:1');
  expect(plainAddress(undefined)).toBe('');
});
