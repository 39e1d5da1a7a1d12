import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { certificatesJson } from '../../../../src/proxy/admin/certs.ts';
import { Certificate } from '../../../../src/proxy/tls/certificate-info.ts';
import { pem } from '../../../support/certs/index.ts';

test('envoy.admin.v3.Certificates', () => {
  const certificate = new Certificate(new X509Certificate(pem('client')));
  const root = new Certificate(new X509Certificate(pem('root-a')));
  const json = certificatesJson([
    {
      roots: [{ path: '<inline>', certificate: root, daysLeft: 7 }],
      chain: [{ path: '/a.pem', certificate, daysLeft: 0 }],
    },
  ]);
  expect(json).toEqual({
    certificates: [
      {
        ca_cert: [
          {
            path: '<inline>',
            serial_number: root.serial,
            subject_alt_names: [],
            days_until_expiration: '7',
            valid_from: '2020-01-01T00:00:00Z',
            expiration_time: '2120-01-01T00:00:00Z',
          },
        ],
        cert_chain: [
          {
            path: '/a.pem',
            serial_number: certificate.serial,
            subject_alt_names: [
              { uri: 'spiffe://cluster.local/ns/default/sa/client' },
              { dns: 'client.example.com' },
              { dns: 'alias.example.com' },
              { ip_address: '10.1.2.3' },
              { ip_address: '2001:db8::1' },
            ],
            days_until_expiration: '0',
            valid_from: '2020-01-01T00:00:00Z',
            expiration_time: '2120-01-01T00:00:00Z',
          },
        ],
      },
    ],
  });
});
