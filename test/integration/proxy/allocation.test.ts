import { expect, test, vi } from 'vitest';
import { cors } from '../../../src/proxy/filters/cors/cors.ts';
import { type Bytes, bytesAllocated, lines, promisesMade } from '../../support/allocation.ts';
import { hotPath } from '../../support/hot-path.ts';

const REQUESTS = 400;
/** Until the engine has compiled what runs for every request. */
const WARM_UP = 2500;
/**
 * Measured: 3.9 to 4.0 KB, most of them the two heads and the request id. Raise it only for a feature that needs the
 * bytes: they cost their share of a garbage collection for every request.
 */
const MOST_BYTES = 4500;

const sum = (bytes: Bytes, test: (place: string) => boolean): number =>
  [...bytes].reduce((total, [place, count]) => total + (test(place) ? count : 0), 0) / REQUESTS;

test('a request makes no promise', async () => {
  const path = await hotPath();
  await path.run(50);
  const made = await promisesMade(() => path.run(REQUESTS));
  expect(lines(made, REQUESTS, 1)).toEqual([]);
});

test('the count of promises sees a filter that makes one', async () => {
  const create = vi.spyOn(cors, 'create').mockReturnValue({
    onRequestHead: () => {
      void Promise.resolve();
      return 0;
    },
  });
  const path = await hotPath();
  await path.run(50);
  const made = await promisesMade(() => path.run(REQUESTS));
  create.mockRestore();
  expect([...made.values()]).toEqual([REQUESTS]);
  expect([...made.keys()][0]).toContain('onRequestHead');
});

test('a request allocates no more bytes than it is allowed, and RBAC none', async () => {
  const path = await hotPath();
  await path.run(WARM_UP);
  const bytes = await bytesAllocated(() => path.run(REQUESTS));
  const total = sum(bytes, (place) => place.startsWith('src/'));
  if (total > MOST_BYTES)
    expect(lines(bytes, REQUESTS, 0).slice(0, 20)).toEqual(`at most ${MOST_BYTES} bytes a request`);
  // The bound means something only while the profile sees the request's path.
  expect(total).toBeGreaterThan(MOST_BYTES / 4);
  expect(sum(bytes, (place) => /^src\/proxy\/(filters\/rbac|matcher)\//.test(place))).toBeLessThan(16);
});

test('the count of bytes sees a filter that allocates', async () => {
  const kept: unknown[] = [];
  const create = vi.spyOn(cors, 'create').mockReturnValue({
    onRequestHead: function wasteful() {
      kept[0] = new Array(250).fill(kept.length);
      return 0;
    },
  });
  const path = await hotPath();
  await path.run(WARM_UP);
  const bytes = await bytesAllocated(() => path.run(REQUESTS));
  create.mockRestore();
  const wasted = sum(bytes, (place) => place.endsWith(' wasteful'));
  expect(wasted).toBeGreaterThan(1500);
  expect(wasted).toBeLessThan(2500);
});
