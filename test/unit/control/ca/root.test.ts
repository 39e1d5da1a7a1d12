import { createPublicKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { signingKey } from '../../../../src/control/ca/issue.ts';
import { type CaFiles, newRoot, nextStep, readCa } from '../../../../src/control/ca/root.ts';
import { intermediate } from './intermediate.ts';
import { DAY_MS, ecKey, x509 } from './support.ts';

const NOW = Date.UTC(2026, 0, 1);
const root = () => newRoot('cluster.local', NOW);

describe('a CA', () => {
  it('of its own has one root and no chain', () => {
    const ca = readCa(root(), NOW);
    expect(ca.chain).toEqual([]);
    expect(ca.stage).toBe('stable');
    expect(x509(ca.roots).fingerprint256).toBe(ca.certificate.fingerprint256);
    expect(ca.signing.spki.equals(createPublicKey(ca.signing.key).export({ type: 'spki', format: 'der' }))).toBe(true);
  });

  it('that is plugged in brings what lies between it and its root, in order, and never the root', () => {
    const above = root();
    const upper = intermediate(above, 'upper', NOW);
    const lower = intermediate(upper, 'lower', NOW);
    const files = { ...lower, 'root-cert.pem': above['root-cert.pem']! };
    const chain = `${above['root-cert.pem']}${upper['ca-cert.pem']}`;
    for (const given of [`${lower['ca-cert.pem']}${chain}`, chain]) {
      const ca = readCa({ ...files, 'cert-chain.pem': given }, NOW);
      expect(ca.chain.map((pem) => x509(pem).subject)).toEqual(['O=lower', 'O=upper']);
    }
    expect(() => readCa(files, NOW)).toThrow(/no certificate of root-cert.pem vouches for ca-cert.pem/);
  });

  it.each<[string, Partial<Record<string, string | undefined>>, RegExp]>([
    ['without its key', { 'ca-key.pem': undefined }, /ca-key.pem is missing/],
    ['with another key', { 'ca-key.pem': root()['ca-key.pem'] }, /is not the key of/],
    ['with another root', { 'root-cert.pem': root()['root-cert.pem'] }, /vouches/],
    ['with a text for a certificate', { 'ca-cert.pem': 'text' }, /ca-cert.pem holds no PEM certificate/],
  ])('%s is refused by the name of the file', (_, change, reason) => {
    const files = Object.fromEntries(Object.entries({ ...root(), ...change }).filter(([, text]) => text !== undefined));
    expect(() => readCa(files as CaFiles, NOW)).toThrow(reason);
  });

  it('that has expired, or is none, is refused', () => {
    expect(() => readCa(root(), NOW + 3651 * DAY_MS)).toThrow(/expired/);
    const key = ecKey();
    const leaf = intermediate(root(), 'leaf', NOW, { key, leaf: true });
    expect(() => readCa({ ...leaf, 'root-cert.pem': leaf['ca-cert.pem']! }, NOW)).toThrow(/no CA certificate/);
    expect(() => signingKey(Buffer.of(0x30, 0), key)).toThrow(RangeError);
  });
});

describe('a change of roots', () => {
  const HOLD = DAY_MS;

  it('begins a year before the end, or when somebody asks', () => {
    const files = root();
    expect(nextStep(files, 'cluster.local', NOW + 3284 * DAY_MS, HOLD)).toBeNull();
    expect(nextStep(files, 'cluster.local', NOW + 3286 * DAY_MS, HOLD)).not.toBeNull();
    const asked = nextStep({ ...files, 'rotate-root': '' }, 'cluster.local', NOW, HOLD);
    expect(asked).not.toBeNull();
    expect(asked).not.toHaveProperty('rotate-root');
  });

  it('trusts the new root before it signs, and the old one until nothing by it is left', () => {
    const before = { ...root(), 'rotate-root': '' };
    const old = readCa(before, NOW);
    const announced = nextStep(before, 'cluster.local', NOW, HOLD)!;
    const first = readCa(announced, NOW);
    expect([first.stage, first.certificate.fingerprint256]).toEqual(['announced', old.certificate.fingerprint256]);
    expect(first.roots.match(/BEGIN/g)).toHaveLength(2);
    expect(nextStep(announced, 'cluster.local', NOW + HOLD - 1, HOLD)).toBeNull();

    const signing = nextStep(announced, 'cluster.local', NOW + HOLD, HOLD)!;
    const second = readCa(signing, NOW + HOLD);
    expect(second.stage).toBe('signing');
    expect(second.certificate.fingerprint256).not.toBe(old.certificate.fingerprint256);
    expect(second.roots).toBe(first.roots);
    expect(Object.keys(signing).sort()).toEqual(['ca-cert.pem', 'ca-key.pem', 'root-cert.pem', 'rotation']);
    expect(nextStep(signing, 'cluster.local', NOW + 2 * HOLD - 1, HOLD)).toBeNull();

    const stable = nextStep(signing, 'cluster.local', NOW + 2 * HOLD, HOLD)!;
    const third = readCa(stable, NOW);
    expect([third.stage, third.roots.match(/BEGIN/g)?.length]).toEqual(['stable', 1]);
    expect(third.certificate.fingerprint256).toBe(second.certificate.fingerprint256);
    expect(nextStep(stable, 'cluster.local', NOW + 3 * HOLD, HOLD)).toBeNull();
  });
});
