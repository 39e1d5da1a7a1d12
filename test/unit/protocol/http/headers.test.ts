import { describe, expect, it } from 'vitest';
import { equalsIgnoreCase, Headers } from '../../../../src/protocol/http/headers.ts';

/** As a parser fills it. */
function read(...lines: string[]): Headers {
  const headers = new Headers();
  const start = 'GET / HTTP/1.1\r\n';
  let at = start.length;
  for (const line of lines) {
    const colon = line.indexOf(':');
    let valueStart = colon + 1;
    while (line[valueStart] === ' ') valueStart++;
    const valueEnd = Math.max(valueStart, line.trimEnd().length);
    headers.pushLine(at, at + colon, at + valueStart, at + valueEnd);
    at += line.length + 2;
  }
  headers.raw = `${start}${lines.join('\r\n')}\r\n\r\n`;
  return headers;
}

describe('Headers', () => {
  it('finds a header whatever its case, in the block and among the added', () => {
    const headers = read('HOST: a', 'X-Empty:');
    headers.add('X-Added', '1');
    expect(headers.get('host')).toBe('a');
    expect(headers.get('x-empty')).toBe('');
    expect(headers.get('x-added')).toBe('1');
    expect(headers.has('x-added')).toBe(true);
    expect(headers.get('hos')).toBeUndefined();
    expect(headers.has('accept')).toBe(false);
  });

  it('joins the values of several lines in order', () => {
    const headers = read('A: 1', 'B: x', 'a: 2');
    headers.add('A', '3');
    expect(headers.getJoined('a')).toBe('1,2,3');
    expect(headers.getJoined('c')).toBeUndefined();
  });

  it('serializes what it read octet for octet, trailing white space included', () => {
    const headers = read('Host: a', 'X:   v  ', 'Y:');
    expect(headers.serialize()).toBe('Host: a\r\nX:   v  \r\nY:\r\n');
    expect(headers.byteSize).toBeLessThanOrEqual(headers.serialize().length);
  });

  it.each([
    [['a'], 'B: 2\r\nC: 3\r\nD: 4\r\n'],
    [['b', 'c'], 'A: 1\r\nD: 4\r\n'],
    [['d'], 'A: 1\r\nB: 2\r\nC: 3\r\n'],
    [['a', 'c'], 'B: 2\r\nD: 4\r\n'],
    [['a', 'b', 'c', 'd'], ''],
  ])('leaves out %s and copies the rest', (removed, expected) => {
    const headers = read('A: 1', 'B: 2', 'C: 3', 'D: 4');
    for (const name of removed) expect(headers.remove(name)).toBe(true);
    expect(headers.serialize()).toBe(expected);
    expect(headers.size).toBe(4 - removed.length);
  });

  it('removes every line of a name and says whether there was one', () => {
    const headers = read('A: 1', 'a: 2');
    headers.add('A', '3');
    headers.add('B', '4');
    expect(headers.remove('a')).toBe(true);
    expect(headers.remove('a')).toBe(false);
    expect(headers.entries()).toEqual([['B', '4']]);
  });

  it('set replaces all lines by one', () => {
    const headers = read('A: 1', 'B: 2', 'a: 3');
    headers.set('a', '4');
    expect(headers.entries()).toEqual([
      ['B', '2'],
      ['a', '4'],
    ]);
  });

  it('removeWhere sees lower-case names', () => {
    const headers = read('X-Envoy-A: 1', 'B: 2');
    headers.add('X-Envoy-B', '3');
    headers.removeWhere((name) => name.startsWith('x-envoy-'));
    expect(headers.serialize()).toBe('B: 2\r\n');
  });

  it('answers about a line by its index, also after its removal', () => {
    const headers = read('Host: a', 'B: 2');
    expect(headers.lineIs(0, 'host')).toBe(true);
    expect(headers.nameAt(0)).toBe('Host');
    expect(headers.valueAt(1)).toBe('2');
    headers.removeLine(0);
    expect(headers.lineIs(0, 'host')).toBe(false);
    expect(headers.get('host')).toBeUndefined();
  });

  it('grows beyond its first 32 lines', () => {
    const headers = read(...Array.from({ length: 90 }, (_, i) => `X-${i}: ${i}`));
    expect(headers.size).toBe(90);
    expect(headers.get('x-89')).toBe('89');
  });

  it('reset empties it for the next message', () => {
    const headers = read('A: 1');
    headers.remove('a');
    headers.add('B', '2');
    headers.reset();
    expect(headers.entries()).toEqual([]);
    expect(headers.serialize()).toBe('');
  });

  it('of makes a block from pairs', () => {
    expect(Headers.of([['A', '1']]).serialize()).toBe('A: 1\r\n');
  });

  it('equalsIgnoreCase folds letters only', () => {
    expect(equalsIgnoreCase('X-A', 'x-a')).toBe(true);
    expect(equalsIgnoreCase('@', '`')).toBe(false);
    expect(equalsIgnoreCase('ab', 'a')).toBe(false);
  });
});
