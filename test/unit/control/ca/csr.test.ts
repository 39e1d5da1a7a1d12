import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import { CsrError, readCsr } from '../../../../src/control/ca/csr.ts';
import { pemOf } from '../../../../src/control/ca/issue.ts';
import { CALLER_ID, csr, csrDer, ecKey } from './support.ts';

const rsa = (modulusLength: number) => generateKeyPairSync('rsa', { modulusLength }).privateKey;

describe('a request for a certificate', () => {
  it.each([
    ['ECDSA P-256', ecKey()],
    ['ECDSA P-384', ecKey('secp384r1')],
    ['RSA 2048', rsa(2048)],
  ])('is read: %s', (_, key) => {
    const request = readCsr(csr({ key }));
    expect(request.uris).toEqual([CALLER_ID]);
    expect(request.key.asymmetricKeyType).toBe(key.asymmetricKeyType);
  });

  it('may ask for no name, and for names that are nobody’s business', () => {
    expect(readCsr(csr({ names: [] })).uris).toEqual([]);
    expect(readCsr(csr({ names: [[0x82, 'localhost']] })).uris).toEqual([]);
  });

  it.each([
    ['no PEM', 'hello', /is not PEM/],
    ['something behind it', `${csr()}more`, /is not PEM/],
    ['too long', `${csr()}${' '.repeat(20_000)}`, /longer than/],
    ['a curve that is not certified', csr({ key: ecKey('secp521r1') }), /is not certified/],
    ['a weak key', csr({ key: rsa(1024) }), /rsa 1024 is not certified/],
    ['signed by another key', csr({ signer: ecKey() }), /does not fit its key/],
    ['signed by another kind of key', csr({ signer: rsa(2048) }), /is not taken for such a key/],
    ['signed by an unknown algorithm', csr({ algorithm: '1.2.3' }), /signed by 1.2.3/],
    [
      'more names than anybody has',
      csr({ names: Array.from({ length: 17 }, () => [0x86, CALLER_ID] as const) }),
      /more than 16/,
    ],
    [
      'bytes behind the element',
      pemOf(Buffer.concat([csrDer(), Buffer.of(0)]), 'CERTIFICATE REQUEST'),
      /something follows/,
    ],
  ])('is refused: %s', (_, text, reason) => {
    expect(() => readCsr(text)).toThrow(CsrError);
    expect(() => readCsr(text)).toThrow(reason);
  });

  it('is refused with a reason and never a fault, whatever its bytes are', () => {
    const random = seededRandom(7);
    const der = csrDer();
    let refused = 0;
    for (let round = 0; round < 600; round++) {
      const bytes = Buffer.from(der);
      for (let flips = random.int(3) + 1; flips > 0; flips--) bytes[random.int(bytes.length)] = random.int(256);
      const cut = random.int(4) === 0 ? bytes.subarray(0, random.int(bytes.length)) : bytes;
      try {
        readCsr(pemOf(cut, 'CERTIFICATE REQUEST'));
      } catch (error) {
        expect(error).toBeInstanceOf(CsrError);
        refused++;
      }
    }
    // What is not refused is byte for byte what was signed.
    expect(refused).toBeGreaterThan(590);
  });
});
