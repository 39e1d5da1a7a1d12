import type { JsonObject, JsonValue } from '../proto/codec.ts';
import type { LayeredRuntime } from '../proto/gen/envoy/config/bootstrap/v3.ts';
import type { RuntimeMap } from '../resources/context.ts';

const PARTS: { readonly [denominator: string]: number } = { HUNDRED: 100, TEN_THOUSAND: 10_000, MILLION: 1_000_000 };

/** The static layers as one map of flat keys; a later layer wins over an earlier one. */
export function decodeRuntime(runtime: LayeredRuntime | undefined): RuntimeMap {
  const values = new Map<string, number | boolean | string>();
  for (const layer of runtime?.layers ?? []) {
    if (layer.static_layer !== undefined) flatten(layer.static_layer, '', values);
  }
  return values;
}

function flatten(object: JsonObject, prefix: string, values: Map<string, number | boolean | string>): void {
  for (const [name, value] of Object.entries(object)) {
    const key = prefix === '' ? name : `${prefix}.${name}`;
    if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'string') values.set(key, value);
    else if (isObject(value)) {
      const percent = percentOf(value);
      if (percent === null) flatten(value, key, values);
      else values.set(key, percent);
    }
  }
}

/** A FractionalPercent (`{numerator: 5, denominator: TEN_THOUSAND}`) as a percentage, which is what its readers take. */
function percentOf(value: JsonObject): number | null {
  const { numerator, denominator = 'HUNDRED' } = value;
  const parts = typeof denominator === 'string' ? PARTS[denominator] : undefined;
  return typeof numerator === 'number' && parts !== undefined ? (numerator * 100) / parts : null;
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
