/** Protobuf bytes as a tree of fields without their types, changed here and there, and as bytes again. */
import type { Random } from '../../../src/base/random.ts';

/** A varint or fixed as a number, a text or bytes, or what parses as a message. */
interface Field {
  number: number;
  wire: number;
  value: bigint | Buffer | Field[];
}

const MAX_TREE_DEPTH = 40;
/** Octets that one change may add; gRPC bounds a message to 4 MiB. */
const MAX_GROWTH = 200_000;

function readVarint(bytes: Buffer, at: number): [value: bigint, next: number] | null {
  let value = 0n;
  for (let i = 0; i < 10 && at + i < bytes.length; i++) {
    const octet = bytes[at + i]!;
    value |= BigInt(octet & 0x7f) << BigInt(7 * i);
    if (octet < 0x80) return [value, at + i + 1];
  }
  return null;
}

function parse(bytes: Buffer, depth: number): Field[] | null {
  const fields: Field[] = [];
  let at = 0;
  while (at < bytes.length) {
    const tag = readVarint(bytes, at);
    if (tag === null || tag[0] >> 3n === 0n || tag[0] >> 3n > 536_870_911n) return null;
    const wire = Number(tag[0] & 7n);
    const number = Number(tag[0] >> 3n);
    if (wire === 0) {
      const value = readVarint(bytes, tag[1]);
      if (value === null) return null;
      fields.push({ number, wire, value: value[0] });
      at = value[1];
    } else if (wire === 2) {
      const length = readVarint(bytes, tag[1]);
      if (length === null || BigInt(length[1]) + length[0] > BigInt(bytes.length)) return null;
      const end = length[1] + Number(length[0]);
      const inner = bytes.subarray(length[1], end);
      const nested = inner.length > 1 && depth < MAX_TREE_DEPTH ? parse(inner, depth + 1) : null;
      fields.push({ number, wire, value: nested ?? Buffer.from(inner) });
      at = end;
    } else if (wire === 1 || wire === 5) {
      const end = tag[1] + (wire === 1 ? 8 : 4);
      if (end > bytes.length) return null;
      fields.push({ number, wire, value: Buffer.from(bytes.subarray(tag[1], end)) });
      at = end;
    } else return null;
  }
  return fields;
}

function varint(value: bigint): Buffer {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, value);
  do {
    out.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(out);
}

function write(fields: readonly Field[]): Buffer {
  return Buffer.concat(fields.map(writeField));
}

function writeField({ number, wire, value }: Field): Buffer {
  const tag = varint((BigInt(number) << 3n) | BigInt(wire));
  if (typeof value === 'bigint') return Buffer.concat([tag, varint(value)]);
  const body = Array.isArray(value) ? write(value) : value;
  return wire === 2 ? Buffer.concat([tag, varint(BigInt(body.length)), body]) : Buffer.concat([tag, body]);
}

const INTEGERS = [
  0n,
  1n,
  127n,
  65536n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];
const TEXTS = [
  '',
  '*',
  '(',
  '(a*)*$',
  '%REQ(',
  '%',
  '::1',
  '-1s',
  '\0',
  '\r\n',
  '__proto__',
  'constructor',
  'a'.repeat(100_000),
  '%REQ(x)%'.repeat(3000),
  'type.googleapis.com/google.protobuf.Any',
  'type.googleapis.com/google.protobuf.Struct',
  'type.googleapis.com/nobody.knows.This',
  'type.googleapis.com/xds.type.v3.TypedStruct',
  'type.googleapis.com/envoy.config.listener.v3.Listener',
  'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
  'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
].map((text) => Buffer.from(text));
const BAD_UTF8 = ['ff', 'c0af', 'eda080', 'f4908080', '61e282'].map((hex) => Buffer.from(hex, 'hex'));

function pick<T>(from: readonly T[], random: Random): T {
  return from[random.int(from.length)]!;
}

/** Roughly, in octets; stops counting when it is much. */
function sizeOf(fields: readonly Field[], budget = 2 * MAX_GROWTH): number {
  let size = 0;
  for (const { value } of fields) {
    size += 2 + (typeof value === 'bigint' ? 2 : Array.isArray(value) ? sizeOf(value, budget - size) : value.length);
    if (size > budget) break;
  }
  return size;
}

/** Every list of fields in the tree that has any. */
function lists(fields: Field[], found: Field[][] = []): Field[][] {
  if (fields.length > 0) found.push(fields);
  for (const { value } of fields) if (Array.isArray(value)) lists(value, found);
  return found;
}

function change(root: Field[], random: Random): void {
  const all = lists(root);
  if (all.length === 0) return;
  const list = pick(all, random);
  const at = random.int(list.length);
  const field = list[at]!;
  switch (random.int(9)) {
    case 0:
      list.splice(at, 1);
      return;
    case 1: {
      // What may stand once, often.
      const times = Math.min(pick([1, 2, 50, 2000], random), 1 + MAX_GROWTH / (writeField(field).length + 1));
      for (let i = 0; i < times; i++) list.push(structuredClone(field));
      return;
    }
    case 2:
      list[at] = { ...field, wire: 0, value: pick(INTEGERS, random) };
      return;
    case 3:
      list[at] = { ...field, wire: 2, value: pick(TEXTS, random) };
      return;
    case 4:
      list[at] = { ...field, wire: 2, value: pick(BAD_UTF8, random) };
      return;
    case 5: {
      // A message in itself, deeply: Struct in Struct, Any in Any, matcher in matcher.
      let value: Field['value'] = field.value;
      const depth = Math.min(pick([2, 60, 150, 1000], random), 2 + (10 * MAX_GROWTH) / (writeField(field).length + 1));
      for (let i = 0; i < depth; i++)
        value = [{ number: field.number, wire: 2, value: typeof value === 'bigint' ? [] : value }];
      list[at] = { ...field, wire: 2, value: write(value as Field[]) };
      return;
    }
    case 6:
      list[at] = { ...field, number: pick([1, 2, 3, 4, 5, 10, 15, 536_870_911], random) };
      return;
    case 7: {
      const other = pick(pick(all, random), random);
      list[at] = { ...structuredClone(other), number: random.int(2) === 0 ? field.number : other.number };
      return;
    }
    default:
      list[at] = { ...field, wire: pick([0, 1, 2, 3, 4, 5, 6, 7], random) };
  }
}

/** Buffers of a clone are plain arrays of octets again. */
function mend(fields: Field[]): Field[] {
  for (const field of fields) {
    if (Array.isArray(field.value)) mend(field.value);
    else if (typeof field.value !== 'bigint' && !Buffer.isBuffer(field.value)) field.value = Buffer.from(field.value);
  }
  return fields;
}

/** The message changed in its structure, or now and then in its octets. */
export function mutateMessage(bytes: Uint8Array, random: Random): Buffer {
  const tree = parse(Buffer.from(bytes), 0);
  let out: Buffer;
  if (tree === null) out = Buffer.from(bytes);
  else {
    for (let n = random.int(3) + 1; n > 0; n--) {
      change(tree, random);
      mend(tree);
      // One change may multiply what another added.
      if (sizeOf(tree) > MAX_GROWTH) break;
    }
    out = write(tree);
  }
  if (out.length > 0 && random.int(6) === 0) out[random.int(out.length)] = random.int(256);
  if (out.length > 4 * 1024 * 1024) out = out.subarray(0, 4 * 1024 * 1024);
  return random.int(12) === 0 ? out.subarray(0, random.int(out.length + 1)) : out;
}
