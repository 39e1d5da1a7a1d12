import { expect, it } from 'vitest';
import { newRoot } from '../../../../src/control/ca/root.ts';
import { readBundle, writeBundle } from '../../../../src/control/ca/trust-bundle.ts';
import { DAY_MS, x509 } from './support.ts';

const NOW = Date.UTC(2026, 0, 1);
const root = (now: number): string => newRoot('cluster.local', now)['root-cert.pem']!;

it('a bundle has each root once, in order, and none that has expired', () => {
  const [a, b, old] = [root(NOW), root(NOW), root(NOW - 4000 * DAY_MS)];
  const bundle = readBundle([a, old, b, a].join('\n'), NOW);
  expect(bundle.map(({ fingerprint256 }) => fingerprint256)).toEqual([x509(a).fingerprint256, x509(b).fingerprint256]);
  expect(writeBundle([...bundle, x509(a)])).toBe(`${a}${b}`);
  expect(() => readBundle('nothing', NOW)).toThrow(/holds no PEM certificate/);
});
