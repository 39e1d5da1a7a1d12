import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { UpstreamEndpoint } from '../../src/proxy/upstream/endpoint.ts';
import type { Balancer, BalancerType, PickContext, Picker } from '../../src/proxy/upstream/lb/balancer.ts';

const CONTEXT: PickContext = { hash: null, avoid: null, originalDestination: null, request: null };

/** Endpoints 10.0.0.1, 10.0.0.2, … with these weights. */
export function endpointsOf(...weights: number[]): UpstreamEndpoint[] {
  return weights.map(
    (weight, i) =>
      new UpstreamEndpoint(
        { address: { host: `10.0.0.${i + 1}`, port: 80 }, hostname: '', weight, health: 'HEALTHY', workload: '' },
        0,
        { region: '', zone: '', subZone: '' },
      ),
  );
}

/** How often each endpoint is picked in `times` picks. */
export function countPicks(picker: Picker, endpoints: readonly UpstreamEndpoint[], times: number): number[] {
  const counts = new Map<UpstreamEndpoint, number>();
  for (let i = 0; i < times; i++) {
    const endpoint = picker.pick(CONTEXT)!;
    counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1);
  }
  return endpoints.map((endpoint) => counts.get(endpoint) ?? 0);
}

/** What every balancer owes its cluster, whatever its policy. */
export function balancerSuite<C>(
  type: BalancerType<C>,
  options: {
    config?: C;
    /** Allowed distance from the exact share, as a part of it. */
    tolerance: number;
  },
): void {
  const create = (seed = 1): Balancer => type.create(options.config ?? type.defaults, seededRandom(seed));

  describe(`${type.kind} as a balancer`, () => {
    it('has a kind and a config type that registries can tell apart', () => {
      expect(type.kind).toMatch(/^[a-z_]+$/);
      expect(type.configType).toMatch(/^envoy\.extensions\.load_balancing_policies\./);
    });

    it('picks nobody from nobody', () => {
      expect(create().update([]).pick(CONTEXT)).toBeNull();
    });

    it('always picks the only endpoint', () => {
      const [only] = endpointsOf(3);
      const picker = create().update([only!]);
      for (let i = 0; i < 10; i++) expect(picker.pick(CONTEXT)).toBe(only);
    });

    it.each([2, 3, 7, 100])('spreads evenly over %i endpoints of one weight', (n) => {
      const endpoints = endpointsOf(...new Array<number>(n).fill(1));
      const share = 1000;
      for (const count of countPicks(create().update(endpoints), endpoints, n * share)) {
        expect(Math.abs(count - share) / share).toBeLessThanOrEqual(options.tolerance * 3);
      }
    });

    it.each([[[1, 1, 2]], [[90, 10]], [[1, 2, 3, 4, 5, 6, 7, 8]], [[1, 1000]], [[128, 64, 64, 1]]])(
      'picks in proportion to weights %j',
      (weights) => {
        const endpoints = endpointsOf(...weights);
        const total = weights.reduce((a, b) => a + b, 0);
        const times = total * 400;
        countPicks(create().update(endpoints), endpoints, times).forEach((count, i) => {
          const share = (times * weights[i]!) / total;
          // Random policies deviate by the square root; allow five of them.
          const allowed = options.tolerance === 0 ? 1 : 5 * Math.sqrt(share);
          expect(Math.abs(count - share)).toBeLessThanOrEqual(allowed);
        });
      },
    );

    it('counts a weight of 0 as 1', () => {
      const endpoints = endpointsOf(0, 0);
      expect(Math.min(...countPicks(create().update(endpoints), endpoints, 100))).toBeGreaterThan(0);
    });

    it('does not start every proxy at the same endpoint', () => {
      const endpoints = endpointsOf(1, 1, 1, 1, 1, 1, 1, 1);
      const first = new Set<UpstreamEndpoint | null>();
      for (let seed = 1; seed <= 32; seed++) first.add(create(seed).update(endpoints).pick(CONTEXT));
      expect(first.size).toBeGreaterThan(4);
    });

    it('never picks an endpoint that an update took away', () => {
      const endpoints = endpointsOf(1, 1, 1);
      const balancer = create();
      balancer.update(endpoints);
      const picker = balancer.update(endpoints.slice(0, 2));
      expect(countPicks(picker, endpoints, 100)[2]).toBe(0);
    });

    it('reaches an endpoint that an update brought', () => {
      const endpoints = endpointsOf(1, 1, 1);
      const balancer = create();
      balancer.update(endpoints.slice(0, 2));
      expect(countPicks(balancer.update(endpoints), endpoints, 300)[2]).toBeGreaterThan(50);
    });

    it('leaves a picker usable that was replaced, for requests that still hold it', () => {
      const endpoints = endpointsOf(1, 2);
      const balancer = create();
      const old = balancer.update(endpoints);
      balancer.update(endpointsOf(5, 6, 7));
      expect(endpoints).toContain(old.pick(CONTEXT));
    });
  });
}
