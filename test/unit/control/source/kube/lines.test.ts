import { describe, expect, it } from 'vitest';
import { LineSplitter } from '../../../../../src/control/source/kube/lines.ts';

function split(limit: number, ...chunks: readonly (string | Buffer)[]) {
  const lines: string[] = [];
  const splitter = new LineSplitter(limit, (line) => void lines.push(line));
  const fine = chunks.map((chunk) => splitter.push(Buffer.from(chunk as string)));
  return { lines, fine: fine.every(Boolean) };
}

describe('lines of a stream', () => {
  it('come whole, however they were cut', () => {
    expect(split(100, 'a\nb', 'c\n', '\n', 'd').lines).toEqual(['a', 'bc']);
    const euro = Buffer.from('€\n');
    expect(split(100, euro.subarray(0, 1), euro.subarray(1)).lines).toEqual(['€']);
  });
  it('are bounded', () => {
    expect(split(4, 'abcd\n').fine).toBe(true);
    expect(split(4, 'abc', 'de').fine).toBe(false);
    expect(split(4, 'abcde\n').fine).toBe(false);
  });
});
