import type { CertificatesView, CertificateView } from './view.ts';

/** envoy.admin.v3.Certificates as JSON. */
export function certificatesJson(views: readonly CertificatesView[]): unknown {
  return {
    certificates: views.map(({ roots, chain }) => ({ ca_cert: roots.map(details), cert_chain: chain.map(details) })),
  };
}

function details({ path, certificate, daysLeft }: CertificateView): unknown {
  const { uriSans, dnsSans, ipSans } = certificate;
  return {
    path,
    serial_number: certificate.serial,
    subject_alt_names: [
      ...uriSans.map((uri) => ({ uri })),
      ...dnsSans.map((dns) => ({ dns })),
      ...ipSans.map((ip_address) => ({ ip_address })),
    ],
    // A uint64, which JSON writes as text.
    days_until_expiration: String(daysLeft),
    valid_from: timestamp(certificate.notBefore),
    expiration_time: timestamp(certificate.notAfter),
  };
}

function timestamp(wall: number): string {
  return new Date(wall).toISOString().replace('.000Z', 'Z');
}
