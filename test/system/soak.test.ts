import { expect, test } from 'vitest';
import { soak } from '../soak/soak.ts';

test('twenty seconds of mixed traffic, churn, resets and aborts leave nothing behind', {
  timeout: 180_000,
}, async () => {
  const { problems, tally, configs } = await soak({ seconds: 20, clients: 8, seed: 1, report: () => {} });
  expect(problems).toEqual([]);
  expect(tally.done.size).toBe(13);
  expect(configs).toBeGreaterThan(10);
});
