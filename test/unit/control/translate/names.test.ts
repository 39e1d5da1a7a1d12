import { describe, expect, it } from 'vitest';
import {
  compareHosts,
  exportedTo,
  fullHost,
  gatewayName,
  hostMatches,
  isAddress,
} from '../../../../src/control/translate/names.ts';
import { portProtocol } from '../../../../src/control/translate/protocol.ts';

describe('names', () => {
  it.each([
    ['reviews', 'reviews.shop.svc.cluster.local'],
    ['Reviews', 'reviews.shop.svc.cluster.local'],
    ['reviews.other', 'reviews.other'],
    ['*', '*'],
    ['*.com', '*.com'],
    ['::1', '::1'],
  ])('host %s is %s', (host, full) => expect(fullHost(host, 'shop')).toBe(full));

  it.each([
    ['mesh', 'mesh'],
    ['front', 'shop/front'],
    ['./front', 'shop/front'],
    ['istio-system/front', 'istio-system/front'],
    ['front.istio-system', 'istio-system/front'],
    ['front.istio-system.svc.cluster.local', 'istio-system/front'],
  ])('gateway %s is %s', (reference, name) => expect(gatewayName(reference, 'shop')).toBe(name));

  it.each([
    [undefined, ['*']],
    [[], ['*']],
    [['.'], ['shop']],
    [
      ['.', 'b', 'a'],
      ['a', 'b', 'shop'],
    ],
    [['~'], []],
    [['*'], ['*']],
  ])('exportTo %j is %j', (written, spaces) => expect(exportedTo(written, 'shop')).toEqual(spaces));

  it.each([
    ['*', 'a.b', true],
    ['*.b', 'a.b', true],
    ['*.b', 'a.c.b', true],
    ['*.b', 'b', false],
    ['*.b', '*.a.b', true],
    ['*.a.b', '*.b', false],
    ['a.b', 'a.b', true],
    ['a.b', '*.b', false],
  ])('%s matches %s: %s', (pattern, host, matches) => expect(hostMatches(pattern, host)).toBe(matches));

  it('orders hosts from specific to wild', () => {
    expect(['*', '*.b', 'z', '*.a.b', 'a'].sort(compareHosts)).toEqual(['a', 'z', '*.a.b', '*.b', '*']);
  });

  it('tells addresses from names', () => {
    expect(['1.2.3.4', '::1', 'fe80::1'].every(isAddress)).toBe(true);
    expect(['a.b', '1.2.3', 'localhost', ''].some(isAddress)).toBe(false);
  });
});

describe('the protocol of a port', () => {
  it.each([
    [80, 'http', 'TCP', undefined, 'http'],
    [80, 'HTTP-web', 'TCP', undefined, 'http'],
    [80, 'http2', 'TCP', undefined, 'http2'],
    [80, 'httpx', 'TCP', undefined, 'auto'],
    [80, 'tcp-x', 'TCP', 'grpc', 'grpc'],
    [80, 'http', 'TCP', 'mine.example.com/p', 'auto'],
    [80, 'grpc-web-x', 'TCP', undefined, 'http'],
    [3306, 'db', 'TCP', undefined, 'tcp'],
    [3306, 'http', 'TCP', undefined, 'http'],
    [53, 'dns', 'UDP', undefined, null],
    [53, 'udp-dns', '', undefined, null],
  ] as const)('%d %s %s %s is %s', (port, name, transport, appProtocol, protocol) =>
    expect(portProtocol(port, name, transport, appProtocol)).toBe(protocol),
  );
});
