import { describe, expect, it } from 'vitest';
import { encodeName, readName, skipName } from '../../../../src/protocol/dns/name.ts';

const bytes = (...parts: (number | string)[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === 'number' ? [part] : [...Buffer.from(part, 'latin1')])));

describe('readName', () => {
  it('lower case, without the last dot', () =>
    expect(readName(bytes(3, 'WWW', 7, 'eXample', 0, 9), 0)).toEqual({ name: 'www.example', end: 13 }));
  it('the root is nothing', () => expect(readName(bytes(0), 0)).toEqual({ name: '', end: 1 }));
  it('what would read as another name is escaped', () =>
    expect(readName(bytes(3, 'a.b', 4, 'c\\\0\xff', 0), 0)?.name).toBe('a\\.b.c\\\\\\000\\255'));
  it('a pointer leads back, and the name ends behind it', () =>
    expect(readName(bytes(2, 'ns', 0, 1, 'a', 0xc0, 0), 4)).toEqual({ name: 'a.ns', end: 8 }));
  it('a chain of pointers', () =>
    expect(readName(bytes(1, 'c', 0, 1, 'b', 0xc0, 0, 1, 'a', 0xc0, 3), 7)).toEqual({ name: 'a.b.c', end: 11 }));

  const wrong: [string, Uint8Array, number][] = [
    ['nothing', bytes(), 0],
    ['beyond the end', bytes(0), 5],
    ['no end', bytes(1, 'a'), 0],
    ['a label that is cut', bytes(5, 'abc'), 0],
    ['a label of 64', bytes(64, 'a'.repeat(64), 0), 0],
    ['a label of an unused kind', bytes(0x80, 'a', 0), 0],
    ['half a pointer', bytes(1, 'a', 0xc0), 0],
    ['a pointer to itself', bytes(0xc0, 0), 0],
    ['a pointer forwards', bytes(0xc0, 2, 0), 0],
    ['a pointer into its own name', bytes(1, 'a', 0xc0, 0), 0],
    ['two pointers in a ring', bytes(0xc0, 2, 0xc0, 0), 2],
    ['256 octets', bytes(...Array.from({ length: 127 }, () => [1, 'a']).flat(), 1, 'a', 0), 0],
  ];
  it.each(wrong)('malformed: %s', (_, message, at) => expect(readName(message, at)).toBeNull());
  it('255 octets are a name', () => {
    const message = bytes(...Array.from({ length: 127 }, () => [1, 'a']).flat(), 0);
    expect(message.length).toBe(255);
    expect(readName(message, 0)?.end).toBe(255);
    expect(skipName(message, 0)).toBe(255);
  });
  it('pointers do not make a name longer than 255', () => {
    // Each name is the one before with another label.
    const parts: (number | string)[] = [0];
    for (let i = 0, before = 0; i < 150; i++) {
      const at = 1 + i * 4;
      parts.push(1, 'a', 0xc0 | (before >> 8), before & 255);
      before = at;
    }
    const message = bytes(...parts);
    expect(readName(message, 1 + 126 * 4)?.name.length).toBe(253);
    expect(readName(message, 1 + 127 * 4)).toBeNull();
  });
});

describe('skipName', () => {
  it('ends behind the root or a pointer', () => {
    expect(skipName(bytes(1, 'a', 0, 7), 0)).toBe(3);
    expect(skipName(bytes(1, 'a', 0xc0, 200), 0)).toBe(4);
  });
  it.each([
    ['cut', bytes(1)],
    ['half a pointer', bytes(0xc0)],
    ['an unused kind', bytes(0x40, 0)],
  ])('-1: %s', (_, message) => expect(skipName(message, 0)).toBe(-1));
});

describe('encodeName', () => {
  it('with a dot at the end or without', () => {
    expect(encodeName('a.bc')).toEqual(Buffer.from(bytes(1, 'a', 2, 'bc', 0)));
    expect(encodeName('a.bc.')).toEqual(Buffer.from(bytes(1, 'a', 2, 'bc', 0)));
    expect(encodeName('')).toEqual(bytes(0));
  });
  it('there and back', () => expect(readName(encodeName('x.y-1._z')!, 0)?.name).toBe('x.y-1._z'));
  it.each(['a..b', '.a', 'a'.repeat(64), `${'a.'.repeat(127)}a`, 'a b', 'ä', 'a\\.b'])('null: %s', (name) =>
    expect(encodeName(name)).toBeNull(),
  );
});
