import { parse } from 'yaml';
import { messageOf } from '../../base/errors.ts';

/** Of config inside of an object, such as a ConfigMap's. */
export type Embedded = { readonly value: unknown } | { readonly problem: string };

/** YAML or JSON in a text; without aliases, so that it is no larger than it looks. */
export function readEmbedded(text: string): Embedded {
  try {
    return { value: parse(text, { maxAliasCount: 0 }) };
  } catch (error) {
    return { problem: `is not YAML: ${messageOf(error).split('\n', 1)[0]}` };
  }
}
