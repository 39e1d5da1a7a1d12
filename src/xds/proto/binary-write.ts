import type { Any, JsonObject, JsonValue } from './any.ts';
import { enumOf, type Field, type Fields, fieldsByName, type Message, messageOf, resolve } from './descriptor.ts';
import * as kind from './kinds.ts';
import { typeNameOf } from './message-type.ts';
import { FIXED_64, LENGTH, VARINT } from './reader.ts';
import { wireOf } from './values.ts';
import type { Writer } from './writer.ts';

/** Writes a message's fields, in the order its object has them. A property that is no field throws. */
export function writeFields(writer: Writer, message: Message, value: Fields): void {
  const fields = fieldsByName(message);
  for (const name of Object.keys(value)) {
    const item = value[name];
    if (item === undefined) continue;
    const field = fields.get(name);
    if (field === undefined || field.name !== name) throw new TypeError(`${message.name} has no field ${name}`);
    if (field.mapKey !== 0) writeMap(writer, field, item as Fields);
    else if (field.repeated) writeList(writer, field, item as unknown[]);
    else if (field.explicit || !isZero(item, field)) {
      writer.tag(field.number, wireOf(field.kind));
      writeValue(writer, field.kind, field, item);
    }
  }
}

function isZero(value: unknown, field: Field): boolean {
  if (field.kind === kind.ENUM) return value === 0 || enumOf(field).names.get(0) === value;
  if (typeof value === 'number') return Object.is(value, 0);
  return value === false || value === '' || (value instanceof Uint8Array && value.length === 0);
}

function writeList(writer: Writer, field: Field, list: unknown[]): void {
  const wire = wireOf(field.kind);
  if (wire !== LENGTH && list.length > 0) {
    writer.tag(field.number, LENGTH);
    const start = writer.begin();
    for (const item of list) writeValue(writer, field.kind, field, item);
    writer.end(start);
    return;
  }
  for (const item of list) {
    writer.tag(field.number, wire);
    writeValue(writer, field.kind, field, item);
  }
}

function writeMap(writer: Writer, field: Field, map: Fields): void {
  for (const key of Object.keys(map)) {
    if (map[key] === undefined) continue;
    writer.tag(field.number, LENGTH);
    const start = writer.begin();
    writer.tag(1, wireOf(field.mapKey));
    writeValue(writer, field.mapKey, undefined, keyOf(key, field.mapKey));
    writer.tag(2, wireOf(field.kind));
    writeValue(writer, field.kind, field, map[key]);
    writer.end(start);
  }
}

function keyOf(key: string, of: number): unknown {
  return of === kind.STRING ? key : of === kind.BOOL ? key === 'true' : Number(key);
}

/** Writes one value of any kind, without its tag. */
export function writeValue(writer: Writer, of: number, field: Field | undefined, value: unknown): void {
  if (of === kind.ENUM) {
    writer.int32(enumNumber(value, field));
  } else if (of < kind.ANY && of !== kind.MESSAGE) {
    writeScalar(writer, of, value);
  } else {
    const start = writer.begin();
    if (of !== kind.MESSAGE) writeWellKnown(writer, of, value);
    else if (field !== undefined) writeFields(writer, messageOf(field), value as Fields);
    writer.end(start);
  }
}

function enumNumber(value: unknown, field: Field | undefined): number {
  if (typeof value === 'number') return value;
  const number = field && enumOf(field).numbers.get(value as string);
  if (number === undefined) throw new TypeError(`${String(value)} is not a value of ${field?.ref}`);
  return number;
}

function writeScalar(writer: Writer, of: number, value: unknown): void {
  switch (of) {
    case kind.STRING:
      writer.string(value as string);
      break;
    case kind.BOOL:
      writer.bool(value as boolean);
      break;
    case kind.BYTES:
      writer.bytes(value as Uint8Array);
      break;
    case kind.UINT32:
      writer.uint32(value as number);
      break;
    case kind.INT32:
      writer.int32(value as number);
      break;
    case kind.INT64:
      writer.int64(value as number);
      break;
    case kind.UINT64:
      writer.int64(value as number);
      break;
    case kind.DOUBLE:
      writer.double(value as number);
      break;
    case kind.FLOAT:
      writer.float(value as number);
      break;
    case kind.SINT32:
      writer.sint32(value as number);
      break;
    case kind.SINT64:
      writer.sint64(value as number);
      break;
    case kind.FIXED32:
      writer.fixed32(value as number);
      break;
    case kind.SFIXED32:
      writer.fixed32(value as number);
      break;
    default:
      writer.fixed64(value as number);
  }
}

/** Writes the inside of a well-known type. */
export function writeWellKnown(writer: Writer, of: number, value: unknown): void {
  switch (of) {
    case kind.ANY:
      writeAny(writer, value as Any);
      break;
    case kind.DURATION:
    case kind.TIMESTAMP:
      writeTime(writer, value as number, of);
      break;
    case kind.STRUCT:
      writeStruct(writer, value as JsonObject);
      break;
    case kind.VALUE:
      writeJson(writer, value as JsonValue);
      break;
    case kind.LIST_VALUE:
      writeJsonList(writer, value as JsonValue[]);
      break;
    case kind.FIELD_MASK:
      writeMask(writer, value as { paths?: string[] });
      break;
    default:
      writeWrapper(writer, of - kind.WRAPPER, value);
  }
}

function writeWrapper(writer: Writer, of: number, value: unknown): void {
  if (Object.is(value, 0) || value === false || value === '') return;
  writer.tag(1, wireOf(of));
  writeScalar(writer, of, value);
}

function writeMask(writer: Writer, mask: { paths?: string[] }): void {
  for (const path of mask.paths ?? []) {
    writer.tag(1, LENGTH);
    writer.string(path);
  }
}

function writeAny(writer: Writer, any: Any): void {
  writer.tag(1, LENGTH);
  writer.string(any.type_url);
  if (any.value === undefined && any.message === undefined) return;
  writer.tag(2, LENGTH);
  if (any.value !== undefined) {
    writer.bytes(any.value);
    return;
  }
  const start = writer.begin();
  writeTop(writer, typeNameOf(any.type_url), any.message);
  writer.end(start);
}

/** Writes a whole message of a type known by its name. */
export function writeTop(writer: Writer, name: string, value: unknown): void {
  const resolved = resolve(name);
  if (resolved === undefined) throw new TypeError(`${name} is not a known message type`);
  if (resolved.message !== undefined) writeFields(writer, resolved.message, value as Fields);
  else writeWellKnown(writer, resolved.kind, value);
}

/** Splits ms into seconds and nanos; a duration's have one sign, a timestamp's nanos are never negative. */
function writeTime(writer: Writer, ms: number, of: number): void {
  let seconds = of === kind.DURATION ? Math.trunc(ms / 1000) : Math.floor(ms / 1000);
  let nanos = Math.round((ms - seconds * 1000) * 1e6);
  if (Math.abs(nanos) === 1e9) {
    seconds += Math.sign(nanos);
    nanos = 0;
  }
  if (seconds !== 0) {
    writer.tag(1, VARINT);
    writer.int64(seconds);
  }
  if (nanos !== 0) {
    writer.tag(2, VARINT);
    writer.int32(nanos);
  }
}

function writeStruct(writer: Writer, struct: JsonObject): void {
  for (const key of Object.keys(struct)) {
    const value = struct[key];
    if (value === undefined) continue;
    writer.tag(1, LENGTH);
    const start = writer.begin();
    writer.tag(1, LENGTH);
    writer.string(key);
    writer.tag(2, LENGTH);
    writeNested(writer, () => writeJson(writer, value));
    writer.end(start);
  }
}

function writeJsonList(writer: Writer, list: readonly JsonValue[]): void {
  for (const item of list) {
    writer.tag(1, LENGTH);
    writeNested(writer, () => writeJson(writer, item));
  }
}

function writeJson(writer: Writer, value: JsonValue): void {
  if (value === null) {
    writer.tag(1, VARINT);
    writer.uint32(0);
  } else if (typeof value === 'number') {
    writer.tag(2, FIXED_64);
    writer.double(value);
  } else if (typeof value === 'string') {
    writer.tag(3, LENGTH);
    writer.string(value);
  } else if (typeof value === 'boolean') {
    writer.tag(4, VARINT);
    writer.bool(value);
  } else if (Array.isArray(value)) {
    writer.tag(6, LENGTH);
    writeNested(writer, () => writeJsonList(writer, value));
  } else {
    writer.tag(5, LENGTH);
    writeNested(writer, () => writeStruct(writer, value));
  }
}

function writeNested(writer: Writer, write: () => void): void {
  const start = writer.begin();
  write();
  writer.end(start);
}
