import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readBoundedFile } from '../../../src/base/bounded-file.ts';

let path: string;
beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'remora-bounded-')), 'file');
});
afterEach(() => rmSync(join(path, '..'), { recursive: true }));

it.each([0, 1, 65_536, 65_537, 200_000])('gives %i bytes as they are, at the limit too', (size) => {
  const bytes = Buffer.from(Array.from({ length: size }, (_, i) => i % 251));
  writeFileSync(path, bytes);
  expect(readBoundedFile(path, size).equals(bytes)).toBe(true);
  expect(readBoundedFile(path, size + 100_000).equals(bytes)).toBe(true);
});

it('refuses one byte more, with the path and the limit', () => {
  writeFileSync(path, Buffer.alloc(101));
  expect(() => readBoundedFile(path, 100)).toThrow(`${path} has more than 100 bytes`);
});

it('does not read a device to its end, which it does not have', () => {
  expect(() => readBoundedFile('/dev/zero', 1000)).toThrow('/dev/zero has more than 1000 bytes');
});

it('says what the system says of a file that is not there', () => {
  expect(() => readBoundedFile(path, 100)).toThrow('ENOENT');
});
