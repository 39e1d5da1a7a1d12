import type { Random } from '../../../base/random.ts';
import type { LeastRequest } from '../../../xds/proto/gen/envoy/extensions/load_balancing_policies/least_request/v3.ts';
import type { UpstreamEndpoint } from '../endpoint.ts';
import type { Balancer, BalancerType, Picker } from './balancer.ts';
import { reportLocality, reportSlowStart } from './common.ts';
import { EdfSchedule } from './edf.ts';
import { sameWeights, weightsOf } from './weights.ts';

export interface LeastRequestConfig {
  readonly choiceCount: number;
  /** How much active requests lower a host's effective weight, when weights differ: weight / (active + 1)^bias. */
  readonly activeRequestBias: number;
  /** Compare all hosts instead of a sample. */
  readonly fullScan: boolean;
}

const DEFAULTS: LeastRequestConfig = { choiceCount: 2, activeRequestBias: 1, fullScan: false };

export const leastRequest: BalancerType<LeastRequestConfig> = {
  kind: 'least_request',
  configType: 'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest',
  decode(message, problems, warnings, path) {
    const config = message as LeastRequest;
    reportSlowStart(config.slow_start_config, warnings, path);
    reportLocality(config.locality_lb_config, warnings, path);
    const choiceCount = config.choice_count ?? DEFAULTS.choiceCount;
    if (choiceCount < 2) problems.add(`${path}.choice_count`, `must be at least 2, is ${choiceCount}`);
    const bias = config.active_request_bias;
    const activeRequestBias = bias?.default_value ?? (bias === undefined ? DEFAULTS.activeRequestBias : 0);
    if (activeRequestBias < 0) problems.add(`${path}.active_request_bias`, 'must not be negative');
    if (bias?.runtime_key) warnings.add(`${path}.active_request_bias.runtime_key`, 'accepted, no effect yet');
    const fullScan = config.enable_full_scan === true || config.selection_method === 'FULL_SCAN';
    return { choiceCount, activeRequestBias, fullScan };
  },
  defaults: DEFAULTS,
  create: (config, random) => new LeastRequestBalancer(config, random),
};

class LeastRequestBalancer implements Balancer {
  readonly #config: LeastRequestConfig;
  readonly #random: Random;

  constructor(config: LeastRequestConfig, random: Random) {
    this.#config = config;
    this.#random = random;
  }

  update(endpoints: readonly UpstreamEndpoint[]): Picker {
    const { choiceCount, activeRequestBias, fullScan } = this.#config;
    if (!sameWeights(endpoints)) return new BiasedPicker(endpoints, activeRequestBias, this.#random);
    if (fullScan || choiceCount >= endpoints.length) return new FullScanPicker(endpoints, this.#random);
    if (choiceCount === 2) return new TwoChoicesPicker(endpoints, this.#random);
    return new ManyChoicesPicker(endpoints, choiceCount, this.#random);
  }
}

/** Power of two choices. The two always differ (Envoy may draw the same host twice). */
class TwoChoicesPicker implements Picker {
  readonly #endpoints: readonly UpstreamEndpoint[];
  readonly #random: Random;

  constructor(endpoints: readonly UpstreamEndpoint[], random: Random) {
    this.#endpoints = endpoints;
    this.#random = random;
  }

  pick(): UpstreamEndpoint | null {
    const endpoints = this.#endpoints;
    const n = endpoints.length;
    // One draw for both: an ordered pair of different places.
    const pair = this.#random.int(n * (n - 1));
    const i = Math.floor(pair / (n - 1));
    let j = pair - i * (n - 1);
    if (j >= i) j++;
    const first = endpoints[i]!;
    const second = endpoints[j]!;
    return second.activeRequests < first.activeRequests ? second : first;
  }
}

class ManyChoicesPicker implements Picker {
  readonly #endpoints: readonly UpstreamEndpoint[];
  readonly #choices: number;
  readonly #random: Random;

  constructor(endpoints: readonly UpstreamEndpoint[], choices: number, random: Random) {
    this.#endpoints = endpoints;
    this.#choices = choices;
    this.#random = random;
  }

  pick(): UpstreamEndpoint | null {
    const endpoints = this.#endpoints;
    let best = endpoints[this.#random.int(endpoints.length)]!;
    for (let i = 1; i < this.#choices; i++) {
      const other = endpoints[this.#random.int(endpoints.length)]!;
      if (other.activeRequests < best.activeRequests) best = other;
    }
    return best;
  }
}

/** Compares all; starts at a random one, so that ties spread. */
class FullScanPicker implements Picker {
  readonly #endpoints: readonly UpstreamEndpoint[];
  readonly #random: Random;

  constructor(endpoints: readonly UpstreamEndpoint[], random: Random) {
    this.#endpoints = endpoints;
    this.#random = random;
  }

  pick(): UpstreamEndpoint | null {
    const endpoints = this.#endpoints;
    const n = endpoints.length;
    if (n === 0) return null;
    if (n === 1) return endpoints[0]!;
    const start = this.#random.int(n);
    let best = endpoints[start]!;
    let ties = 1;
    for (let i = start + 1; i < start + n; i++) {
      const other = endpoints[i < n ? i : i - n]!;
      if (other.activeRequests > best.activeRequests) continue;
      if (other.activeRequests < best.activeRequests) {
        best = other;
        ties = 1;
      } else if (this.#random.int(++ties) === 0) {
        best = other;
      }
    }
    return best;
  }
}

/** Weights differ: Envoy's schedule by weight, each host's weight lowered by what it is busy with at its turn. */
class BiasedPicker implements Picker {
  readonly #endpoints: readonly UpstreamEndpoint[];
  readonly #weights: readonly number[];
  readonly #schedule: EdfSchedule;
  readonly #bias: number;

  constructor(endpoints: readonly UpstreamEndpoint[], bias: number, random: Random) {
    this.#endpoints = endpoints;
    this.#weights = weightsOf(endpoints);
    this.#schedule = new EdfSchedule(this.#weights, random);
    this.#bias = bias;
  }

  pick(): UpstreamEndpoint | null {
    const at = this.#schedule.peek();
    const endpoint = this.#endpoints[at]!;
    const busy = endpoint.activeRequests + 1;
    const weight = this.#weights[at]!;
    this.#schedule.advance(this.#bias === 1 ? weight / busy : weight / busy ** this.#bias);
    return endpoint;
  }
}
