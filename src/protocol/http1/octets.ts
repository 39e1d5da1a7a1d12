/** Tables over octets and the byte-level comparisons of the HTTP/1 grammar (RFC 9110 section 5.6). */

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;

function table(holds: (octet: number) => boolean): Uint8Array {
  const marks = new Uint8Array(256);
  for (let octet = 0; octet < 256; octet++) if (holds(octet)) marks[octet] = 1;
  return marks;
}

const isAlphaNumeric = (c: number) => (c >= 0x30 && c <= 0x39) || (c >= 0x41 && c <= 0x5a) || (c >= 0x61 && c <= 0x7a);

/** tchar: what methods, field names and connection options are made of. */
export const TOKEN = table((c) => isAlphaNumeric(c) || "!#$%&'*+-.^_`|~".includes(String.fromCharCode(c)));

/** What a field value or reason phrase may hold: HTAB, SP, VCHAR, obs-text. */
export const FIELD_VALUE = table((c) => c === HTAB || (c >= SP && c !== 0x7f));

/** What a request target may hold: visible ASCII without '#'. Wider than RFC 3986, as clients do send `|` and `"`. */
export const TARGET = table((c) => c > SP && c < 0x7f && c !== 0x23);

/** reg-name without ',', which is how a merged pair of Host lines looks. */
export const HOST_NAME = table((c) => isAlphaNumeric(c) || "-._~%!$&'()*+;=".includes(String.fromCharCode(c)));

/** Value of a hex digit, 0xff for every other octet. */
export const HEX_VALUE = new Uint8Array(256).fill(0xff);
for (let digit = 0; digit < 16; digit++) {
  const text = digit.toString(16);
  HEX_VALUE[text.charCodeAt(0)] = digit;
  HEX_VALUE[text.toUpperCase().charCodeAt(0)] = digit;
}

/** Whether `bytes` holds the lower-case `name` at `at`, ignoring the case of `bytes`; the caller knows that it is long enough. */
export function octetsAre(bytes: Uint8Array, at: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    let c = bytes[at + i]!;
    if (c >= 0x41 && c <= 0x5a) c |= 0x20;
    if (c !== name.charCodeAt(i)) return false;
  }
  return true;
}

interface Latin1Buffer extends Buffer {
  latin1Slice(start: number, end: number): string;
}

/** Octets as a string of latin1 characters; `Buffer.latin1Slice` is what `toString('latin1')` ends in, and @types/node hides it. */
export function latin1(bytes: Buffer, start: number, end: number): string {
  return (bytes as Latin1Buffer).latin1Slice(start, end);
}

/** An octet as an error message shows it. */
export function showOctet(octet: number): string {
  return octet > SP && octet < 0x7f ? `'${String.fromCharCode(octet)}'` : `0x${octet.toString(16).padStart(2, '0')}`;
}
