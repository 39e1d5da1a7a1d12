/** A label has at most so many octets, a name so many with its lengths (RFC 1035 section 2.3.4). */
const MAX_LABEL = 63;
const MAX_NAME = 255;

/** A name as it was read: lower case, without the last dot ('' is the root), and where it ends in the message. */
export interface ReadName {
  readonly name: string;
  readonly end: number;
}

/**
 * Reads a name at `at`; null when it is malformed. A pointer must lead to before the part that it ends, so that there are
 * no loops (RFC 1035 section 4.1.4). Octets of a label that would read as another name are escaped, as in zone files.
 */
export function readName(message: Uint8Array, at: number): ReadName | null {
  let name = '';
  let octets = 0;
  let end = -1;
  let from = at;
  let i = at;
  for (;;) {
    const length = message[i];
    if (length === undefined) return null;
    if (length >= 0xc0) {
      const low = message[i + 1];
      if (low === undefined) return null;
      if (end < 0) end = i + 2;
      const target = ((length & 0x3f) << 8) | low;
      if (target >= from) return null;
      from = i = target;
      continue;
    }
    // The two other kinds of labels were never used (RFC 6891 section 5).
    if (length > MAX_LABEL) return null;
    octets += length + 1;
    if (octets > MAX_NAME || i + 1 + length > message.length) return null;
    if (length === 0) return { name, end: end < 0 ? i + 1 : end };
    name += name === '' ? labelText(message, i + 1, length) : `.${labelText(message, i + 1, length)}`;
    i += length + 1;
  }
}

function labelText(message: Uint8Array, start: number, length: number): string {
  let text = '';
  for (let i = start; i < start + length; i++) {
    const octet = message[i]!;
    if (octet >= 0x41 && octet <= 0x5a) text += String.fromCharCode(octet | 0x20);
    else if (octet === 0x2e || octet === 0x5c) text += `\\${String.fromCharCode(octet)}`;
    else if (octet > 0x20 && octet < 0x7f) text += String.fromCharCode(octet);
    else text += `\\${String(octet).padStart(3, '0')}`;
  }
  return text;
}

/** A host name as octets, uncompressed; null for what cannot be one. */
export function encodeName(name: string): Uint8Array | null {
  const bare = name.endsWith('.') ? name.slice(0, -1) : name;
  if (bare === '') return Uint8Array.of(0);
  if (bare.length > MAX_NAME - 2 || /[^\x21-\x7e]|\\/.test(bare)) return null;
  const octets = Buffer.alloc(bare.length + 2);
  let at = 0;
  for (const label of bare.split('.')) {
    if (label === '' || label.length > MAX_LABEL) return null;
    octets[at] = label.length;
    at += 1 + octets.write(label, at + 1, 'latin1');
  }
  return octets;
}

/** Where the name at `at` ends, whatever it says; -1 when it does not. */
export function skipName(message: Uint8Array, at: number): number {
  for (let i = at; ; ) {
    const length = message[i];
    if (length === undefined) return -1;
    if (length >= 0xc0) return i + 2 <= message.length ? i + 2 : -1;
    if (length > MAX_LABEL || i - at > MAX_NAME) return -1;
    if (length === 0) return i + 1;
    i += length + 1;
  }
}
