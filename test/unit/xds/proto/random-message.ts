/**
 * Random messages out of protobufjs' reflection, each in two forms: as protobufjs has it and as our
 * codec should. What ours should be is worked out here from the protos, not from our tables.
 */
import protobuf from 'protobufjs';
import type { Random } from '../../../../src/base/random.ts';
import { load } from '../../../../src/xds/proto/generator/load.ts';

type Fields = Record<string, unknown>;

/** One value in both forms. */
export interface Pair {
  theirs: unknown;
  ours: unknown;
}

export const { root } = load();

/** Every message type that both sides know. */
export function allTypes(): string[] {
  const found: string[] = [];
  const walk = (space: protobuf.NamespaceBase): void => {
    for (const child of space.nestedArray) {
      if (child instanceof protobuf.Type) found.push(child.fullName.slice(1));
      if (child instanceof protobuf.Namespace) walk(child);
    }
  };
  walk(root);
  return found.filter((name) => !name.startsWith('google.protobuf.') && !name.startsWith('google.api.')).sort();
}

export function randomMessage(name: string, random: Random, depth = 0): { theirs: Fields; ours: Fields } {
  const type = root.lookupType(name);
  const theirs: Fields = {};
  const ours: Fields = {};
  const taken = new Set<protobuf.OneOf>();
  for (const field of type.fieldsArray) {
    field.resolve();
    if (random.next() > (depth === 0 ? 0.7 : 0.35)) continue;
    if (field.partOf) {
      if (taken.has(field.partOf)) continue;
      taken.add(field.partOf);
    }
    const pair = randomField(field, random, depth);
    if (pair === undefined) continue;
    theirs[field.name] = pair.theirs;
    ours[field.name] = pair.ours;
  }
  return { theirs, ours };
}

function randomField(field: protobuf.Field, random: Random, depth: number): Pair | undefined {
  const count = 1 + random.int(3);
  if (field instanceof protobuf.MapField) {
    // protobufjs has such keys as hashes of eight characters.
    if (field.keyType.endsWith('int64')) return undefined;
    const theirs = Object.create(null) as Fields;
    const ours = Object.create(null) as Fields;
    for (let i = 0; i < count; i++) {
      const key = String(randomScalar(field.keyType, random) ?? '');
      const pair = randomValue(field, random, depth);
      if (pair === undefined) return undefined;
      theirs[key] = pair.theirs;
      ours[key] = pair.ours;
    }
    return { theirs, ours };
  }
  if (!field.repeated) {
    const pair = randomValue(field, random, depth);
    return pair && isDefault(pair.theirs, field) && !field.partOf ? undefined : pair;
  }
  const pairs = Array.from({ length: count }, () => randomValue(field, random, depth));
  if (pairs.some((pair) => pair === undefined)) return undefined;
  return { theirs: pairs.map((pair) => pair?.theirs), ours: pairs.map((pair) => pair?.ours) };
}

function isDefault(value: unknown, field: protobuf.Field): boolean {
  if (field.resolvedType instanceof protobuf.Enum) return field.resolvedType.values[value as string] === 0;
  return value === 0 || value === '' || value === false || (value instanceof Uint8Array && value.length === 0);
}

function randomValue(field: protobuf.Field, random: Random, depth: number): Pair | undefined {
  const type = field.resolvedType;
  if (type instanceof protobuf.Enum) {
    const names = Object.keys(type.values);
    const value = type.values[names[random.int(names.length)] ?? ''] ?? 0;
    const name = names.find((candidate) => type.values[candidate] === value);
    return { theirs: name, ours: name };
  }
  if (type === null) {
    const value = randomScalar(field.type, random);
    return { theirs: value, ours: value };
  }
  const name = type.fullName.slice(1);
  if (name.startsWith('google.protobuf.')) {
    const known = wellKnown(name.slice('google.protobuf.'.length), random, depth);
    if (known !== undefined) return known;
  }
  return depth > 4 ? { theirs: {}, ours: {} } : randomMessage(name, random, depth + 1);
}

function wellKnown(name: string, random: Random, depth: number): Pair | undefined {
  switch (name) {
    case 'Duration':
    case 'Timestamp': {
      const seconds = 1 + random.int(1_000_000);
      const nanos = 1000 * (1 + random.int(900_000));
      return { theirs: { seconds, nanos }, ours: seconds * 1000 + nanos / 1e6 };
    }
    case 'Any': {
      const inner =
        ['envoy.config.core.v3.Address', 'envoy.extensions.filters.http.router.v3.Router'][random.int(2)] ?? '';
      const value = depth > 3 ? new Uint8Array(0) : encodeTheirs(inner, randomMessage(inner, random, depth + 1).theirs);
      const any = { type_url: `type.googleapis.com/${inner}`, value };
      return { theirs: any, ours: any };
    }
    case 'Struct': {
      const json = { [randomText(random)]: randomJson(random, 0), __proto__x: 1 };
      return { theirs: structOf(json), ours: json };
    }
    case 'Value': {
      const json = randomJson(random, 0);
      return { theirs: valueFor(json), ours: json };
    }
    case 'ListValue': {
      const json = [randomJson(random, 0), randomJson(random, 0)];
      return { theirs: { values: json.map(valueFor) }, ours: json };
    }
    case 'Empty':
      return { theirs: {}, ours: {} };
    default: {
      const scalar = /^(\w+)Value$/.exec(name)?.[1]?.toLowerCase();
      if (scalar === undefined) return undefined;
      const value = randomScalar(scalar, random);
      const isZero = value === 0 || value === '' || value === false;
      return { theirs: isZero ? {} : { value }, ours: value };
    }
  }
}

function randomJson(random: Random, depth: number): unknown {
  switch (random.int(depth > 2 ? 4 : 6)) {
    case 0:
      return null;
    case 1:
      return random.int(1000) / 8;
    case 2:
      return randomText(random);
    case 3:
      return random.next() < 0.5;
    case 4:
      return Array.from({ length: random.int(3) }, () => randomJson(random, depth + 1));
    default:
      return { [randomText(random)]: randomJson(random, depth + 1) };
  }
}

function valueFor(json: unknown): unknown {
  if (json === null) return { nullValue: 'NULL_VALUE' };
  if (typeof json === 'number') return { numberValue: json };
  if (typeof json === 'string') return { stringValue: json };
  if (typeof json === 'boolean') return { boolValue: json };
  if (Array.isArray(json)) return { listValue: json.length === 0 ? {} : { values: json.map(valueFor) } };
  return { structValue: structOf(json as Fields) };
}

function structOf(json: Fields): unknown {
  return { fields: Object.fromEntries(Object.entries(json).map(([key, item]) => [key, valueFor(item)])) };
}

const texts = [
  '',
  'a',
  'x-header',
  'grüß',
  '日本語',
  '😀 emoji',
  'constructor',
  'outbound|9080||reviews.default.svc.cluster.local',
  'é'.repeat(70),
];

function randomText(random: Random): string {
  return texts[random.int(texts.length)] ?? '';
}

function randomScalar(type: string, random: Random): unknown {
  const integer = [0, 1, 127, 128, 300, 65_535, 1 << 20, 2 ** 31 - 1][random.int(8)] ?? 0;
  const sign = random.next() < 0.5 ? -1 : 1;
  switch (type) {
    case 'string':
      return randomText(random);
    case 'bool':
      return random.next() < 0.5;
    case 'bytes':
      return Uint8Array.from({ length: random.int(200) }, () => random.int(256));
    case 'double':
      return (random.next() - 0.5) * 1e9;
    case 'float':
      return Math.fround(random.next() * 100);
    case 'uint32':
    case 'fixed32':
      return random.next() < 0.2 ? 2 ** 32 - 1 : integer;
    case 'uint64':
    case 'fixed64':
      return random.next() < 0.3 ? Number.MAX_SAFE_INTEGER - integer : integer;
    case 'int64':
    case 'sint64':
    case 'sfixed64':
      return sign * (random.next() < 0.3 ? Number.MAX_SAFE_INTEGER - integer : integer) + 0;
    default:
      return sign * integer + 0;
  }
}

export function encodeTheirs(name: string, theirs: Fields): Uint8Array {
  const type = root.lookupType(name);
  return plainBytes(type.encode(type.fromObject(theirs)).finish());
}

/** Decodes with protobufjs into plain data that compares well. */
export function decodeTheirs(name: string, bytes: Uint8Array): unknown {
  const type = root.lookupType(name);
  return normal(type.toObject(type.decode(bytes), { longs: Number, enums: String }));
}

/** Buffers to Uint8Array, null prototypes to plain, -0 to 0. */
export function normal(value: unknown): unknown {
  if (value instanceof Uint8Array) return plainBytes(value);
  if (Array.isArray(value)) return value.map(normal);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, normal(item)]));
  }
  return Object.is(value, -0) ? 0 : value;
}

function plainBytes(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes);
}
