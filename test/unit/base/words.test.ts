import { expect, it } from 'vitest';
import { count, duration } from '../../../src/base/words.ts';

it('says durations as people do', () => {
  expect([0, 25, 1500, 90_000, 300_000].map(duration)).toEqual(['none', '25 ms', '1.5 s', '90 s', '5 min']);
});

it('counts', () => {
  expect([count(1, 'proxy', 'proxies'), count(0, 'proxy', 'proxies'), count(2, 'route')]).toEqual([
    '1 proxy',
    '0 proxies',
    '2 routes',
  ]);
});
