/**
 * The codec of xDS messages: binary and proto3 JSON to plain objects and back, with every fault of
 * what comes from outside reported by path. Nothing that reads throws; what writes throws a
 * TypeError on a value that its type does not allow, because that is a bug of ours.
 */
import type { Any, JsonObject } from './any.ts';
import { readFields } from './binary-read.ts';
import { writeTop } from './binary-write.ts';
import { type Fields, type Resolved, resolve } from './descriptor.ts';
import { messageFromJson, wellKnownFromJson } from './json-read.ts';
import { messageToJson, wellKnownToJson } from './json-write.ts';
import { type MessageType, typeNameOf, typeUrl } from './message-type.ts';
import { Path, type Problems, quote } from './problems.ts';
import { Reader } from './reader.ts';
import { checkMessage } from './validate.ts';
import { readWellKnown } from './well-known-read.ts';
import { Writer } from './writer.ts';

export type { Any, JsonObject, JsonValue } from './any.ts';
export { type MessageType, typeUrl } from './message-type.ts';
export { oneLine, type Problem, Problems } from './problems.ts';

/** How strictly to read. */
export interface ReadOptions {
  /** false leaves out the protos' validation rules. */
  readonly validate?: boolean;
}

/**
 * Decodes binary. The result keeps views over `bytes` (bytes fields, and the values of Any), so the
 * caller must not write to them again. When `problems` is not ok, the result is not to be used.
 */
export function decode<T>(
  type: MessageType<T>,
  bytes: Uint8Array,
  problems: Problems,
  path = '',
  options?: ReadOptions,
): T {
  return decodeAs(known(type), bytes, problems, path, options) as T;
}

/** Encodes to binary; an Any that has only its message is packed on the way. */
export function encode<T>(type: MessageType<T>, value: T): Uint8Array {
  writer.reset();
  writeTop(writer, type.typeName, value);
  return writer.finish();
}

const writer = new Writer();

/** Reads proto3 JSON, with snake_case or lowerCamelCase names. */
export function fromJson<T>(
  type: MessageType<T>,
  json: unknown,
  problems: Problems,
  path = '',
  options?: ReadOptions,
): T {
  return fromJsonAs(known(type), json, problems, path, options) as T;
}

/** Writes proto3 JSON with snake_case names, as Envoy's config_dump has it. */
export function toJson<T>(type: MessageType<T>, value: T): unknown {
  const { kind, message } = known(type);
  return message === undefined ? wellKnownToJson(value, kind, 0) : messageToJson(message, value as Fields, 0);
}

/** Puts a message into an Any; it becomes bytes when the Any is encoded. */
export function pack<T>(type: MessageType<T>, message: T): Any {
  return { type_url: typeUrl(type), message };
}

/** Takes a message of an expected type out of an Any, also out of a TypedStruct; any other type is a problem. */
export function unpack<T>(any: Any, type: MessageType<T>, problems: Problems, path: string): T | undefined {
  const unpacked = open(any, problems, path, type.typeName);
  return unpacked?.message as T | undefined;
}

/** Takes a message of any known type out of an Any. */
export function unpackAny(
  any: Any,
  problems: Problems,
  path: string,
): { typeName: string; message: unknown } | undefined {
  return open(any, problems, path, undefined);
}

/** Checks a message, and all in it that is decoded, against the protos' validation rules. */
export function validate<T>(type: MessageType<T>, value: T, problems: Problems, path: string): void {
  const { message } = known(type);
  if (message !== undefined) checkMessage(message, value as Fields, new Path(problems, path), 0);
}

const typedStructs = new Set(['xds.type.v3.TypedStruct', 'udpa.type.v1.TypedStruct']);

function open(
  any: Any,
  problems: Problems,
  path: string,
  wanted: string | undefined,
): { typeName: string; message: unknown } | undefined {
  const typeName = typeNameOf(any.type_url);
  const isStruct = typedStructs.has(typeName) && typeName !== wanted;
  if (wanted !== undefined && typeName !== wanted && !isStruct) return refuse(any.type_url, wanted, problems, path);
  const resolved = resolve(typeName);
  if (resolved === undefined) return unknown(any.type_url, problems, path);
  const message = any.message ?? decodeAs(resolved, any.value ?? new Uint8Array(0), problems, path, undefined);
  if (!isStruct) return { typeName, message };
  return openStruct(message as { type_url?: string; value?: JsonObject }, problems, path, wanted);
}

function openStruct(
  struct: { type_url?: string; value?: JsonObject },
  problems: Problems,
  path: string,
  wanted: string | undefined,
): { typeName: string; message: unknown } | undefined {
  const url = struct.type_url ?? '';
  const typeName = typeNameOf(url);
  if (wanted !== undefined && typeName !== wanted) return refuse(url, wanted, problems, path);
  const resolved = resolve(typeName);
  if (resolved === undefined) return unknown(url, problems, path);
  return { typeName, message: fromJsonAs(resolved, struct.value ?? {}, problems, path, undefined) };
}

function refuse(url: string, wanted: string, problems: Problems, path: string): undefined {
  problems.add(path, `expected type "type.googleapis.com/${wanted}", got ${quote(url)}`);
  return undefined;
}

function unknown(url: string, problems: Problems, path: string): undefined {
  problems.add(path, url === '' ? 'the type URL is empty' : `unknown extension type ${quote(url)}`);
  return undefined;
}

function known(type: MessageType<unknown>): Resolved {
  const resolved = resolve(type.typeName);
  if (resolved === undefined) throw new TypeError(`${type.typeName} is not a known message type`);
  return resolved;
}

function decodeAs(
  { kind, message }: Resolved,
  bytes: Uint8Array,
  problems: Problems,
  path: string,
  options: ReadOptions | undefined,
): unknown {
  const reader = new Reader(bytes, problems, path);
  if (message === undefined) return readWellKnown(reader, kind);
  const out: Fields = {};
  readFields(reader, message, out);
  if (options?.validate !== false) checkMessage(message, out, reader.path, 0);
  return out;
}

function fromJsonAs(
  { kind, message }: Resolved,
  json: unknown,
  problems: Problems,
  at: string,
  options: ReadOptions | undefined,
): unknown {
  const path = new Path(problems, at);
  if (message === undefined) return wellKnownFromJson(json, kind, path, 0);
  const out = messageFromJson(json, message, path, 0);
  if (options?.validate !== false) checkMessage(message, out, path, 0);
  return out;
}
