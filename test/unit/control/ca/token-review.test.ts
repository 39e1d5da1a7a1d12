import { describe, expect, it } from 'vitest';
import { TokenRefused, TokenReviewer } from '../../../../src/control/ca/token-review.ts';
import { KubeError, type KubeRequest } from '../../../../src/control/source/kube/client.ts';
import { manualClock } from '../../../support/clock.ts';
import { CALLER } from './support.ts';

const GOOD = {
  authenticated: true,
  audiences: ['istio-ca'],
  user: { username: 'system:serviceaccount:shop:reviews', groups: ['system:serviceaccounts'] },
};

function reviewer(status: unknown = GOOD) {
  const clock = manualClock();
  const asked: KubeRequest[] = [];
  let answer: () => Promise<unknown> = () => Promise.resolve({ status });
  const api = {
    send: (request: KubeRequest) => {
      asked.push(request);
      return answer();
    },
  };
  const one = new TokenReviewer({ api, clock, trustDomain: 'cluster.local', audience: 'istio-ca' });
  return { one, clock, asked, answers: (next: () => Promise<unknown>) => (answer = next) };
}

describe('a token', () => {
  it('is of the service account that the API server names', async () => {
    const { one, asked } = reviewer();
    expect(await one.identify('token')).toEqual(CALLER);
    expect(asked[0]).toMatchObject({
      method: 'POST',
      path: '/apis/authentication.k8s.io/v1/tokenreviews',
      body: { kind: 'TokenReview', spec: { token: 'token', audiences: ['istio-ca'] } },
    });
  });

  it.each<[string, unknown, RegExp]>([
    ['that nobody knows', { authenticated: false, error: 'expired' }, /does not know/],
    ['for somebody else', { ...GOOD, audiences: ['vault'] }, /not for istio-ca/],
    ['of a server that knows no audiences', { ...GOOD, audiences: undefined }, /not for istio-ca/],
    ['of a person', { ...GOOD, user: { username: 'admin' } }, /no service account/],
    ['of nobody', { ...GOOD, user: null }, /no service account/],
    ['with an answer that is none', 'what?', /does not know/],
  ])('%s is refused', async (_, status, reason) => {
    const { one, asked } = reviewer(status);
    await expect(one.identify('token')).rejects.toThrow(TokenRefused);
    await expect(one.identify('token')).rejects.toThrow(reason);
    // A refusal is not kept: the token may be good in a moment.
    expect(asked).toHaveLength(2);
  });

  it('is asked about once a minute, however often it comes, and together', async () => {
    const { one, asked, clock } = reviewer();
    await Promise.all([one.identify('a'), one.identify('a'), one.identify('b')]);
    expect(asked).toHaveLength(2);
    clock.advance(59_000);
    await one.identify('a');
    expect(asked).toHaveLength(2);
    clock.advance(2000);
    await one.identify('a');
    expect(asked).toHaveLength(3);
  });

  it('that is none, or too long, is not asked about', async () => {
    const { one, asked } = reviewer();
    await expect(one.identify('')).rejects.toThrow(TokenRefused);
    await expect(one.identify('x'.repeat(17_000))).rejects.toThrow(TokenRefused);
    expect(asked).toHaveLength(0);
  });

  it('is not refused but unproven while the API server is away', async () => {
    const { one, answers } = reviewer();
    answers(() => Promise.reject(new KubeError(0, '', 'away')));
    await expect(one.identify('token')).rejects.toThrow(KubeError);
    answers(() => Promise.resolve({ status: GOOD }));
    expect(await one.identify('token')).toEqual(CALLER);
  });

  it('waits at its proxy when a hundred are being reviewed', async () => {
    const { one, answers } = reviewer();
    let go = (): void => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    answers(() => gate.then(() => ({ status: GOOD })));
    const waiting = Array.from({ length: 100 }, (_, i) => one.identify(`token ${i}`));
    await expect(one.identify('one more')).rejects.toThrow(/too many/);
    go();
    await Promise.all(waiting);
    expect(await one.identify('one more')).toEqual(CALLER);
  });
});
