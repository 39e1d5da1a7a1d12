import { describe, expect, test } from 'vitest';
import { opensslReason, PemError, parseCertificates, parseCrls, parsePrivateKey } from '../../../src/base/pem.ts';
import { key, pem } from '../../support/certs/index.ts';

const bytes = (text: string): Buffer => Buffer.from(text);

describe('parseCertificates', () => {
  test('a chain, in order', () => {
    expect(parseCertificates(bytes(pem('client-chain'))).map((one) => /CN=(.*)/.exec(one.subject)?.[1])).toEqual([
      'client',
      'Intermediate A',
    ]);
  });
  test.each([
    ['', 'is empty'],
    ['hello', 'holds no PEM certificate (-----BEGIN CERTIFICATE-----)'],
    [key('server'), 'holds no PEM certificate (-----BEGIN CERTIFICATE-----)'],
    [
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      /^certificate 1 of 1 cannot be read: [a-z0-9 ]+$/,
    ],
    [
      `${pem('server')}-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n`,
      /^certificate 2 of 2 cannot be read: [a-z0-9 ]+$/,
    ],
    ['x'.repeat(1024 * 1024 + 1), 'is larger than 1048576 bytes'],
  ])('%#: says what is wrong', (text, message) => {
    expect(() => parseCertificates(bytes(text))).toThrow(PemError);
    expect(() => parseCertificates(bytes(text))).toThrow(message);
  });
});

describe('parsePrivateKey', () => {
  test('a plain key, and an encrypted one with its password', () => {
    const plain = parsePrivateKey(bytes(key('server')), null);
    const decrypted = parsePrivateKey(bytes(key('server-encrypted')), bytes('secret'));
    expect(decrypted.equals(plain)).toBe(true);
  });
  test.each([
    ['', null, 'is empty'],
    [' '.repeat(1024 * 1024 + 1), null, 'is larger than 1048576 bytes'],
    [pem('server'), null, 'holds no PEM private key (-----BEGIN PRIVATE KEY-----)'],
    [key('server-encrypted'), null, 'is encrypted: give its password'],
    [key('server-encrypted'), 'wrong', 'cannot be decrypted with the password given'],
    ['-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n', null, /^cannot be read: [a-z0-9 ]+$/],
  ])('%#: says what is wrong, and nothing of the key', (text, password, message) => {
    expect(() => parsePrivateKey(bytes(text), password === null ? null : bytes(password))).toThrow(PemError);
    expect(() => parsePrivateKey(bytes(text), password === null ? null : bytes(password))).toThrow(message);
  });
});

test('parseCrls finds the lists', () => {
  expect(parseCrls(bytes(pem('crl-a')))).toHaveLength(1);
  expect(() => parseCrls(bytes(pem('server')))).toThrow('holds no PEM revocation list');
});

test('opensslReason leaves numbers and source lines out', () => {
  const error = new Error('4073:error:0A00009C:SSL routines:tls_validate_record_header:http request:../deps/x.c:68:\n');
  expect(opensslReason(error)).toBe('http request');
  expect(opensslReason(new Error('read ECONNRESET'))).toBe('read econnreset');
});
