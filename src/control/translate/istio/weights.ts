import type { RuleDestination } from '../../mesh/route-rule.ts';

/** What is wrong with the destinations of a route, by their place in it. */
export interface WeightProblems {
  /** Indexes of destinations whose subset no DestinationRule defines. */
  readonly missing: readonly number[];
  readonly sumIsZero: boolean;
}

/**
 * The destinations that get requests. Two things that Istio answers with 503s or refuses do no harm here: a
 * destination whose subset is not defined is left out where others remain (its share goes to them), and weights that
 * are all 0 mean an even split.
 */
export function effectiveDestinations(
  destinations: readonly RuleDestination[],
  hasSubset: (host: string, subset: string) => boolean,
): { readonly destinations: readonly RuleDestination[]; readonly problems: WeightProblems } {
  const missing = destinations.flatMap((to, i) => (to.subset !== '' && !hasSubset(to.host, to.subset) ? [i] : []));
  const sumIsZero = destinations.length > 1 && sum(destinations) === 0;
  const there = destinations.filter((_to, i) => !missing.includes(i));
  // Nothing is left: the route is kept as written, so that its failure names the subset.
  const kept = there.length === 0 ? destinations : there;
  const even = kept.length > 0 && sum(kept) === 0;
  return {
    destinations: even ? kept.map((to) => ({ ...to, weight: 1 })) : kept,
    problems: { missing, sumIsZero },
  };
}

function sum(destinations: readonly RuleDestination[]): number {
  return destinations.reduce((total, to) => total + to.weight, 0);
}
