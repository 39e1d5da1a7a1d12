import type { X509Certificate } from 'node:crypto';
import { KeyUsage } from '../../base/certificate.ts';
import type { CertificateValidation } from '../../model/tls.ts';
import { type Certificate, presentedChain } from './certificate-info.ts';
import { compileSanMatcher, type SanTest, sanCovers } from './san-match.ts';

/** Why a peer is not let in, by the counter of Envoy's that counts it. */
export interface PeerFailure {
  readonly stat: 'fail_verify_no_cert' | 'fail_verify_error' | 'fail_verify_san' | 'fail_verify_cert_hash';
  /** For the log and `%UPSTREAM_TRANSPORT_FAILURE_REASON%`. */
  readonly reason: string;
}

/** What came of verifying a peer. */
export interface PeerVerdict {
  /** null: it is let in. */
  readonly failure: PeerFailure | null;
  /** Its certificate was verified, and held. */
  readonly validated: boolean;
  /** Counted as a failure although it is let in (`ACCEPT_UNTRUSTED`). */
  readonly forgiven?: PeerFailure['stat'];
}

/** OpenSSL's verdict on a chain: its code, such as `CERT_HAS_EXPIRED`; '' when it held. */
export type ChainResult = string;

const ACCEPTED: PeerVerdict = { failure: null, validated: true };
const UNVERIFIED: PeerVerdict = { failure: null, validated: false };
const FORGIVEN_CHAIN: PeerVerdict = { failure: null, validated: false, forgiven: 'fail_verify_error' };
const EXPIRY: ReadonlySet<ChainResult> = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);
/** Names in a reason: a certificate may hold thousands. */
const MAX_NAMES = 5;

/**
 * Decides whether a peer is let in (Envoy: default_validator.cc, spiffe_validator.cc). OpenSSL has verified the
 * chain against the roots of the context by then; what it cannot be told, this looks at itself.
 */
export class PeerValidator {
  readonly #config: CertificateValidation;
  /** Roots in force, of every trust domain. */
  readonly #roots: readonly Certificate[];
  readonly #domains: ReadonlyMap<string, readonly Certificate[]> | null;
  readonly #sans: readonly SanTest[];
  readonly #hashes: ReadonlySet<string>;
  readonly #spki: ReadonlySet<string>;
  readonly #now: () => number;

  constructor(
    config: CertificateValidation,
    roots: readonly Certificate[],
    domains: ReadonlyMap<string, readonly Certificate[]> | null,
    now: () => number,
  ) {
    this.#config = config;
    this.#roots = roots;
    this.#domains = domains;
    this.#now = now;
    const typed = domains === null ? config.sans : config.sans.filter(({ kind }) => kind === 'URI');
    this.#sans = typed.map(compileSanMatcher);
    this.#hashes = new Set(config.hashes);
    this.#spki = new Set(config.spki);
  }

  /** Whether the chain must lead to a root. */
  get verifiesChain(): boolean {
    return this.#domains !== null || this.#config.trustedCa !== null || this.#config.systemRoots;
  }
  /** Whether a peer without a certificate is refused although nobody said that it needs one. */
  get needsCertificate(): boolean {
    const { acceptUntrusted } = this.#config;
    return this.#domains !== null || (!acceptUntrusted && this.#pinsLeaf);
  }
  /** Whether it has anything to look at: with a context that says nothing no certificate is asked for. */
  get asks(): boolean {
    return this.verifiesChain || this.#pinsLeaf || this.#config.acceptUntrusted;
  }
  /** Whether it reads the chain itself, which a resumed session does not bring along. */
  get readsChain(): boolean {
    return this.#domains !== null || this.#config.allowExpired || this.#config.maxDepth !== null;
  }
  get #pinsLeaf(): boolean {
    return this.#sans.length > 0 || this.#hashes.size > 0 || this.#spki.size > 0;
  }

  /** `serverName`: a name that the certificate must cover besides; '' none. */
  check(peer: Certificate | null, chain: ChainResult, serverName = ''): PeerVerdict {
    if (peer === null) {
      return this.needsCertificate ? refused('fail_verify_no_cert', 'the peer sent no certificate') : UNVERIFIED;
    }
    const { acceptUntrusted } = this.#config;
    if (this.verifiesChain) {
      const reason = this.#chainFailure(peer, chain);
      if (reason !== '') return acceptUntrusted ? FORGIVEN_CHAIN : refused('fail_verify_error', reason);
    }
    const failure = this.#leafFailure(peer, serverName);
    if (failure !== null) {
      return acceptUntrusted
        ? { failure: null, validated: false, forgiven: failure.stat }
        : { failure, validated: false };
    }
    return this.verifiesChain || this.#pinsLeaf || serverName !== '' ? ACCEPTED : UNVERIFIED;
  }

  /** '' when the chain holds. */
  #chainFailure(peer: Certificate, chain: ChainResult): string {
    let roots = this.#roots;
    if (this.#domains !== null) {
      // SPIFFE X509-SVID, 5.2: a leaf signs nothing.
      const { isCa, keyUsage } = peer.facts;
      if (isCa || ((keyUsage ?? 0) & (KeyUsage.KeyCertSign | KeyUsage.CrlSign)) !== 0) {
        return 'certificate verify failed: the SVID is a CA certificate';
      }
      const domain = trustDomainOf(peer.uriSans[0] ?? '');
      const bundle = this.#domains.get(domain);
      if (bundle === undefined) {
        return `certificate verify failed: no trust bundle for trust domain ${JSON.stringify(domain)}`;
      }
      roots = bundle;
    }
    const expiryForgiven = this.#config.allowExpired && EXPIRY.has(chain);
    if (chain !== '' && !expiryForgiven) return `certificate verify failed: ${wordsOf(chain)}`;
    if (!this.readsChain) return '';
    // OpenSSL names the last thing it found wrong, and times come last: behind an expiry anything may hide.
    const depth = pathDepth(peer.x509, roots, expiryForgiven ? null : this.#now());
    if (depth < 0) return 'certificate verify failed: no path to a trusted root';
    const { maxDepth } = this.#config;
    // It counts the CAs, the trusted one too, which no chain is without.
    if (maxDepth !== null && depth + 1 > Math.max(1, maxDepth)) {
      return `certificate verify failed: ${depth + 1} CA certificates above it, more than max_verify_depth ${maxDepth}`;
    }
    return '';
  }

  #leafFailure(peer: Certificate, serverName: string): PeerFailure | null {
    const { sans } = peer.facts;
    if (serverName !== '' && !sans.some((san) => sanCovers(san, serverName))) {
      return {
        stat: 'fail_verify_san',
        reason: `certificate verify failed: it is not for ${JSON.stringify(serverName)}, but for ${namesOf(peer)}`,
      };
    }
    if (this.#sans.length > 0 && !sans.some((san) => this.#sans.some((test) => test(san)))) {
      return {
        stat: 'fail_verify_san',
        reason: `certificate verify failed: no subject alternative name matches, it has ${namesOf(peer)}`,
      };
    }
    if (this.#hashes.size === 0 && this.#spki.size === 0) return null;
    if (this.#hashes.has(peer.fingerprint256)) return null;
    if (this.#spki.size > 0) {
      const { hash } = process.getBuiltinModule('node:crypto');
      if (this.#spki.has(hash('sha256', peer.facts.spki, 'base64'))) return null;
    }
    return {
      stat: 'fail_verify_cert_hash',
      reason: 'certificate verify failed: neither its hash nor that of its key is among those allowed',
    };
  }
}

function refused(stat: PeerFailure['stat'], reason: string): PeerVerdict {
  return { failure: { stat, reason }, validated: false };
}

function namesOf(peer: Certificate): string {
  const { sans } = peer.facts;
  if (sans.length === 0) return 'none';
  const shown = sans.slice(0, MAX_NAMES).map(({ value }) => JSON.stringify(value));
  return shown.join(', ') + (sans.length > MAX_NAMES ? ', …' : '');
}

/** `spiffe://cluster.local/ns/x` → `cluster.local`; '' for any other name. */
export function trustDomainOf(uri: string): string {
  return /^spiffe:\/\/([^/]+)\//.exec(uri)?.[1] ?? '';
}

/** `UNABLE_TO_GET_ISSUER_CERT_LOCALLY` → `unable to get issuer cert locally` */
function wordsOf(code: ChainResult): string {
  return code.toLowerCase().replaceAll('_', ' ');
}

/**
 * How many intermediates lie between a leaf and the root that vouches for it; -1 when none does. Signatures, names,
 * the CA flag and, with a time, validity are looked at; the rest OpenSSL has.
 */
function pathDepth(leaf: X509Certificate, roots: readonly Certificate[], now: number | null): number {
  let current = leaf;
  const presented = presentedChain(leaf).slice(1);
  for (let depth = 0; depth <= presented.length; depth++) {
    // A trusted certificate may be sent along, or be the leaf itself (partial chains are enough).
    const self = roots.find(({ x509 }) => x509.raw.equals(current.raw));
    if (self !== undefined) return isCurrent(self, now) ? Math.max(0, depth - 1) : -1;
    const root = roots.find((one) => isCurrent(one, now) && vouches(one.x509, current));
    if (root !== undefined) return depth;
    const next = presented.find((one) => one !== current && vouches(one, current));
    if (next === undefined) return -1;
    current = next;
  }
  return -1;
}

function vouches(issuer: X509Certificate, subject: X509Certificate): boolean {
  return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

function isCurrent({ notBefore, notAfter }: Certificate, now: number | null): boolean {
  return now === null || (notBefore <= now && now <= notAfter);
}
