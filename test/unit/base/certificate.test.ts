import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { KeyUsage, readCertificate } from '../../../src/base/certificate.ts';
import { pem } from '../../support/certs/index.ts';

function read(name: string): ReturnType<typeof readCertificate> {
  return readCertificate(new X509Certificate(pem(name)).raw);
}

describe('readCertificate', () => {
  test('names are as RFC 2253 writes them: last first, escaped, other than ASCII as octets', () => {
    expect(read('client').subject).toBe('CN=client,OU=mesh,OU=Z\\C3\\BCrich,O=Acme\\, Inc.,C=CH');
    expect(read('client').issuer).toBe('CN=Intermediate A,O=Remora Test');
    expect(read('client').commonName).toBe('client');
  });

  test('subject alternative names of every kind', () => {
    expect(read('client').sans).toEqual([
      { kind: 'URI', value: 'spiffe://cluster.local/ns/default/sa/client', oid: '' },
      { kind: 'DNS', value: 'client.example.com', oid: '' },
      { kind: 'DNS', value: 'alias.example.com', oid: '' },
      { kind: 'EMAIL', value: 'client@example.com', oid: '' },
      { kind: 'IP_ADDRESS', value: '10.1.2.3', oid: '' },
      { kind: 'IP_ADDRESS', value: '2001:db8::1', oid: '' },
      { kind: 'OTHER_NAME', value: 'client@corp', oid: '1.3.6.1.4.1.311.20.2.3' },
    ]);
    expect(read('root-a').sans).toEqual([]);
  });

  test.each(['client', 'server-rsa', 'root-a', 'inter-a', 'client-expired'])('%s says what OpenSSL reads', (name) => {
    const openssl = new X509Certificate(pem(name));
    const facts = read(name);
    expect(BigInt(`0x${facts.serial}`)).toBe(BigInt(`0x${openssl.serialNumber}`));
    expect(facts.notBefore).toBe(Date.parse(openssl.validFrom));
    expect(facts.notAfter).toBe(Date.parse(openssl.validTo));
    expect(facts.isCa).toBe(openssl.ca);
    expect(facts.spki).toEqual(openssl.publicKey.export({ type: 'spki', format: 'der' }));
  });

  test('key usage', () => {
    expect(read('root-a').keyUsage! & KeyUsage.KeyCertSign).toBeTruthy();
    expect(read('root-a').keyUsage! & KeyUsage.CrlSign).toBeTruthy();
    expect(read('client').keyUsage! & KeyUsage.KeyCertSign).toBe(0);
  });

  test('cut anywhere it throws a RangeError, never anything else', () => {
    const { raw } = new X509Certificate(pem('client'));
    for (let length = 0; length < raw.length; length++) {
      expect(() => readCertificate(raw.subarray(0, length)), `${length} bytes`).toThrow(RangeError);
    }
  });

  test('with any one byte changed it is read or refused with a RangeError', () => {
    const { raw } = new X509Certificate(pem('client'));
    for (let at = 0; at < raw.length; at++) {
      for (const value of [0, 0x80, 0xff, raw[at]! ^ 1]) {
        const changed = Buffer.from(raw);
        changed[at] = value;
        try {
          readCertificate(changed);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }
    }
  });
});
