import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { readCertificate } from '../../../../src/base/certificate.ts';
import { leafCertificate, rootCertificate, signatureOf, signingKey } from '../../../../src/control/ca/issue.ts';
import { CALLER_ID, ecKey, x509 } from './support.ts';

const NOW = Date.UTC(2026, 0, 1);
const spkiOf = (key: ReturnType<typeof ecKey>) => createPublicKey(key).export({ type: 'spki', format: 'der' });

function root(key = ecKey()) {
  const times = { notBefore: NOW, notAfter: NOW + 1e10 };
  const pem = rootCertificate(
    { organization: 'cluster.local', trustDomain: 'cluster.local', spki: spkiOf(key), ...times },
    key,
  );
  return { pem, certificate: x509(pem), by: signingKey(x509(pem).raw, key) };
}

describe('certificates', () => {
  it.each([
    ['ECDSA P-256', ecKey()],
    ['ECDSA P-384', ecKey('secp384r1')],
    ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey],
  ])('by a root of %s verify, and are leaves of SPIFFE', (_, key) => {
    const { certificate, by } = root(key);
    const spki = spkiOf(ecKey());
    const leaf = x509(
      leafCertificate({ spki, uris: [CALLER_ID], dns: [], notBefore: NOW - 1000, notAfter: NOW + 60_000 }, by),
    );
    expect(leaf.verify(certificate.publicKey)).toBe(true);
    expect(leaf.checkIssued(certificate)).toBe(true);
    const facts = readCertificate(leaf.raw);
    expect(facts.sans).toEqual([{ kind: 'URI', value: CALLER_ID, oid: '' }]);
    expect([facts.isCa, facts.subject, facts.notBefore, facts.notAfter]).toEqual([false, '', NOW - 1000, NOW + 60_000]);
    expect(facts.spki.equals(spki)).toBe(true);
    // digitalSignature and keyEncipherment, and neither keyCertSign nor cRLSign (X509-SVID, 4.3).
    expect(facts.keyUsage).toBe(0b101);
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    // The name is critical where the subject is empty: OID, then TRUE.
    expect(leaf.raw.toString('hex')).toContain('0603551d110101ff');
  });

  it('of servers have DNS names', () => {
    const { by } = root();
    const leaf = x509(
      leafCertificate({ spki: spkiOf(ecKey()), uris: [], dns: ['a.svc'], notBefore: NOW, notAfter: NOW + 1000 }, by),
    );
    expect(leaf.subjectAltName).toBe('DNS:a.svc');
    expect(leaf.checkHost('a.svc')).toBe('a.svc');
  });

  it('never have the same serial number, which is positive', () => {
    const { by } = root();
    const options = { spki: spkiOf(ecKey()), uris: [CALLER_ID], dns: [], notBefore: NOW, notAfter: NOW + 1000 };
    const serials = Array.from({ length: 50 }, () => x509(leafCertificate(options, by)).serialNumber);
    expect(new Set(serials).size).toBe(50);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  it('of roots sign themselves and may sign others', () => {
    const { certificate } = root();
    expect(certificate.ca).toBe(true);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    const facts = readCertificate(certificate.raw);
    expect([facts.isCa, facts.keyUsage, facts.subject]).toEqual([true, 0b1100000, 'O=cluster.local']);
    expect(facts.sans).toEqual([{ kind: 'URI', value: 'spiffe://cluster.local', oid: '' }]);
  });

  it('are not signed by keys of other kinds', () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    expect(() => signatureOf(privateKey)).toThrow(/ed25519/);
  });
});
