import { describe, expect, it } from 'vitest';
import type { MeshService } from '../../../../../src/control/mesh/service.ts';
import { spellings } from '../../../../../src/control/translate/emit/spelling.ts';

function service(host: string, addresses: readonly string[] = []): MeshService {
  return {
    host,
    name: host.split('.')[0] ?? '',
    namespace: 'shop',
    ports: [],
    resolution: 'endpoints',
    external: false,
    addresses,
    endpoints: [],
    exportTo: ['*'],
    written: { object: 'Service shop/cart', place: 'shop/cart' },
  };
}

function domains(of: MeshService, near: boolean, instances = false): string[] {
  return spellings(of, 'cluster.local', near, instances).map(({ domain }) => domain);
}

describe("spellings of a service's name", () => {
  it('are the full one, shorter ones, the absolute one and addresses', () => {
    expect(domains(service('cart.shop.svc.cluster.local', ['10.0.0.1', 'fd00::1']), true)).toEqual([
      'cart.shop.svc.cluster.local',
      'cart',
      'cart.shop',
      'cart.shop.svc',
      'cart.shop.svc.cluster.local.',
      '10.0.0.1',
      '[fd00::1]',
    ]);
  });

  it('have no bare name for callers elsewhere, and nothing shorter for other hosts', () => {
    expect(domains(service('cart.shop.svc.cluster.local'), false)).not.toContain('cart');
    expect(domains(service('api.example.com'), true)).toEqual(['api.example.com', 'api.example.com.']);
    expect(domains(service('*.example.com'), true)).toEqual(['*.example.com']);
  });

  it('have names of instances behind all others', () => {
    const names = domains(service('cart.shop.svc.cluster.local'), false, true);
    expect(names.slice(names.length / 2)).toEqual(names.slice(0, names.length / 2).map((name) => `*.${name}`));
  });

  it('say which may be some other full name', () => {
    const shorter = spellings(service('cart.shop.svc.cluster.local'), 'cluster.local', true, true)
      .map((spelling) => spelling.shorter)
      .filter((name) => name !== null);
    expect(new Set(shorter)).toEqual(new Set(['cart', 'cart.shop', 'cart.shop.svc']));
  });

  it('are the same objects again, with the port that was asked for last', () => {
    const cart = service('cart.shop.svc.cluster.local', ['fd00::1']);
    const all = spellings(cart, 'cluster.local', true, false);
    expect(spellings(cart, 'cluster.local', true, false)).toBe(all);
    expect(spellings(cart, 'cluster.local', false, false)).not.toBe(all);
    expect(all.at(-1)?.withPort(80)).toBe('[fd00::1]:80');
    expect(all.at(-1)?.withPort(81)).toBe('[fd00::1]:81');
  });
});
