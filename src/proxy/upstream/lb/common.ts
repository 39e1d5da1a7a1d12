import type { Problems } from '../../../xds/proto/codec.ts';
import type {
  LocalityLbConfig,
  SlowStartConfig,
} from '../../../xds/proto/gen/envoy/extensions/load_balancing_policies/common/v3.ts';

/** What the policies share in their configs and do not act on yet is said, never swallowed. */
export function reportSlowStart(config: SlowStartConfig | undefined, warnings: Problems, path: string): void {
  if (config !== undefined) warnings.add(`${path}.slow_start_config`, 'accepted, no effect yet');
}

export function reportLocality(config: LocalityLbConfig | undefined, warnings: Problems, path: string): void {
  if (config !== undefined) warnings.add(`${path}.locality_lb_config`, 'accepted, no effect yet');
}
