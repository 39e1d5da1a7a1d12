import { expect, test } from 'vitest';
import { CertificateAges } from '../../../src/base/certificate-age.ts';

const HOUR = 3_600_000;
const one = (serial: string, notBefore = 0) => ({
  serial,
  subject: 'CN=a',
  notBefore,
  notAfter: notBefore + 100 * HOUR,
});

// pains.md row 51
test('a certificate that is not replaced is named at 50, 80 and 100 % of its life, once each', () => {
  const ages = new CertificateAges();
  const said: [hour: number, text: string][] = [];
  for (let hour = 0; hour <= 120; hour++) {
    for (const text of ages.look([['tls.crt', one('1')]], hour * HOUR)) said.push([hour, text]);
  }
  expect(said).toEqual([
    [50, 'the certificate "CN=a" of tls.crt has used 50 % of its life, to 1970-01-05T04:00:00.000Z: replace it'],
    [80, 'the certificate "CN=a" of tls.crt has used 80 % of its life, to 1970-01-05T04:00:00.000Z: replace it'],
    [100, 'the certificate "CN=a" of tls.crt expired at 1970-01-05T04:00:00.000Z: replace it'],
  ]);
});

test('its successor begins anew, one that many contexts have is said once, and what has gone is forgotten', () => {
  const ages = new CertificateAges();
  const shared = ['tls.crt', one('1')] as const;
  expect(ages.look([shared, shared], 60 * HOUR)).toHaveLength(1);
  expect(ages.look([['tls.crt', one('2', 60 * HOUR)]], 61 * HOUR)).toEqual([]);
  expect(ages.look([shared], 62 * HOUR)).toHaveLength(1);
  // Late, and seen for the first time.
  expect(ages.look([['b', one('3')]], 90 * HOUR)).toEqual([expect.stringContaining('has used 90 %')]);
});
