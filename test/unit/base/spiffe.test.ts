import { describe, expect, it } from 'vitest';
import { parseSpiffeId, sameIdentity, spiffeId } from '../../../src/base/spiffe.ts';

const ID = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'bookinfo-reviews' };

describe('a SPIFFE ID of Istio’s form', () => {
  it('is written and read', () => {
    expect(spiffeId(ID)).toBe('spiffe://cluster.local/ns/shop/sa/bookinfo-reviews');
    expect(parseSpiffeId(spiffeId(ID))).toEqual(ID);
    expect(sameIdentity(ID, { ...ID })).toBe(true);
    expect(sameIdentity(ID, { ...ID, namespace: 'other' })).toBe(false);
  });

  it.each([
    '',
    'spiffe://cluster.local',
    'spiffe://cluster.local/ns/shop/sa/',
    'spiffe://cluster.local/ns/shop/sa/reviews/more',
    'spiffe://cluster.local/ns/../sa/reviews',
    'spiffe://cluster.local/ns/Shop/sa/reviews',
    'spiffe://cluster.local/ns/shop/sa/re%76iews',
    'spiffe://a@cluster.local/ns/shop/sa/reviews',
    'https://cluster.local/ns/shop/sa/reviews',
    ' spiffe://cluster.local/ns/shop/sa/reviews',
    'spiffe://cluster.local/ns/shop/sa/reviews\n',
    `spiffe://cluster.local/ns/shop/sa/${'a'.repeat(300)}`,
  ])('is nothing else: %j', (text) => {
    expect(parseSpiffeId(text)).toBeNull();
  });
});
