import { expect, it } from 'vitest';
import { fuzz } from '../../../fuzz/http1/fuzz.ts';

it('differs from llhttp only where a named rule says so (40,000 cases, fixed seed)', { timeout: 60_000 }, () => {
  const { failures, table, kinds } = fuzz({ cases: 40_000, seed: 1 });
  expect(failures).toEqual([]);
  expect(table.get('both accept')).toBeGreaterThan(5_000);
  expect(kinds.get('truncated')).toBeGreaterThan(5_000);
  expect(kinds.get('octet replaced')).toBeGreaterThan(1_000);
});
