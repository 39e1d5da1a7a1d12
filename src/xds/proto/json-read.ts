import type { Any, JsonObject, JsonValue } from './any.ts';
import { enumOf, type Field, type Fields, fieldsByName, type Message, messageOf, resolve } from './descriptor.ts';
import { expected, isObject, scalarFromJson } from './json-scalars.ts';
import * as kind from './kinds.ts';
import { typeNameOf } from './message-type.ts';
import { MAX_DEPTH, type Path, quote, TOO_DEEP } from './problems.ts';
import { suggest } from './suggest.ts';
import { parseDuration, parseTimestamp } from './time.ts';
import { zeroOf } from './values.ts';

/** Reads proto3 JSON of a message into its run-time shape; `hidden` is a key that is no field (`@type`). */
export function messageFromJson(json: unknown, message: Message, path: Path, depth: number, hidden = ''): Fields {
  const out: Fields = {};
  if (!isObject(json)) {
    expected('an object', json, path);
    return out;
  }
  if (tooDeep(depth, path)) return out;
  const fields = fieldsByName(message);
  const chosen = new Map<number, Field>();
  for (const key of Object.keys(json)) {
    const value = json[key];
    if (key === hidden || value === undefined) continue;
    const field = fields.get(key);
    step(path, field?.name ?? key);
    if (field === undefined) reportUnknown(key, message, path);
    else if (value !== null || (field.kind === kind.VALUE && !field.repeated && field.mapKey === 0)) {
      if (out[field.name] !== undefined) path.report(`field "${field.name}" is given twice`);
      else if (isFreeToSet(field, chosen, path)) out[field.name] = fieldFromJson(value, field, path, depth);
    }
    path.pop();
  }
  return out;
}

function reportUnknown(key: string, message: Message, path: Path): void {
  if (path.problems.full) return;
  path.report(
    `unknown field ${quote(key)}${suggest(
      key,
      message.fields.map((field) => field.name),
    )}`,
  );
}

function isFreeToSet(field: Field, chosen: Map<number, Field>, path: Path): boolean {
  if (field.oneof < 0) return true;
  const other = chosen.get(field.oneof);
  if (other === undefined) {
    chosen.set(field.oneof, field);
    return true;
  }
  path.report(`only one of "${other.name}" and "${field.name}" may be set`);
  return false;
}

/** Enters a key that anybody may have chosen. */
function step(path: Path, key: string): void {
  if (/^[A-Za-z_][\w-]*$/.test(key) && key.length <= 80) path.push(key);
  else path.pushKey(key);
}

function tooDeep(depth: number, path: Path): boolean {
  if (depth > MAX_DEPTH) path.report(TOO_DEEP);
  return depth > MAX_DEPTH;
}

function fieldFromJson(json: unknown, field: Field, path: Path, depth: number): unknown {
  if (field.mapKey !== 0) return mapFromJson(json, field, path, depth);
  return field.repeated ? listFromJson(json, field, path, depth) : valueFromJson(json, field, path, depth);
}

function listFromJson(json: unknown, field: Field, path: Path, depth: number): unknown[] | undefined {
  if (!Array.isArray(json)) return expected('a list', json, path);
  const out: unknown[] = [];
  for (const [index, item] of json.entries()) {
    path.push(index);
    const value = valueFromJson(item, field, path, depth);
    if (value !== undefined) out.push(value);
    path.pop();
  }
  return out.length > 0 ? out : undefined;
}

function mapFromJson(json: unknown, field: Field, path: Path, depth: number): Fields | undefined {
  if (!isObject(json)) return expected('an object', json, path);
  const out = Object.create(null) as Fields;
  for (const key of Object.keys(json)) {
    path.pushKey(key);
    const canonical = keyFromJson(key, field.mapKey, path);
    const value = valueFromJson(json[key], field, path, depth);
    if (canonical !== undefined && value !== undefined) out[canonical] = value;
    path.pop();
  }
  return out;
}

function keyFromJson(key: string, of: number, path: Path): string | undefined {
  if (of === kind.STRING) return key;
  if (of !== kind.BOOL) return scalarFromJson(key, of, path)?.toString();
  if (key === 'true' || key === 'false') return key;
  path.report(`expected true or false as the key, got ${quote(key)}`);
  return undefined;
}

function valueFromJson(json: unknown, field: Field, path: Path, depth: number): unknown {
  if (field.kind === kind.MESSAGE) return messageFromJson(json, messageOf(field), path, depth + 1);
  if (field.kind === kind.ENUM) return enumFromJson(json, field, path);
  if (field.kind < kind.ANY) return scalarFromJson(json, field.kind, path);
  return wellKnownFromJson(json, field.kind, path, depth + 1);
}

function enumFromJson(json: unknown, field: Field, path: Path): string | number | undefined {
  const known = enumOf(field);
  if (typeof json === 'number' && Number.isInteger(json)) {
    const name = known.names.get(json);
    if (name === undefined) path.report(`unknown value ${json} of ${field.ref}`);
    return name ?? json;
  }
  if (typeof json !== 'string') return expected('the name of an enum value', json, path);
  const number = known.numbers.get(json);
  if (number === undefined)
    path.report(`unknown value ${quote(json)} of ${field.ref}${suggest(json, known.numbers.keys())}`);
  return number === undefined ? undefined : known.names.get(number);
}

/** Reads the JSON form that a well-known type has of its own. */
export function wellKnownFromJson(json: unknown, of: number, path: Path, depth: number): unknown {
  switch (of) {
    case kind.ANY:
      return anyFromJson(json, path, depth);
    case kind.DURATION:
      return timeFromJson(json, 'a duration such as "1.5s"', parseDuration, path);
    case kind.TIMESTAMP:
      return timeFromJson(json, 'an RFC 3339 timestamp', parseTimestamp, path);
    case kind.STRUCT:
      return isObject(json) ? plainFromJson(json, path, depth) : expected('an object', json, path);
    case kind.LIST_VALUE:
      return Array.isArray(json) ? plainFromJson(json, path, depth) : expected('a list', json, path);
    case kind.VALUE:
      return plainFromJson(json, path, depth);
    case kind.FIELD_MASK:
      return maskFromJson(json, path);
    default:
      return scalarFromJson(json, of - kind.WRAPPER, path);
  }
}

function timeFromJson(
  json: unknown,
  what: string,
  parse: (text: string) => number | undefined,
  path: Path,
): number | undefined {
  if (typeof json !== 'string') return expected(what, json, path);
  const ms = parse(json);
  if (ms === undefined) path.report(`expected ${what}, got ${quote(json)}`);
  return ms;
}

function maskFromJson(json: unknown, path: Path): { paths?: string[] } | undefined {
  if (typeof json !== 'string') return expected('a field mask string', json, path);
  const paths = json.split(',').filter((part) => part !== '');
  return paths.length === 0 ? {} : { paths: paths.map((part) => part.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)) };
}

/** Copies plain JSON, counting depth as binary does: three for an object and two for a list. */
function plainFromJson(json: unknown, path: Path, depth: number): JsonValue | undefined {
  if (json === null || typeof json === 'string' || typeof json === 'boolean') return json;
  if (typeof json === 'number') {
    if (Number.isFinite(json)) return json;
    path.report(`${json} is not a JSON value`);
    return undefined;
  }
  if (typeof json !== 'object') return expected('a JSON value', json, path);
  if (tooDeep(depth, path)) return undefined;
  if (Array.isArray(json)) {
    return json.map((item, index) => {
      path.push(index);
      const value = plainFromJson(item, path, depth + 2);
      path.pop();
      return value ?? null;
    });
  }
  const out = Object.create(null) as JsonObject;
  for (const [key, item] of Object.entries(json)) {
    if (item === undefined) continue;
    step(path, key);
    out[key] = plainFromJson(item, path, depth + 3) ?? null;
    path.pop();
  }
  return out;
}

function anyFromJson(json: unknown, path: Path, depth: number): Any | undefined {
  if (!isObject(json)) return expected('an object', json, path);
  const url = json['@type'];
  if (typeof url !== 'string' || url === '') {
    path.report('"@type" is required');
    return undefined;
  }
  const resolved = resolve(typeNameOf(url));
  if (resolved === undefined) {
    path.report(`unknown extension type ${quote(url)}`);
    return undefined;
  }
  if (resolved.message !== undefined) {
    return { type_url: url, message: messageFromJson(json, resolved.message, path, depth + 1, '@type') };
  }
  for (const key of Object.keys(json))
    if (key !== '@type' && key !== 'value') path.report(`unknown field ${quote(key)}`);
  path.push('value');
  const message = wellKnownFromJson(json.value ?? null, resolved.kind, path, depth + 1);
  path.pop();
  return { type_url: url, message: message === undefined ? zeroOf(resolved.kind) : message };
}
