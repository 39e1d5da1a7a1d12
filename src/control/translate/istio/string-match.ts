import type { TextMatch } from '../../mesh/route-rule.ts';
import type { StringMatchSpec } from './fields/virtual-service.ts';

/** null for an empty match and for the regex `*`: the thing only has to be there. */
export function textMatch(spec: StringMatchSpec): TextMatch | null {
  if (spec.exact !== undefined) return { kind: 'exact', value: spec.exact };
  if (spec.prefix !== undefined) return { kind: 'prefix', value: spec.prefix };
  if (spec.regex !== undefined && spec.regex !== '*') return { kind: 'regex', value: spec.regex };
  return null;
}
