import { expect, test } from 'vitest';
import { interned } from '../../../src/base/interned.ts';

test('is the same text, whatever a property of that name would mean', () => {
  for (const text of ['', 'outbound|9080||reviews.default.svc.cluster.local', '17', '__proto__', 'constructor', 'é']) {
    expect(interned(text)).toBe(text);
  }
});
