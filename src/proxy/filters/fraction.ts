import type { FractionalPercent } from '../../model/matcher.ts';
import type { FilterContext } from './filter.ts';

const MILLION = 1_000_000;

/**
 * Draws whether something that happens to a share of requests happens to this one. A number under `runtimeKey` is
 * percent and takes the place of the configured share (Envoy's featureEnabled).
 */
export function isDrawn(partsPerMillion: number, runtimeKey: string, context: FilterContext): boolean {
  const share = runtimeKey === '' ? partsPerMillion : fromRuntime(partsPerMillion, runtimeKey, context);
  if (share <= 0) return false;
  return share >= MILLION || context.random.int(MILLION) < share;
}

/** The same for a fraction of the model; null is `otherwise`. */
export function isEnabled(fraction: FractionalPercent | null, otherwise: boolean, context: FilterContext): boolean {
  return fraction === null ? otherwise : isDrawn(fraction.partsPerMillion, fraction.runtimeKey, context);
}

function fromRuntime(partsPerMillion: number, key: string, { runtime }: FilterContext): number {
  const percent = runtime.number(key, -1);
  return percent < 0 ? partsPerMillion : percent * 10_000;
}
