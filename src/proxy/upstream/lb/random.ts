import type { Random } from '../../../base/random.ts';
import type { Random as RandomConfig } from '../../../xds/proto/gen/envoy/extensions/load_balancing_policies/random/v3.ts';
import type { UpstreamEndpoint } from '../endpoint.ts';
import type { Balancer, BalancerType, Picker } from './balancer.ts';
import { reportLocality } from './common.ts';
import { sameWeights, weightsOf } from './weights.ts';

export const random: BalancerType<null> = {
  kind: 'random',
  configType: 'envoy.extensions.load_balancing_policies.random.v3.Random',
  decode(message, _problems, warnings, path) {
    reportLocality((message as RandomConfig).locality_lb_config, warnings, path);
    return null;
  },
  defaults: null,
  create: (_config, source) => new RandomBalancer(source),
};

class RandomBalancer implements Balancer {
  readonly #random: Random;

  constructor(source: Random) {
    this.#random = source;
  }

  update(endpoints: readonly UpstreamEndpoint[]): Picker {
    return sameWeights(endpoints)
      ? new EqualPicker(endpoints, this.#random)
      : new WeightedPicker(endpoints, this.#random);
  }
}

class EqualPicker implements Picker {
  readonly #endpoints: readonly UpstreamEndpoint[];
  readonly #random: Random;

  constructor(endpoints: readonly UpstreamEndpoint[], source: Random) {
    this.#endpoints = endpoints;
    this.#random = source;
  }

  pick(): UpstreamEndpoint | null {
    const n = this.#endpoints.length;
    return n === 0 ? null : this.#endpoints[this.#random.int(n)]!;
  }
}

class WeightedPicker implements Picker {
  readonly #endpoints: readonly UpstreamEndpoint[];
  /** Weights summed up to and including each endpoint. */
  readonly #upTo: Float64Array;
  readonly #total: number;
  readonly #random: Random;

  constructor(endpoints: readonly UpstreamEndpoint[], source: Random) {
    this.#endpoints = endpoints;
    this.#random = source;
    this.#upTo = new Float64Array(endpoints.length);
    let total = 0;
    weightsOf(endpoints).forEach((weight, i) => {
      total += weight;
      this.#upTo[i] = total;
    });
    this.#total = total;
  }

  pick(): UpstreamEndpoint | null {
    const upTo = this.#upTo;
    const point = this.#random.next() * this.#total;
    let low = 0;
    let high = upTo.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (point < upTo[middle]!) high = middle;
      else low = middle + 1;
    }
    return this.#endpoints[low]!;
  }
}
