import { expect, test } from 'vitest';
import { Der, derAt, derItems, derOid, derText } from '../../../src/base/der.ts';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

test('lengths in short and long form', () => {
  expect(derAt(hex('020101'), 0, 3)).toEqual({ tag: Der.Integer, start: 2, end: 3 });
  expect(derAt(Buffer.concat([hex('048180'), Buffer.alloc(128)]), 0, 131)).toEqual({ tag: 4, start: 3, end: 131 });
});

test.each([
  ['', 'cut short'],
  ['02', 'cut short'],
  ['0202ff', 'longer than what holds it'],
  ['0480', 'a length that is none'],
  ['04850000000001ff', 'a length that is none'],
  ['0482ff', 'a length that is none'],
  ['1f8101ff', 'a tag of several bytes'],
])('refuses %s', (text, reason) => {
  expect(() => derAt(hex(text), 0, hex(text).length)).toThrow(reason);
});

test('items, identifiers and texts', () => {
  const bytes = hex('300b06032b0601060488378700');
  const [oid, other] = derItems(bytes, derAt(bytes, 0, bytes.length));
  expect(derOid(bytes, oid!)).toBe('1.3.6.1');
  expect(derOid(bytes, other!)).toBe('2.999.896');
  const texts = hex('0c02c3bc1e0400fc0061020101');
  expect(derText(texts, derAt(texts, 0, 13))).toBe('ü');
  expect(derText(texts, derAt(texts, 4, 13))).toBe('üa');
  expect(derText(texts, derAt(texts, 10, 13))).toBeUndefined();
});
