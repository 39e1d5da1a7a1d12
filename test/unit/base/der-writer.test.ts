import { describe, expect, it } from 'vitest';
import { Der, derAt, derItems, derOid } from '../../../src/base/der.ts';
import { derBits, derElement, derObjectId, derSequence, derTime, derUnsigned } from '../../../src/base/der-writer.ts';

describe('DER written', () => {
  it.each([0, 1, 127, 128, 255, 256, 65_535, 70_000])('has the shortest length, of %i bytes', (length) => {
    const bytes = derElement(Der.OctetString, Buffer.alloc(length));
    const { start, end } = derAt(bytes, 0, bytes.length);
    expect([end - start, end]).toEqual([length, bytes.length]);
    const octets = length < 128 ? 1 : length < 256 ? 2 : length < 65_536 ? 3 : 4;
    expect(start).toBe(1 + octets);
  });

  it.each([
    ['', '020100'],
    ['00', '020100'],
    ['7f', '02017f'],
    ['80', '02020080'],
    ['0000ff01', '020300ff01'],
  ])('has integers without a sign: %s', (hex, expected) => {
    expect(derUnsigned(Buffer.from(hex, 'hex')).toString('hex')).toBe(expected);
  });

  it.each(['2.5.29.17', '1.2.840.113549.1.1.11', '1.3.6.1.5.5.7.3.1', '2.999.3', '0.9.2342.19200300.100.1.25'])(
    'has object identifiers that are read again: %s',
    (oid) => {
      const bytes = derObjectId(oid);
      expect(derOid(bytes, derAt(bytes, 0, bytes.length))).toBe(oid);
    },
  );

  it.each([
    [Date.UTC(2026, 0, 2, 3, 4, 5), Der.UtcTime, '260102030405Z'],
    [Date.UTC(2049, 11, 31, 23, 59, 59), Der.UtcTime, '491231235959Z'],
    [Date.UTC(2050, 0, 1), Der.GeneralizedTime, '20500101000000Z'],
  ])('has times as RFC 5280 wants them', (ms, tag, text) => {
    const bytes = derTime(ms);
    expect([bytes[0], bytes.toString('latin1', 2)]).toEqual([tag, text]);
  });

  it('nests', () => {
    const bytes = derSequence(derSequence(), derBits(Buffer.of(0x80), 7));
    const [first, second] = derItems(bytes, derAt(bytes, 0, bytes.length));
    expect([first?.tag, second?.tag, bytes[second!.start]]).toEqual([Der.Sequence, Der.BitString, 7]);
  });
});
