import { Http2Error } from './http2-error.ts';

/**
 * Code lengths of octets 0 to 255 and of EOS (RFC 7541 appendix B), a base-36 digit each. The code is canonical: those
 * of one length are consecutive in the order of their symbols, so lengths are all there is to know.
 */
const LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6' +
  'f56565666577666567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu';
const EOS = 256;
const LONGEST = 30;

/** Symbols by length, then by value; per length its first code and where its symbols begin. */
const SYMBOLS = new Uint16Array(LENGTHS.length);
const COUNT = new Uint16Array(LONGEST + 1);
const FIRST_CODE = new Uint32Array(LONGEST + 1);
const FIRST_AT = new Uint16Array(LONGEST + 1);

let code = 0;
let at = 0;
for (let length = 1; length <= LONGEST; length++) {
  code *= 2;
  FIRST_CODE[length] = code;
  FIRST_AT[length] = at;
  for (let symbol = 0; symbol < LENGTHS.length; symbol++) {
    if (Number.parseInt(LENGTHS[symbol]!, 36) === length) SYMBOLS[at++] = symbol;
  }
  COUNT[length] = at - FIRST_AT[length]!;
  code += COUNT[length]!;
}

/** The octets of `bytes` from `start` to `end`, a character each. Throws COMPRESSION_ERROR for a code that is none. */
export function huffmanDecode(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  let code = 0;
  let length = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!;
    for (let bit = 7; bit >= 0; bit--) {
      code = code * 2 + ((byte >> bit) & 1);
      length++;
      const rank = code - FIRST_CODE[length]!;
      if (rank < 0 || rank >= COUNT[length]!) continue;
      const symbol = SYMBOLS[FIRST_AT[length]! + rank]!;
      if (symbol === EOS) throw new Http2Error('COMPRESSION_ERROR', 'EOS inside a Huffman-coded string');
      text += String.fromCharCode(symbol);
      code = 0;
      length = 0;
    }
  }
  // What is left must be the beginning of EOS, which is ones, and less than an octet (RFC 7541 section 5.2).
  if (length > 7 || code !== 2 ** length - 1) {
    throw new Http2Error('COMPRESSION_ERROR', 'a Huffman-coded string ends in bad padding');
  }
  return text;
}
