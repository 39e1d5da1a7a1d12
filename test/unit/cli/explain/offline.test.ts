import { describe, expect, it } from 'vitest';
import { verdictOf } from '../../../../src/cli/explain/verdict.ts';
import { type Case, explain } from './support.ts';

const REVIEWS = 'http://reviews:9080/reviews/0';
const JASON = [['end-user', 'jason']] as const;

async function verdict(url: string, about: Case = {}): Promise<readonly string[]> {
  const { lines, advice } = verdictOf(await explain(url, about));
  return [...lines, ...advice];
}

describe('explain --files', () => {
  it('sends jason to v2 and says by which rule', async () => {
    const answer = await explain(REVIEWS, { tries: ['reviews-jason-v2.yaml'], headers: JASON, from: 'productpage-v1' });
    expect(answer.asked).toBe('the sidecar of productpage-v1');
    expect(answer.listener?.route).toMatchObject({
      name: 'jason',
      origin: 'VirtualService default/reviews (try/reviews-jason-v2.yaml:13) http[0]',
    });
    expect(verdictOf(answer).lines).toEqual(['reviews v2 at 127.0.0.1:31005 (1 healthy endpoint)']);
  });

  it('sends others to v1, and says why the rule of jason is not theirs', async () => {
    const answer = await explain(REVIEWS, { tries: ['reviews-jason-v2.yaml'] });
    expect(answer.listener?.trace?.routes[0]).toMatchObject({
      matched: false,
      why: 'wants: header end-user is "jason"; but it is absent',
    });
    expect(verdictOf(answer).lines).toEqual(['reviews v1 at 127.0.0.1:31004 (1 healthy endpoint)']);
  });

  it('tells the shares of a split', async () => {
    expect(await verdict(REVIEWS, { tries: ['reviews-90-10.yaml'] })).toEqual([
      '90 % reviews v1 at 127.0.0.1:31004 (1 healthy endpoint)',
      '10 % reviews v3 at 127.0.0.1:31006 (1 healthy endpoint)',
    ]);
  });

  it('goes to every instance without rules', async () => {
    expect(await verdict(REVIEWS)).toEqual([
      'reviews at 127.0.0.1:31004, 127.0.0.1:31005, 127.0.0.1:31006 (3 healthy endpoints)',
    ]);
  });

  it('asks the gateway for what comes from outside', async () => {
    const answer = await explain('http://127.0.0.1:8080/productpage');
    expect(answer.asked).toBe('the gateway');
    expect(verdictOf(answer).lines).toEqual(['productpage at 127.0.0.1:31001 (1 healthy endpoint)']);
  });

  it('answers 404 for a path that no Gateway lets in, and names the object to edit', async () => {
    expect(await verdict('http://127.0.0.1:8080/admin')).toEqual([
      '404 NR: host 127.0.0.1:8080 is known, but none of its 6 routes matches',
      'add a match for /admin to the routes of VirtualService default/bookinfo (gateway.yaml:31), or call a path that one of them has',
    ]);
  });

  it.each([
    ['http://review:9080/', 'did you mean reviews?'],
    ['http://reviews/', null],
    ['http://reviews:80/', 'reviews is there on port 9080: write that in the URL'],
    [
      'http://nosuchthing/',
      'write a Service or a ServiceEntry for it, or call a host that is there (there is details, productpage, ratings, reviews)',
    ],
  ])('knows what to do about %s', async (url, advice) => {
    const said = verdictOf(await explain(url));
    expect(said.good).toBe(advice === null);
    expect(said.advice).toEqual(advice === null ? [] : [advice]);
  });

  it('describes a redirect', async () => {
    const yaml = virtualService('redirect: { uri: /v2, redirectCode: 308 }');
    expect(await verdict(REVIEWS, { yaml })).toEqual(['308 redirect to path /v2, else the same']);
  });

  it('says what a fault does: to all of them, or to a share', async () => {
    const ratings = 'http://ratings:9080/ratings/0';
    expect(await verdict(ratings, { tries: ['ratings-abort.yaml'], headers: JASON })).toEqual([
      '100 %: 500 FI: the fault is injected on purpose',
    ]);
    expect(await verdict(ratings, { tries: ['ratings-delay.yaml'], headers: JASON })).toEqual([
      'ratings v1 at 127.0.0.1:31003 (1 healthy endpoint), 2 s late',
    ]);
    expect(await verdict(ratings, { tries: ['timeout-retry.yaml'] })).toEqual([
      'ratings v1 at 127.0.0.1:31003 (1 healthy endpoint), 50 % of them 2 s late',
    ]);
  });

  it('tells timeouts and retries', async () => {
    const { listener } = await explain(REVIEWS, { tries: ['timeout-retry.yaml'] });
    expect(listener?.route?.targets[0]).toMatchObject({
      timeouts: { routeMs: 500, perTryMs: 150 },
      retries: { max: 2, on: ['gateway-error', 'connect-failure', 'refused-stream'] },
    });
  });

  it('tells the limits of a DestinationRule and of a ResiliencePolicy', async () => {
    const broken = await explain(REVIEWS, { tries: ['breaker.yaml'] });
    expect(broken.details.clusters['outbound|9080||reviews.default.svc.cluster.local']).toEqual([
      'at most 100 connections, 100 waiting requests, 100 requests at once; beyond that 503, UO',
      'ejects an endpoint after 3 answers of 5xx in a row, for 5 s (longer each time), at most 100 % of them',
    ]);
    const limited = await explain('http://productpage:9080/productpage', { tries: ['rate-limit.yaml'] });
    expect(limited.details.policies).toEqual([
      {
        says: 'each instance of productpage admits 5 requests every 10 s, at most 5 at once; beyond that 429',
        origin: 'ResiliencePolicy default/productpage-rate-limit (try/rate-limit.yaml:11)',
      },
    ]);
  });

  it('says how to start what has no instance', async () => {
    expect(await verdict(REVIEWS, { tries: ['reviews-v1.yaml'], without: ['reviews-v1'] })).toEqual([
      '503 UH: Cluster reviews v1 has no endpoints',
      'start an instance: `remora run --service reviews --version v1 -- COMMAND`, or scale it up on the cluster',
    ]);
  });

  it('says which subset nobody defined', async () => {
    const yaml = virtualService('route: [{ destination: { host: reviews, subset: v9 } }]');
    expect(await verdict(REVIEWS, { yaml })).toEqual([
      '503 UH: Cluster reviews v9 has no endpoints: no DestinationRule defines subset v9 of reviews.default.svc.cluster.local',
      'add subset v9 to a DestinationRule for reviews.default.svc.cluster.local',
    ]);
  });

  it('follows labels of the caller', async () => {
    const yaml = virtualService(
      'match: [{ sourceLabels: { app: ratings } }]\n      directResponse: { status: 418 }\n    - route: [{ destination: { host: reviews } }]',
    );
    expect(await verdict(REVIEWS, { yaml, from: 'ratings' })).toEqual(['418 from the route itself']);
    expect((await verdict(REVIEWS, { yaml, from: 'details' }))[0]).toMatch(/^reviews at /);
  });

  it('names the workloads there are for one that is not', async () => {
    await expect(explain(REVIEWS, { from: 'productpag' })).rejects.toThrow(
      'no workload productpag in namespace default: did you mean productpage?',
    );
  });

  it('refuses a request that is none', async () => {
    await expect(explain(REVIEWS, { method: 'G T' })).rejects.toThrow(/.+/);
  });

  it('says that a config has mistakes, and where to see them', async () => {
    const { notes } = await explain(REVIEWS, { yaml: 'apiVersion: v1\nkind: Service\nmetadata: { name: 7 }\n' });
    expect(notes).toEqual([expect.stringMatching(/^1 error in this config: see `remora analyze bookinfo`$/)]);
  });
});

function virtualService(rule: string): string {
  return `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews, namespace: default }
spec:
  hosts: [reviews]
  http:
    - ${rule}
`;
}
