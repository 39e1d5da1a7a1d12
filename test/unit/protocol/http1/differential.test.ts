import { expect, it } from 'vitest';
import { fuzz } from '../../../fuzz/http1/fuzz.ts';

it('differs from llhttp only where a named rule says so (20,000 cases, fixed seed)', { timeout: 60_000 }, () => {
  const { failures, table } = fuzz({ cases: 20_000, seed: 1 });
  expect(failures).toEqual([]);
  expect(table.get('both accept')).toBeGreaterThan(4_000);
});
