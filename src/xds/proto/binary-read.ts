import { enumOf, type Field, type Fields, type Message, messageOf } from './descriptor.ts';
import * as kind from './kinds.ts';
import { MAX_DEPTH, TOO_DEEP } from './problems.ts';
import { LENGTH, type Reader } from './reader.ts';
import { nested, readScalar, wireOf, zeroOf } from './values.ts';
import { readWellKnown } from './well-known-read.ts';

/** Reads fields up to the reader's end into `out`; a message that comes in two parts is so merged. */
export function readFields(reader: Reader, message: Message, out: Fields, isEmpty = true): void {
  let isFirst = isEmpty;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === 0) return;
    const field = message.byNumber.get(tag >>> 3);
    if (field === undefined) {
      reader.path.report(`unknown field number ${tag >>> 3} in ${message.name}`);
      reader.skip(tag & 7);
      continue;
    }
    reader.path.push(field.name);
    readField(reader, field, tag & 7, out, message, isFirst);
    isFirst = false;
    reader.path.pop();
  }
}

function readField(reader: Reader, field: Field, wire: number, out: Fields, message: Message, isFirst: boolean): void {
  const expected = field.mapKey === 0 ? wireOf(field.kind) : LENGTH;
  if (wire !== expected && !(field.repeated && wire === LENGTH)) {
    reader.path.report(`wire type ${wire} instead of ${expected}`);
    reader.skip(wire);
  } else if (field.mapKey !== 0) {
    readEntry(reader, field, mapOf(out, field.name));
  } else if (field.repeated) {
    readElements(reader, field, wire !== expected, listOf(out, field.name));
  } else {
    if (field.oneof >= 0 && !isFirst) clearRivals(field, out, message);
    out[field.name] = readValue(reader, field, field.kind === kind.MESSAGE && !isFirst ? out[field.name] : undefined);
  }
}

/** Of a oneof's members the last one wins. */
function clearRivals(field: Field, out: Fields, message: Message): void {
  for (const other of message.oneofs[field.oneof]?.fields ?? []) {
    if (other !== field && out[other.name] !== undefined) delete out[other.name];
  }
}

function readElements(reader: Reader, field: Field, packed: boolean, list: unknown[]): void {
  if (!packed) {
    reader.path.push(list.length);
    list.push(readValue(reader, field, undefined));
    reader.path.pop();
    return;
  }
  const outer = reader.enter();
  if (outer < 0) return;
  while (reader.pos < reader.end) list.push(readValue(reader, field, undefined));
  reader.leave(outer);
}

function readEntry(reader: Reader, field: Field, map: Fields): void {
  const outer = reader.enter();
  if (outer < 0) return;
  let key: unknown = zeroOf(field.mapKey);
  let value: unknown;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === 0) break;
    const of = tag >>> 3 === 1 ? field.mapKey : field.kind;
    if (tag >>> 3 > 2 || (tag & 7) !== wireOf(of)) {
      reader.path.report('malformed map entry');
      reader.skip(tag & 7);
    } else if (tag >>> 3 === 1) {
      key = readScalar(reader, of);
    } else {
      reader.path.pushKey(String(key));
      value = readValue(reader, field, value);
      reader.path.pop();
    }
  }
  reader.leave(outer);
  map[String(key)] = value ?? zeroOf(field.kind, field);
}

/** One value of any kind; `before` is what a message of the same field has read so far. */
function readValue(reader: Reader, field: Field, before: unknown): unknown {
  if (field.kind === kind.MESSAGE) return readMessage(reader, messageOf(field), before);
  if (field.kind === kind.ENUM) return readEnum(reader, field);
  if (field.kind < kind.ANY) return readScalar(reader, field.kind);
  return nested(reader, (inside) => readWellKnown(inside, field.kind)) ?? zeroOf(field.kind);
}

function readMessage(reader: Reader, message: Message, before: unknown): Fields {
  const merged = typeof before === 'object' && before !== null;
  const out = merged ? (before as Fields) : {};
  const outer = reader.enter();
  if (outer < 0) return out;
  if (reader.depth >= MAX_DEPTH) reader.fail(TOO_DEEP);
  reader.depth++;
  readFields(reader, message, out, !merged);
  reader.depth--;
  reader.leave(outer);
  return out;
}

function readEnum(reader: Reader, field: Field): string | number {
  const number = reader.int32();
  const name = enumOf(field).names.get(number);
  if (name === undefined) reader.path.report(`unknown value ${number} of ${field.ref}`);
  return name ?? number;
}

function listOf(out: Fields, name: string): unknown[] {
  const list = out[name];
  if (Array.isArray(list)) return list;
  const fresh: unknown[] = [];
  out[name] = fresh;
  return fresh;
}

/** The map at `out[name]`; it has no prototype, because its keys are anybody's. */
function mapOf(out: Fields, name: string): Fields {
  const map = out[name];
  if (typeof map === 'object' && map !== null) return map as Fields;
  const fresh = Object.create(null) as Fields;
  out[name] = fresh;
  return fresh;
}
