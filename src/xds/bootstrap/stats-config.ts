import type { StringMatcher } from '../../model/matcher.ts';
import type * as metrics from '../proto/gen/envoy/config/metrics/v3.ts';
import type { Decoding } from '../resources/decoding.ts';
import { decodeStringMatcher } from '../resources/matcher.ts';

export interface StatsConfig {
  readonly useAllDefaultTags: boolean;
  readonly tags: readonly { readonly name: string; readonly regex: string; readonly fixedValue: string }[];
  /** Which stats are kept, by name; null: all. */
  readonly matcher: { readonly kind: 'none' | 'only' | 'except'; readonly patterns: readonly StringMatcher[] } | null;
  readonly histogramBuckets: readonly { readonly match: StringMatcher; readonly buckets: readonly number[] }[];
}

export function decodeStats(config: metrics.StatsConfig | undefined, path: string, s: Decoding): StatsConfig {
  return {
    useAllDefaultTags: config?.use_all_default_tags ?? true,
    tags: (config?.stats_tags ?? []).map((tag, i) => {
      if (tag.regex !== undefined && tag.regex !== '') s.regex(tag.regex, `${path}.stats_tags[${i}].regex`);
      return { name: tag.tag_name ?? '', regex: tag.regex ?? '', fixedValue: tag.fixed_value ?? '' };
    }),
    matcher: decodeMatcher(config?.stats_matcher, `${path}.stats_matcher`, s),
    histogramBuckets: (config?.histogram_bucket_settings ?? []).map((one, i) => ({
      match: decodeStringMatcher(one.match ?? {}, `${path}.histogram_bucket_settings[${i}].match`, s),
      buckets: one.buckets ?? [],
    })),
  };
}

function decodeMatcher(matcher: metrics.StatsMatcher | undefined, path: string, s: Decoding): StatsConfig['matcher'] {
  if (matcher === undefined) return null;
  if (matcher.reject_all !== undefined) return matcher.reject_all ? { kind: 'none', patterns: [] } : null;
  const name = matcher.inclusion_list === undefined ? 'exclusion_list' : 'inclusion_list';
  const patterns = (matcher[name]?.patterns ?? []).map((one, i) =>
    decodeStringMatcher(one, `${path}.${name}.patterns[${i}]`, s),
  );
  return { kind: name === 'inclusion_list' ? 'only' : 'except', patterns };
}
