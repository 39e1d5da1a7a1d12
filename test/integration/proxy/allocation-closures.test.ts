import { afterAll, expect, test, vi } from 'vitest';
import { ClosureCounter, type Closures, lines } from '../../support/allocation.ts';

// Counting begins before the proxy is loaded, or V8 would not count its blocks.
const counter = new ClosureCounter();
const { hotPath } = await import('../../support/hot-path.ts');
const { cors } = await import('../../../src/proxy/filters/cors/cors.ts');

afterAll(() => counter.end());

const REQUESTS = 200;

/** Those made for every request or for every few, by the proxy itself. */
const perRequest = (made: Closures): Map<string, number> =>
  new Map([...made].filter(([place, count]) => place.startsWith('src/') && count > REQUESTS / 10));

test('a request makes no closure', async () => {
  const path = await hotPath();
  await path.run(50);
  const made = perRequest(await counter.during(() => path.run(REQUESTS)));
  expect(lines(made, REQUESTS, 1)).toEqual([]);
});

test('the count of closures sees a filter that makes one, and in which branch', async () => {
  const kept: unknown[] = [];
  const create = vi.spyOn(cors, 'create').mockReturnValue({
    onRequestHead: function wasteful(stream) {
      if (kept.length < 0) kept.push(() => stream.generation + 1);
      kept[0] = () => stream.generation;
      return 0;
    },
  });
  const path = await hotPath();
  await path.run(50);
  const made = await counter.during(() => path.run(REQUESTS));
  create.mockRestore();
  const wasteful = [...made].filter(([place]) => place.includes(' wasteful > '));
  expect(wasteful.map(([, count]) => count)).toEqual([REQUESTS]);
});
