import { expect, test } from 'vitest';
import { compileTimeFormat, formatIsoTime } from '../../../../../src/proxy/telemetry/accesslog/time.ts';

test('the cached time equals the platform’s, forwards and backwards', () => {
  const start = Date.UTC(2024, 1, 29, 23, 59, 59, 990);
  for (const step of [0, 1, 9, 10, 11, 999, 1000, -5, 86_400_000, 0.5]) {
    expect(formatIsoTime(start + step)).toBe(new Date(Math.floor(start + step)).toISOString());
  }
});

test('local time is the platform’s zone', () => {
  const wall = Date.UTC(2024, 6, 1, 12, 0, 0, 7);
  const date = new Date(wall);
  const two = (n: number) => String(n).padStart(2, '0');
  const { ok } = compileTimeFormat('%H:%M:%S.%3f', true);
  expect(ok?.(wall)).toBe(`${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.007`);
});

test('a format that ends inside a conversion is refused', () => {
  expect(compileTimeFormat('%Y%', false).error).toMatch(/ends/);
});
