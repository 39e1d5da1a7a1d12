import { afterEach, describe, expect, test } from 'vitest';
import { startRatings } from '../../../src/demo/ratings.ts';
import type { RunningService } from '../../../src/demo/service.ts';
import type { SicknessOptions } from '../../../src/demo/sickness.ts';

const running: RunningService[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((service) => service.close()));
});

async function ratings(options: SicknessOptions = {}) {
  const service = await startRatings({ pod: 'ratings-v1-abc', ...options });
  running.push(service);
  return async (path: string, init?: RequestInit) => {
    const response = await fetch(`http://127.0.0.1:${service.port}${path}`, init);
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
}
const post = (body: unknown) => ({ method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) });

describe('ratings', () => {
  test('answers the sample’s stars', async () => {
    const call = await ratings();
    expect(await call('/ratings/0')).toEqual({ status: 200, body: { id: 0, ratings: { Reviewer1: 5, Reviewer2: 4 } } });
    expect((await call('/health')).body).toEqual({ status: 'Ratings is healthy' });
  });

  test('keeps what was posted, for that book only', async () => {
    const call = await ratings();
    const set = { status: 200, body: { id: 0, ratings: { Reviewer1: 1 } } };
    expect(await call('/ratings/0', post({ Reviewer1: 1 }))).toEqual(set);
    expect(await call('/ratings/0')).toEqual(set);
    expect((await call('/ratings/1')).body.ratings).toEqual({ Reviewer1: 5, Reviewer2: 4 });
  });

  test.each([
    ['no JSON', 'stars!', 400],
    ['a list', [5, 4], 400],
    ['more than 5 stars', { Reviewer1: 6 }, 400],
    ['words for stars', { Reviewer1: 'five' }, 400],
    ['a body that is too long', 'x'.repeat(20_000), 413],
  ])('refuses %s', async (_what, body, status) => {
    const call = await ratings();
    expect((await call('/ratings/0', post(body))).status).toBe(status);
    expect((await call('/ratings/0')).body.ratings).toEqual({ Reviewer1: 5, Reviewer2: 4 });
  });

  test('refuses ids that are no numbers', async () => {
    const call = await ratings();
    expect(await call('/ratings/x')).toEqual({ status: 400, body: { error: 'please provide numeric product ID' } });
    expect((await call('/ratings/x', post({}))).status).toBe(400);
  });

  test('only v1 can be written to', async () => {
    const call = await ratings({ version: 'v2' });
    expect((await call('/ratings/0', post({ Reviewer1: 1 }))).status).toBe(501);
  });
});

describe('a sick instance', () => {
  test('answers everything with its status until it is healed', async () => {
    const call = await ratings();
    expect(await call('/sick?status=503', { method: 'POST' })).toEqual({
      status: 200,
      body: { pod: 'ratings-v1-abc', sick: 503 },
    });
    expect((await call('/ratings/0')).status).toBe(503);
    expect((await call('/health')).status).toBe(503);
    expect((await call('/sick')).body.sick).toBe(503);
    await call('/sick?status=0', { method: 'POST' });
    expect((await call('/ratings/0')).status).toBe(200);
  });

  test('can start sick, and says who it is', async () => {
    const call = await ratings({ sick: 500 });
    expect(await call('/ratings/0')).toEqual({
      status: 500,
      body: { error: 'ratings-v1-abc is sick: it was told to answer 500' },
    });
  });

  test.each(['', '?status=', '?status=200', '?status=600', '?status=5e2', '?status=-503'])(
    'refuses /sick%s',
    async (query) => {
      const call = await ratings();
      expect((await call(`/sick${query}`, { method: 'POST' })).status).toBe(400);
      expect((await call('/ratings/0')).status).toBe(200);
    },
  );

  test('a slow one waits before each answer', async () => {
    const waits: number[] = [];
    const call = await ratings({ slowMs: 2000, sleep: async (ms) => void waits.push(ms) });
    await call('/ratings/0');
    await call('/sick');
    await call('/health');
    expect(waits).toEqual([2000, 2000]);
  });
});
