import type protobuf from 'protobufjs';
import type { Rules } from '../rules.ts';

type Options = Record<string, unknown>;

/** Keys that pass as they are. */
const plain = new Set([
  'required',
  'skip',
  'ignore_empty',
  'gt',
  'gte',
  'lt',
  'lte',
  'const',
  'defined_only',
  'min_len',
  'max_len',
  'min_bytes',
  'max_bytes',
  'prefix',
  'suffix',
  'contains',
  'pattern',
  'min_items',
  'max_items',
  'unique',
]);

/** A field's `(validate.rules)` in our own form. A rule the validator would not obey stops the generator. */
export function readRules(field: protobuf.Field, name: string): Rules | undefined {
  const parsed: unknown = field.parsedOptions;
  if (!Array.isArray(parsed)) return undefined;
  const rules: Rules = {};
  for (const option of parsed as Options[]) {
    const found = option['(validate.rules)'];
    if (isOptions(found)) distil(found, rules, name);
  }
  return Object.keys(rules).length > 0 ? rules : undefined;
}

/** `{string: {min_len: 1}}` → `{min_len: 1}`. */
function distil(byType: Options, rules: Rules, name: string): void {
  for (const [type, body] of Object.entries(byType)) {
    if (!isOptions(body)) throw new Error(`${name}: rule ${type} has no body`);
    for (const [key, value] of Object.entries(body)) assign(rules, type, key, value, body, name);
  }
}

function assign(rules: Rules, type: string, key: string, value: unknown, body: Options, name: string): void {
  const put = (as: string, what: unknown): void => {
    Object.assign(rules, { [as]: what });
  };
  if (key === 'items' || key === 'values' || key === 'keys') {
    const nested: Rules = {};
    if (isOptions(value)) distil(value, nested, name);
    put(key === 'keys' ? 'keys' : 'items', nested);
  } else if (key === 'min_pairs' || key === 'max_pairs') {
    put(key === 'min_pairs' ? 'min_items' : 'max_items', value);
  } else if (key === 'in' || key === 'not_in') {
    put(key, Array.isArray(value) ? value : [value]);
  } else if (key === 'well_known_regex') {
    put('header', body.strict === false ? 'text' : value === 'HTTP_HEADER_NAME' ? 'name' : 'value');
  } else if (type === 'duration' && isOptions(value)) {
    put(key, Number(value.seconds ?? 0) * 1000 + Number(value.nanos ?? 0) / 1e6);
  } else if (type === 'bytes' && (key === 'min_len' || key === 'max_len')) {
    put(key === 'min_len' ? 'min_bytes' : 'max_bytes', value);
  } else if (plain.has(key)) {
    if (value !== false || key === 'const') put(key, value);
  } else if (key !== 'strict') {
    throw new Error(`${name}: the validator does not know the rule ${type}.${key}`);
  }
}

function isOptions(value: unknown): value is Options {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
