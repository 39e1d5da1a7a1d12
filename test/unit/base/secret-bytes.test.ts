import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { SecretBytes } from '../../../src/base/secret-bytes.ts';

test('whatever prints it shows a digest, which tells two values apart', () => {
  const secret = new SecretBytes(Buffer.from('hunter2-hunter2'));
  const printed = [JSON.stringify({ secret }), String(secret), inspect(secret, { depth: 9, showHidden: true })];
  for (const text of printed) {
    expect(text).not.toContain('hunter2');
    expect(text).not.toContain(Buffer.from('hunter2').toString('hex').slice(0, 8));
  }
  expect(JSON.stringify(secret)).toMatch(/^"\[redacted [0-9a-f]{16}\]"$/);
  expect(JSON.stringify(new SecretBytes(Buffer.from('other')))).not.toBe(JSON.stringify(secret));
  expect(JSON.stringify(new SecretBytes(Buffer.from('hunter2-hunter2')))).toBe(JSON.stringify(secret));
  expect(secret.reveal().toString()).toBe('hunter2-hunter2');
  expect(secret.length).toBe(15);
});
