import type { Random } from '../../../base/random.ts';
import type { Problems } from '../../../xds/proto/codec.ts';
import type { RoundRobin } from '../../../xds/proto/gen/envoy/extensions/load_balancing_policies/round_robin/v3.ts';
import type { UpstreamEndpoint } from '../endpoint.ts';
import type { Balancer, BalancerType, Picker } from './balancer.ts';
import { reportLocality, reportSlowStart } from './common.ts';
import { EdfSchedule } from './edf.ts';
import { sameWeights, weightsOf } from './weights.ts';

export const roundRobin: BalancerType<null> = {
  kind: 'round_robin',
  configType: 'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin',
  decode(message, _problems, warnings: Problems, path) {
    const config = message as RoundRobin;
    reportSlowStart(config.slow_start_config, warnings, path);
    reportLocality(config.locality_lb_config, warnings, path);
    return null;
  },
  defaults: null,
  create: (_config, random) => new RoundRobinBalancer(random),
};

class RoundRobinBalancer implements Balancer {
  readonly #random: Random;
  #last: EqualPicker | null = null;

  constructor(random: Random) {
    this.#random = random;
  }

  update(endpoints: readonly UpstreamEndpoint[]): Picker {
    if (!sameWeights(endpoints)) {
      this.#last = null;
      return new WeightedPicker(endpoints, this.#random);
    }
    // Goes on where the last picker stood, so that frequent updates do not favour anybody.
    const start = this.#last !== null ? this.#last.next : this.#random.int(Math.max(1, endpoints.length));
    this.#last = new EqualPicker(endpoints, start);
    return this.#last;
  }
}

class EqualPicker implements Picker {
  readonly #endpoints: readonly UpstreamEndpoint[];
  next: number;

  constructor(endpoints: readonly UpstreamEndpoint[], start: number) {
    this.#endpoints = endpoints;
    this.next = endpoints.length === 0 ? 0 : start % endpoints.length;
  }

  pick(): UpstreamEndpoint | null {
    const endpoints = this.#endpoints;
    const at = this.next;
    if (at >= endpoints.length) return null;
    this.next = at + 1 === endpoints.length ? 0 : at + 1;
    return endpoints[at]!;
  }
}

class WeightedPicker implements Picker {
  readonly #endpoints: readonly UpstreamEndpoint[];
  readonly #weights: readonly number[];
  readonly #schedule: EdfSchedule;

  constructor(endpoints: readonly UpstreamEndpoint[], random: Random) {
    this.#endpoints = endpoints;
    this.#weights = weightsOf(endpoints);
    this.#schedule = new EdfSchedule(this.#weights, random);
  }

  pick(): UpstreamEndpoint | null {
    const at = this.#schedule.peek();
    this.#schedule.advance(this.#weights[at]!);
    return this.#endpoints[at]!;
  }
}
