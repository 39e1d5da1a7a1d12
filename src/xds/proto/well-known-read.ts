import type { JsonObject, JsonValue } from './any.ts';
import * as kind from './kinds.ts';
import type { Reader } from './reader.ts';
import { nested, readScalar, wireOf, zeroOf } from './values.ts';

/** Reads a well-known type, up to the reader's end, into its run-time shape. */
export function readWellKnown(reader: Reader, of: number): unknown {
  switch (of) {
    case kind.ANY:
      return readAny(reader);
    case kind.DURATION:
    case kind.TIMESTAMP:
      return readTime(reader, of);
    case kind.STRUCT:
      return readStruct(reader);
    case kind.VALUE:
      return readJson(reader);
    case kind.LIST_VALUE:
      return readList(reader);
    case kind.FIELD_MASK:
      return readMask(reader);
    default:
      return readWrapper(reader, of - kind.WRAPPER);
  }
}

/** Calls `read` with each field number whose wire type is as `kinds` say; reports any other. */
function each(reader: Reader, kinds: readonly number[], read: (number: number) => void): void {
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === 0) return;
    const of = kinds[(tag >>> 3) - 1];
    if (of !== undefined && wireOf(of) === (tag & 7)) read(tag >>> 3);
    else {
      reader.path.report(
        of === undefined ? `unknown field number ${tag >>> 3}` : `wire type ${tag & 7} instead of ${wireOf(of)}`,
      );
      reader.skip(tag & 7);
    }
  }
}

function readAny(reader: Reader): { type_url: string; value: Uint8Array } {
  const any = { type_url: '', value: new Uint8Array(0) };
  each(reader, [kind.STRING, kind.BYTES], (number) => {
    if (number === 1) any.type_url = reader.string();
    else any.value = reader.bytes() as Uint8Array<ArrayBuffer>;
  });
  return any;
}

const MAX_DURATION_SECONDS = 315_576_000_000;
const MIN_TIMESTAMP_SECONDS = -62_135_596_800;
const MAX_TIMESTAMP_SECONDS = 253_402_300_799;

function readTime(reader: Reader, of: number): number {
  let seconds = 0;
  let nanos = 0;
  each(reader, [kind.INT64, kind.INT32], (number) => {
    if (number === 1) seconds = reader.int64();
    else nanos = reader.int32();
  });
  const sound =
    of === kind.DURATION
      ? Math.abs(seconds) <= MAX_DURATION_SECONDS && Math.abs(nanos) < 1e9 && seconds * nanos >= 0
      : seconds >= MIN_TIMESTAMP_SECONDS && seconds <= MAX_TIMESTAMP_SECONDS && nanos >= 0 && nanos < 1e9;
  if (!sound) reader.path.report(`${of === kind.DURATION ? 'duration' : 'timestamp'} out of range`);
  return seconds * 1000 + nanos / 1e6;
}

function readWrapper(reader: Reader, of: number): unknown {
  let value = zeroOf(of);
  each(reader, [of], () => {
    value = readScalar(reader, of);
  });
  return value;
}

function readMask(reader: Reader): { paths?: string[] } {
  const paths: string[] = [];
  each(reader, [kind.STRING], () => paths.push(reader.string()));
  return paths.length > 0 ? { paths } : {};
}

function readStruct(reader: Reader): JsonObject {
  const out = Object.create(null) as JsonObject;
  each(reader, [kind.STRUCT], () => {
    let key = '';
    const value = nested(reader, () => {
      let found: JsonValue = null;
      each(reader, [kind.STRING, kind.VALUE], (number) => {
        if (number === 1) key = reader.string();
        else found = nested(reader, readJson) ?? null;
      });
      return found as JsonValue;
    });
    out[key] = value ?? null;
  });
  return out;
}

function readList(reader: Reader): JsonValue[] {
  const out: JsonValue[] = [];
  each(reader, [kind.VALUE], () => out.push(nested(reader, readJson) ?? null));
  return out;
}

const valueKinds = [kind.ENUM, kind.DOUBLE, kind.STRING, kind.BOOL, kind.STRUCT, kind.LIST_VALUE];

function readJson(reader: Reader): JsonValue {
  let out: JsonValue = null;
  each(reader, valueKinds, (number) => {
    if (number === 1) {
      reader.int32();
      out = null;
    } else if (number === 2) out = reader.double();
    else if (number === 3) out = reader.string();
    else if (number === 4) out = reader.bool();
    else if (number === 5) out = nested(reader, readStruct) ?? null;
    else out = nested(reader, readList) ?? null;
  });
  return out;
}
