import type { X509Certificate } from 'node:crypto';
import { type CertificateFacts, readCertificate, type SubjectAltName } from '../../base/certificate.ts';
import type { CertificateInfo } from '../telemetry/tls-info.ts';

/** A certificate of ours or of a peer: read once, its texts made when somebody asks. */
export class Certificate implements CertificateInfo {
  readonly x509: X509Certificate;
  readonly facts: CertificateFacts;
  #uriSans: readonly string[] | null = null;
  #dnsSans: readonly string[] | null = null;
  #fingerprint256 = '';

  /** Throws RangeError when it cannot be read. */
  constructor(x509: X509Certificate) {
    this.x509 = x509;
    this.facts = readCertificate(x509.raw);
  }

  get subject(): string {
    return this.facts.subject;
  }
  get issuer(): string {
    return this.facts.issuer;
  }
  get serial(): string {
    return this.facts.serial;
  }
  get notBefore(): number {
    return this.facts.notBefore;
  }
  get notAfter(): number {
    return this.facts.notAfter;
  }
  get uriSans(): readonly string[] {
    this.#uriSans ??= this.#sans('URI');
    return this.#uriSans;
  }
  get dnsSans(): readonly string[] {
    this.#dnsSans ??= this.#sans('DNS');
    return this.#dnsSans;
  }
  get ipSans(): readonly string[] {
    return this.#sans('IP_ADDRESS');
  }
  get emailSans(): readonly string[] {
    return this.#sans('EMAIL');
  }
  get fingerprint256(): string {
    if (this.#fingerprint256 === '') this.#fingerprint256 = hexOf(this.x509.fingerprint256);
    return this.#fingerprint256;
  }
  get fingerprint1(): string {
    return hexOf(this.x509.fingerprint);
  }
  get pem(): string {
    return this.x509.toString();
  }
  get chainPem(): string {
    let text = '';
    for (const one of presentedChain(this.x509)) text += one.toString();
    return text;
  }

  #sans(kind: SubjectAltName['kind']): string[] {
    return this.facts.sans.filter((san) => san.kind === kind).map(({ value }) => value);
  }
}

/** A chain longer than this is not followed further; OpenSSL's own limit on what is sent is of that order. */
const MAX_CHAIN = 100;

/** The leaf and what the peer sent behind it. */
export function presentedChain(leaf: X509Certificate): X509Certificate[] {
  const chain: X509Certificate[] = [];
  for (let one: X509Certificate | undefined = leaf; one !== undefined && chain.length < MAX_CHAIN; ) {
    chain.push(one);
    one = one.issuerCertificate;
  }
  return chain;
}

function hexOf(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase();
}
