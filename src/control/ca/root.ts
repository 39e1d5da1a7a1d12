import { generateKeyPairSync, type KeyObject, type X509Certificate } from 'node:crypto';
import { messageOf } from '../../base/errors.ts';
import { parseCertificates, parsePrivateKey } from '../../base/pem.ts';
import { BACKDATE_MS, rootCertificate, type SigningKey, signatureOf, signingKey } from './issue.ts';
import { readBundle, writeBundle } from './trust-bundle.ts';

/** The texts of a CA by the names that Istio's `cacerts` has; a Secret and a folder hold the same. */
export type CaFiles = Readonly<Record<string, string>>;

export const CA_CERT = 'ca-cert.pem';
export const CA_KEY = 'ca-key.pem';
export const ROOT_CERT = 'root-cert.pem';
export const CERT_CHAIN = 'cert-chain.pem';
const NEXT_CERT = 'next-cert.pem';
const NEXT_KEY = 'next-key.pem';
const ROTATION = 'rotation';
/** Whoever writes a key or a file of this name asks for a new root. */
export const ROTATE_NOW = 'rotate-root';

const YEAR_MS = 365 * 86_400_000;
const ROOT_MS = 10 * YEAR_MS;
/** A root is replaced when so much of its life is left. */
const RENEW_BEFORE_MS = YEAR_MS;

/** A CA as it signs now. */
export interface CaMaterial {
  readonly signing: SigningKey;
  readonly certificate: X509Certificate;
  /** PEM, each certificate alone: from the one that signs up to below the root; empty where the root signs itself. */
  readonly chain: readonly string[];
  /** PEM of all that is trusted. */
  readonly roots: string;
  /** `stable`: one root; `announced`: the next one is trusted and does not sign; `signing`: it does, the last is still trusted. */
  readonly stage: RotationStage;
}

export type RotationStage = 'stable' | 'announced' | 'signing';

/** Why a CA cannot be used: one sentence that names the file. */
export class CaError extends Error {}

/** A new root that signs for itself, as files. */
export function newRoot(trustDomain: string, now: number): CaFiles {
  const { certificate, key } = makeRoot(trustDomain, now);
  return { [CA_CERT]: certificate, [CA_KEY]: key, [ROOT_CERT]: certificate };
}

function makeRoot(trustDomain: string, now: number): { certificate: string; key: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const certificate = rootCertificate(
    {
      organization: trustDomain,
      trustDomain,
      spki: publicKey.export({ type: 'spki', format: 'der' }),
      notBefore: now - BACKDATE_MS,
      notAfter: now + ROOT_MS,
    },
    privateKey,
  );
  return { certificate, key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })) };
}

/** Reads and checks a CA: key and certificate belong together, it may sign, and a root vouches for it. Throws CaError. */
export function readCa(files: CaFiles, now: number): CaMaterial {
  const certificate = read(files, CA_CERT, (text) => parseCertificates(Buffer.from(text))[0]!);
  const key = read(files, CA_KEY, (text) => parsePrivateKey(Buffer.from(text), null));
  const roots = read(files, ROOT_CERT, (text) => readBundle(text, now));
  const given =
    files[CERT_CHAIN] === undefined || files[CERT_CHAIN].trim() === ''
      ? []
      : read(files, CERT_CHAIN, (text) => parseCertificates(Buffer.from(text)));
  if (!certificate.checkPrivateKey(key)) throw new CaError(`${CA_KEY} is not the key of ${CA_CERT}`);
  if (!certificate.ca) throw new CaError(`${CA_CERT} is no CA certificate (basicConstraints CA:TRUE)`);
  if (certificate.validToDate.getTime() <= now) throw new CaError(`${CA_CERT} expired on ${certificate.validTo}`);
  checkSigns(key);
  const chain = chainOf(certificate, given, roots);
  return {
    signing: signingKey(certificate.raw, key),
    certificate,
    chain: chain.map((one) => writeBundle([one])),
    roots: writeBundle(roots),
    stage: rotationOf(files)?.stage ?? 'stable',
  };
}

function checkSigns(key: KeyObject): void {
  try {
    signatureOf(key);
  } catch (error) {
    throw new CaError(`${CA_KEY}: ${messageOf(error)}`);
  }
}

function read<T>(files: CaFiles, name: string, parse: (text: string) => T): T {
  const text = files[name];
  if (text === undefined) throw new CaError(`${name} is missing`);
  try {
    return parse(text);
  } catch (error) {
    throw new CaError(`${name} ${messageOf(error)}`);
  }
}

/** What a peer needs between a leaf and a root, in order. Throws CaError where that does not reach one. */
function chainOf(
  certificate: X509Certificate,
  given: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): X509Certificate[] {
  const chain: X509Certificate[] = [];
  const isRoot = (one: X509Certificate): boolean => roots.some((root) => root.raw.equals(one.raw));
  let current = certificate;
  while (!isRoot(current)) {
    chain.push(current);
    const { issuer } = { issuer: [...roots, ...given].find((one) => vouches(one, current)) };
    if (issuer === undefined || chain.includes(issuer)) {
      throw new CaError(
        `no certificate of ${ROOT_CERT} vouches for ${CA_CERT}: add what lies between to ${CERT_CHAIN}, or the right root`,
      );
    }
    current = issuer;
  }
  return chain;
}

function vouches(issuer: X509Certificate, subject: X509Certificate): boolean {
  return (
    !issuer.raw.equals(subject.raw) && issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey)
  );
}

interface Rotation {
  readonly stage: Exclude<RotationStage, 'stable'>;
  /** Wall time at which the stage began. */
  readonly since: number;
}

function rotationOf(files: CaFiles): Rotation | null {
  const [stage, since] = (files[ROTATION] ?? '').split(' ');
  if (stage !== 'announced' && stage !== 'signing') return null;
  return { stage, since: Number(since) || 0 };
}

/**
 * The next step of a change of roots; null where none is due. A new root is trusted by all (`announced`) before it signs
 * anything (`signing`), and the old one is dropped when nothing that it signed is valid any more. Each stage lasts for
 * `holdMs`, in which every proxy has renewed its certificate and so got the bundle that is in force.
 */
export function nextStep(files: CaFiles, trustDomain: string, now: number, holdMs: number): CaFiles | null {
  const rotation = rotationOf(files);
  const { [ROTATION]: _, [NEXT_CERT]: nextCert = '', [NEXT_KEY]: nextKey = '', [ROTATE_NOW]: asked, ...base } = files;
  if (rotation === null) {
    const [root] = parseCertificates(Buffer.from(files[CA_CERT] ?? ''));
    if (asked === undefined && root!.validToDate.getTime() - now > RENEW_BEFORE_MS) return null;
    const { certificate, key } = makeRoot(trustDomain, now);
    const roots = `${files[ROOT_CERT] ?? ''}${certificate}`;
    return { ...base, [ROOT_CERT]: roots, [NEXT_CERT]: certificate, [NEXT_KEY]: key, [ROTATION]: `announced ${now}` };
  }
  if (now - rotation.since < holdMs) return null;
  if (rotation.stage === 'announced') {
    return { ...base, [CA_CERT]: nextCert, [CA_KEY]: nextKey, [ROTATION]: `signing ${now}` };
  }
  return { ...base, [ROOT_CERT]: files[CA_CERT] ?? '' };
}
