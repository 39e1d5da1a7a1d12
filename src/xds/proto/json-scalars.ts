import * as kind from './kinds.ts';
import { type Path, quote } from './problems.ts';

/** 'a string', 'null', 'a list': what a JSON value is, for a message. */
export function describe(json: unknown): string {
  if (json === null || json === undefined) return 'null';
  if (Array.isArray(json)) return 'a list';
  return typeof json === 'object' ? 'an object' : `a ${typeof json}`;
}

/** A JSON object's members may be asked for; a list's and null's may not. */
export function isObject(json: unknown): json is Record<string, unknown> {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

/** Reads a scalar of proto3 JSON; undefined when it was not one, which is reported. */
export function scalarFromJson(json: unknown, of: number, path: Path): unknown {
  switch (of) {
    case kind.STRING:
      return typeof json === 'string' ? json : expected('a string', json, path);
    case kind.BOOL:
      return typeof json === 'boolean' ? json : expected('a boolean', json, path);
    case kind.BYTES:
      return bytesFromJson(json, path);
    case kind.DOUBLE:
    case kind.FLOAT:
      return floatFromJson(json, of, path);
    default:
      return integerFromJson(json, of, path);
  }
}

/** Reports that something else was expected. */
export function expected(what: string, json: unknown, path: Path): undefined {
  path.report(`expected ${what}, got ${describe(json)}`);
  return undefined;
}

function bytesFromJson(json: unknown, path: Path): Uint8Array | undefined {
  if (typeof json !== 'string') return expected('a base64 string', json, path);
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(json) || json.replaceAll('=', '').length % 4 === 1) {
    path.report('invalid base64');
    return undefined;
  }
  return new Uint8Array(Buffer.from(json, 'base64'));
}

function floatFromJson(json: unknown, of: number, path: Path): number | undefined {
  const value = numberFromJson(json, path);
  if (value === undefined) return undefined;
  if (of === kind.FLOAT && Number.isFinite(value) && !Number.isFinite(Math.fround(value))) {
    path.report(`${value} is out of the range of a float`);
    return undefined;
  }
  return value;
}

const specials = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);

function numberFromJson(json: unknown, path: Path): number | undefined {
  if (typeof json === 'number') return json;
  if (typeof json !== 'string') return expected('a number', json, path);
  const value = specials.get(json) ?? (/^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(json) ? Number(json) : undefined);
  if (value === undefined) path.report(`expected a number, got the string ${quote(json)}`);
  return value;
}

const signed32 = [-(2 ** 31), 2 ** 31 - 1] as const;
const unsigned32 = [0, 2 ** 32 - 1] as const;
const signed64 = [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER] as const;
const unsigned64 = [0, Number.MAX_SAFE_INTEGER] as const;

function rangeOf(of: number): readonly [number, number] {
  if (of === kind.INT32 || of === kind.SINT32 || of === kind.SFIXED32) return signed32;
  if (of === kind.UINT32 || of === kind.FIXED32) return unsigned32;
  return of === kind.UINT64 || of === kind.FIXED64 ? unsigned64 : signed64;
}

function integerFromJson(json: unknown, of: number, path: Path): number | undefined {
  const value = numberFromJson(json, path);
  if (value === undefined) return undefined;
  const [least, most] = rangeOf(of);
  if (Number.isInteger(value) && value >= least && value <= most) return value === 0 ? 0 : value;
  path.report(Number.isInteger(value) ? `${value} is out of range` : `expected an integer, got ${value}`);
  return undefined;
}
