import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LogRoot } from '../../../../src/base/log.ts';
import { IdentityFile } from '../../../../src/proxy/identity/identity-file.ts';
import { manualClock } from '../../../support/clock.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'remora-identity-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function setup(path = join(folder, 'identity')) {
  const lines: string[] = [];
  const file = new IdentityFile(path, new LogRoot(manualClock(), (line) => lines.push(line), 'debug').logger());
  return { path, file, lines };
}

const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;

// pains.md row 7
describe('the identity on disk', () => {
  it('comes back as it was, and only its owner can read it', () => {
    const { file, path, lines } = setup();
    expect(file.load()).toBeNull();
    file.save({ key, answer: ['LEAF', 'ROOTS'] });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const kept = file.load();
    expect(kept?.answer).toEqual(['LEAF', 'ROOTS']);
    expect(kept?.key.equals(key)).toBe(true);
    expect(readdirSync(folder)).toEqual(['identity']);
    expect(lines).toEqual([]);
  });

  it.each([
    ['cut', (text: string) => text.slice(0, 60)],
    ['of another format', (text: string) => text.replace('"format":1', '"format":2')],
    ['too large', (text: string) => text.replace('"answer":[', `"answer":["${'x'.repeat(1024 * 1024)}",`)],
    ['without its key', (text: string) => text.replace('BEGIN', 'NO')],
  ])('is not used, and not shown, when it is %s', (_, spoil) => {
    const { file, path, lines } = setup();
    file.save({ key, answer: ['LEAF', 'ROOTS'] });
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, spoil(text));
    expect(file.load()).toBeNull();
    expect(lines.join('')).toContain('the kept certificate is not used');
    expect(lines.join('')).not.toContain('PRIVATE');
    expect(lines.join('')).not.toContain(text.slice(60, 90));
  });

  it('is no need: a folder that cannot be written to is a warning', () => {
    const { file, lines } = setup(join(folder, 'missing', 'identity'));
    file.save({ key, answer: [] });
    expect(lines.join('')).toContain('is not kept for the next start');
  });
});
