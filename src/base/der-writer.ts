import { Der } from './der.ts';

/** One element of DER: its tag, its length in the shortest form, its content (X.690, 10.1). */
export function derElement(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([header(tag, length), ...content]);
}

export function derSequence(...items: readonly Uint8Array[]): Buffer {
  return derElement(Der.Sequence, ...items);
}

/** An INTEGER that is not negative, of its bytes in network order. */
export function derUnsigned(bytes: Uint8Array): Buffer {
  let from = 0;
  while (from < bytes.length - 1 && bytes[from] === 0) from++;
  const own = bytes.subarray(from);
  // The first bit is the sign.
  return derElement(Der.Integer, (own[0] ?? 0) >= 0x80 || own.length === 0 ? Buffer.of(0) : NOTHING, own);
}

/** A BIT STRING of whole bytes. */
export function derBits(bytes: Uint8Array, unused = 0): Buffer {
  return derElement(Der.BitString, Buffer.of(unused), bytes);
}

export function derOctets(bytes: Uint8Array): Buffer {
  return derElement(Der.OctetString, bytes);
}

/** An object identifier from its dotted numbers. */
export function derObjectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return derElement(Der.Oid, Buffer.from([first * 40 + second, ...rest].flatMap(base128)));
}

/** `UTCTime` until 2049, then `GeneralizedTime` (RFC 5280, 4.1.2.5). Wall time in ms, cut to seconds. */
export function derTime(ms: number): Buffer {
  const digits = `${new Date(ms).toISOString().replace(/\D/g, '').slice(0, 14)}Z`;
  return digits < '2050'
    ? derElement(Der.UtcTime, Buffer.from(digits.slice(2)))
    : derElement(Der.GeneralizedTime, Buffer.from(digits));
}

export function derText8(text: string): Buffer {
  return derElement(Der.Utf8, Buffer.from(text));
}

export const DER_TRUE: Buffer = derElement(Der.Boolean, Buffer.of(0xff));
export const DER_NULL: Buffer = derElement(0x05);

const NOTHING = Buffer.alloc(0);

function header(tag: number, length: number): Buffer {
  if (length < 0x80) return Buffer.of(tag, length);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.of(tag, 0x80 | bytes.length, ...bytes);
}

function base128(value: number): number[] {
  const bytes = [value % 128];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) bytes.unshift((rest % 128) | 0x80);
  return bytes;
}
