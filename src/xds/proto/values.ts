import { enumOf, type Field } from './descriptor.ts';
import * as kind from './kinds.ts';
import { MAX_DEPTH, TOO_DEEP } from './problems.ts';
import { FIXED_32, FIXED_64, LENGTH, type Reader, VARINT } from './reader.ts';

/** Reads a scalar; an enum comes as its number. */
export function readScalar(reader: Reader, of: number): string | number | boolean | Uint8Array {
  switch (of) {
    case kind.STRING:
      return reader.string();
    case kind.BOOL:
      return reader.bool();
    case kind.UINT32:
      return reader.uint32();
    case kind.BYTES:
      return reader.bytes();
    case kind.INT32:
      return reader.int32();
    case kind.DOUBLE:
      return reader.double();
    case kind.FLOAT:
      return reader.float();
    case kind.INT64:
      return reader.int64();
    case kind.UINT64:
      return reader.uint64();
    case kind.SINT32:
      return reader.sint32();
    case kind.SINT64:
      return reader.sint64();
    case kind.FIXED32:
      return reader.fixed32();
    case kind.FIXED64:
      return reader.fixed64();
    case kind.SFIXED32:
      return reader.sfixed32();
    case kind.SFIXED64:
      return reader.sfixed64();
    default:
      return reader.int32();
  }
}

/** Reads a length-delimited part, unless it lies too deep. */
export function nested<T>(reader: Reader, read: (reader: Reader) => T): T | undefined {
  const outer = reader.enter();
  if (outer < 0) return undefined;
  if (reader.depth >= MAX_DEPTH) reader.fail(TOO_DEEP);
  reader.depth++;
  const result = read(reader);
  reader.depth--;
  reader.leave(outer);
  return result;
}

/** The wire type of a kind. */
export function wireOf(of: number): number {
  switch (of) {
    case kind.DOUBLE:
    case kind.FIXED64:
    case kind.SFIXED64:
      return FIXED_64;
    case kind.FLOAT:
    case kind.FIXED32:
    case kind.SFIXED32:
      return FIXED_32;
    case kind.STRING:
    case kind.BYTES:
    case kind.MESSAGE:
      return LENGTH;
    default:
      return of >= kind.ANY ? LENGTH : VARINT;
  }
}

/** What an absent value of a kind means. */
export function zeroOf(of: number, field?: Field): unknown {
  if (of > kind.WRAPPER) return zeroOf(of - kind.WRAPPER);
  switch (of) {
    case kind.STRING:
      return '';
    case kind.BOOL:
      return false;
    case kind.BYTES:
      return new Uint8Array(0);
    case kind.MESSAGE:
    case kind.STRUCT:
      return {};
    case kind.ENUM:
      return field === undefined ? 0 : (enumOf(field).names.get(0) ?? 0);
    case kind.ANY:
      return { type_url: '', value: new Uint8Array(0) };
    case kind.VALUE:
      return null;
    case kind.LIST_VALUE:
      return [];
    case kind.FIELD_MASK:
      return {};
    default:
      return 0;
  }
}
