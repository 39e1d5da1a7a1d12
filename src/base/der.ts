/** One element of DER, inside of the buffer that holds it (X.690). */
export interface DerElement {
  readonly tag: number;
  /** Where its content begins and ends. */
  readonly start: number;
  readonly end: number;
}

/** Tags that certificates are made of. */
export const Der = {
  Boolean: 0x01,
  Integer: 0x02,
  BitString: 0x03,
  OctetString: 0x04,
  Oid: 0x06,
  Utf8: 0x0c,
  Printable: 0x13,
  Teletex: 0x14,
  Ia5: 0x16,
  UtcTime: 0x17,
  GeneralizedTime: 0x18,
  Universal: 0x1c,
  Bmp: 0x1e,
  Sequence: 0x30,
  Set: 0x31,
} as const;

/** The element at `at`; throws RangeError when it does not fit before `end` or is in no definite form. */
export function derAt(bytes: Buffer, at: number, end: number): DerElement {
  const tag = bytes[at];
  let length = bytes[at + 1];
  if (tag === undefined || length === undefined || at + 2 > end) throw new RangeError('DER: cut short');
  if ((tag & 0x1f) === 0x1f) throw new RangeError('DER: a tag of several bytes');
  let start = at + 2;
  if (length >= 0x80) {
    const count = length & 0x7f;
    if (count === 0 || count > 4 || start + count > end) throw new RangeError('DER: a length that is none');
    length = bytes.readUIntBE(start, count);
    start += count;
  }
  if (start + length > end) throw new RangeError('DER: an element longer than what holds it');
  return { tag, start, end: start + length };
}

/** The elements of a constructed one, in order. */
export function derItems(bytes: Buffer, { start, end }: DerElement): DerElement[] {
  const items: DerElement[] = [];
  for (let at = start; at < end; ) {
    const item = derAt(bytes, at, end);
    items.push(item);
    at = item.end;
  }
  return items;
}

/** An object identifier as dotted numbers. */
export function derOid(bytes: Buffer, { start, end }: DerElement): string {
  const parts: number[] = [];
  let value = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!;
    value = value * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    if (parts.length > 0) parts.push(value);
    else {
      const first = Math.min(2, Math.floor(value / 40));
      parts.push(first, value - first * 40);
    }
    value = 0;
  }
  return parts.join('.');
}

/** The text of one of the string types; undefined for what is no string. */
export function derText(bytes: Buffer, { tag, start, end }: DerElement): string | undefined {
  switch (tag) {
    case Der.Utf8:
      return bytes.toString('utf8', start, end);
    case Der.Printable:
    case Der.Ia5:
    case Der.Teletex:
      return bytes.toString('latin1', start, end);
    case Der.Bmp:
      return Buffer.from(bytes.subarray(start, end - ((end - start) % 2)))
        .swap16()
        .toString('utf16le');
    default:
      return undefined;
  }
}
