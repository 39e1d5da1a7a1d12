import type { Any } from './any.ts';
import { readFields } from './binary-read.ts';
import { enumOf, type Field, type Fields, type Message, messageOf, resolve } from './descriptor.ts';
import * as kind from './kinds.ts';
import { typeNameOf } from './message-type.ts';
import { MAX_DEPTH, Problems } from './problems.ts';
import { Reader } from './reader.ts';
import { formatDuration, formatTimestamp } from './time.ts';
import { readWellKnown } from './well-known-read.ts';

/** Writes a message as proto3 JSON with the protos' own field names, in the protos' order. */
export function messageToJson(message: Message, value: Fields, depth: number): Fields {
  const out: Fields = {};
  for (const field of message.fields) {
    const item = value[field.name];
    if (item !== undefined) out[field.name] = fieldToJson(item, field, depth);
  }
  return out;
}

function fieldToJson(value: unknown, field: Field, depth: number): unknown {
  if (field.repeated) return (value as unknown[]).map((item) => valueToJson(item, field, depth));
  if (field.mapKey === 0) return valueToJson(value, field, depth);
  const out = Object.create(null) as Fields;
  for (const [key, item] of Object.entries(value as Fields)) out[key] = valueToJson(item, field, depth);
  return out;
}

function valueToJson(value: unknown, field: Field, depth: number): unknown {
  if (field.kind === kind.MESSAGE) return messageToJson(messageOf(field), value as Fields, depth);
  if (field.kind === kind.ENUM) return typeof value === 'number' ? (enumOf(field).names.get(value) ?? value) : value;
  return field.kind < kind.ANY ? scalarToJson(value, field.kind) : wellKnownToJson(value, field.kind, depth);
}

function scalarToJson(value: unknown, of: number): unknown {
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  if (typeof value !== 'number') return value;
  return isWide(of) || !Number.isFinite(value) ? String(value) : value;
}

/** proto3 JSON has 64-bit integers as strings. */
function isWide(of: number): boolean {
  return of === kind.INT64 || of === kind.UINT64 || of === kind.FIXED64 || of === kind.SFIXED64 || of === kind.SINT64;
}

/** Writes the JSON form that a well-known type has of its own. */
export function wellKnownToJson(value: unknown, of: number, depth: number): unknown {
  switch (of) {
    case kind.ANY:
      return anyToJson(value as Any, depth);
    case kind.DURATION:
      return formatDuration(value as number);
    case kind.TIMESTAMP:
      return formatTimestamp(value as number) ?? String(value);
    case kind.FIELD_MASK:
      return ((value as { paths?: string[] }).paths ?? [])
        .map((path) => path.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase()))
        .join(',');
    case kind.STRUCT:
    case kind.VALUE:
    case kind.LIST_VALUE:
      return value;
    default:
      return scalarToJson(value, of - kind.WRAPPER);
  }
}

/** `{"@type": …, …fields}`; an Any that cannot be decoded keeps its bytes, in base64, as `value`. */
function anyToJson(any: Any, depth: number): Fields {
  const out: Fields = { '@type': any.type_url };
  const resolved = depth < MAX_DEPTH ? resolve(typeNameOf(any.type_url)) : undefined;
  const message = resolved && (any.message ?? decoded(any.value ?? new Uint8Array(0), resolved));
  if (message === undefined || resolved === undefined) {
    return any.value === undefined || any.value.length === 0
      ? out
      : { ...out, value: scalarToJson(any.value, kind.BYTES) };
  }
  if (resolved.message !== undefined)
    return Object.assign(out, messageToJson(resolved.message, message as Fields, depth + 1));
  return { ...out, value: wellKnownToJson(message, resolved.kind, depth + 1) };
}

function decoded(bytes: Uint8Array, resolved: { kind: number; message: Message | undefined }): unknown {
  const problems = new Problems();
  const reader = new Reader(bytes, problems, '');
  const message: Fields = {};
  if (resolved.message === undefined) return readWellKnown(reader, resolved.kind);
  readFields(reader, resolved.message, message);
  return problems.ok ? message : undefined;
}
