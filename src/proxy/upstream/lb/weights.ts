import type { UpstreamEndpoint } from '../endpoint.ts';

/** Weights as the pickers use them: at least 1 (Envoy has no weight 0; it is the proto's unset). */
export function weightsOf(endpoints: readonly UpstreamEndpoint[]): number[] {
  return endpoints.map((endpoint) => Math.max(1, endpoint.weight));
}

export function sameWeights(endpoints: readonly UpstreamEndpoint[]): boolean {
  const weights = weightsOf(endpoints);
  return weights.every((weight) => weight === weights[0]);
}
