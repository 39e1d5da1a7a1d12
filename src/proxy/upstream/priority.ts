/** How many endpoints a priority level has, by health. `total` includes the unhealthy. */
export interface LevelCounts {
  readonly total: number;
  readonly healthy: number;
  readonly degraded: number;
}

/** Percent of the traffic by level, for its healthy and for its degraded endpoints; all shares sum to 100. */
export interface LoadShares {
  readonly healthy: readonly number[];
  readonly degraded: readonly number[];
  /** Levels that use all their endpoints, healthy or not. Their share stands in `healthy`. */
  readonly panic: readonly boolean[];
}

/**
 * Splits traffic over priority levels as Envoy does (docs: load_balancing/priority, degraded, panic_threshold).
 *
 * A level's availability is its healthy share times the overprovisioning factor, at most 100; the first levels
 * take what they can, healthy endpoints of all levels before degraded ones. A level whose healthy share is below
 * the panic threshold uses all its endpoints, but only while the levels together cannot serve everything. When
 * every level panics, traffic is split by their sizes. `panicThreshold` 0 turns panic off.
 */
export function splitLoad(
  levels: readonly LevelCounts[],
  overprovisioningFactor: number,
  panicThreshold: number,
): LoadShares {
  const available = (count: number, total: number): number =>
    total === 0 ? 0 : Math.min(100, Math.floor((overprovisioningFactor * count) / total));
  const healthy = levels.map((level) => available(level.healthy, level.total));
  const degraded = levels.map((level) => available(level.degraded, level.total));
  const sum = [...healthy, ...degraded].reduce((a, b) => a + b, 0);
  const totalAvailability = Math.min(100, sum);

  const panic = levels.map((level) => {
    if (totalAvailability === 100 || panicThreshold === 0) return false;
    const well = level.total === 0 ? 0 : (100 * (level.healthy + level.degraded)) / level.total;
    return well < panicThreshold;
  });
  if (panic.length > 0 && panic.every((inPanic) => inPanic)) return splitBySize(levels, panic);

  if (totalAvailability === 0)
    return { healthy: levels.map((_, i) => (i === 0 ? 100 : 0)), degraded: [...degraded], panic };

  let left = 100;
  const take = (availability: number): number => {
    const share = Math.min(left, Math.floor((availability * 100) / totalAvailability));
    left -= share;
    return share;
  };
  const healthyShares = healthy.map(take);
  const degradedShares = degraded.map(take);
  // What rounding left over goes to the first level that has anything.
  if (left > 0) {
    const first = healthy.findIndex((value) => value > 0);
    if (first >= 0) healthyShares[first]! += left;
    else degradedShares[degraded.findIndex((value) => value > 0)]! += left;
  }
  return { healthy: healthyShares, degraded: degradedShares, panic };
}

function splitBySize(levels: readonly LevelCounts[], panic: readonly boolean[]): LoadShares {
  const total = levels.reduce((sum, level) => sum + level.total, 0);
  const shares = levels.map((level) => (total === 0 ? 0 : Math.floor((100 * level.total) / total)));
  const first = Math.max(
    0,
    levels.findIndex((level) => level.total > 0),
  );
  if (levels.length > 0) shares[first]! += 100 - shares.reduce((sum, share) => sum + share, 0);
  return { healthy: shares, degraded: levels.map(() => 0), panic };
}
