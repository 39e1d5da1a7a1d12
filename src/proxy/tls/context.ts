import type { SecureContext, SecureContextOptions, SecureVersion } from 'node:tls';

import { opensslReason, PemError } from '../../base/pem.ts';
import type { CommonTls } from '../../model/tls.ts';
import type { Certificate } from './certificate-info.ts';
import type { LoadedCertificate } from './load.ts';
import type { TlsMaterial } from './material.ts';
import { PeerValidator } from './validator.ts';

/** A context in force: OpenSSL's, and what it cannot be told. */
export interface TlsContext {
  readonly secure: SecureContext;
  /** By server name, where not all certificates are for the same names and of different keys; null: `secure` has them all. */
  readonly byName: ServerNames | null;
  readonly validator: PeerValidator | null;
  readonly material: TlsMaterial;
}

/** In the order in which BoringSSL prefers them on a CPU with AES. */
const TLS13_SUITES = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'];

const HYBRID = 'X25519MLKEM768';

/** What the two sides add of their own. */
export type SideOptions = Pick<
  SecureContextOptions,
  'ticketKeys' | 'sessionIdContext' | 'sessionTimeout' | 'secureOptions'
>;

/** What a client gets that asks for a name that no certificate is for (Envoy: full_scan_certs_on_sni_mismatch). */
export type WithoutMatch = 'first' | 'any';

/** Makes OpenSSL's context. Throws PemError when it does not take a certificate. */
export function buildContext(
  common: CommonTls,
  material: TlsMaterial,
  options: SideOptions,
  now: () => number,
  withoutMatch: WithoutMatch = 'first',
): TlsContext {
  const { validation, certificates } = material;
  const validator =
    validation === null ? null : new PeerValidator(validation.config, validation.roots, validation.domains, now);
  const shared: SecureContextOptions = {
    minVersion: common.minVersion as SecureVersion,
    maxVersion: common.maxVersion as SecureVersion,
    ciphers: cipherList(common),
    ecdhCurve: groupList(common.curves),
    ...(common.signatureAlgorithms.length === 0 ? {} : { sigalgs: common.signatureAlgorithms.join(':') }),
    honorCipherOrder: true,
    // Nobody else's roots: without this Node would add its own.
    ca: rootsOf(validator, material),
    ...(validation === null || validation.crls.length === 0 ? {} : { crl: [...validation.crls] }),
    // As Envoy: an intermediate that is trusted ends the chain.
    allowPartialTrustChain: true,
    ...options,
  };
  const first = onePerKeyType(certificates);
  const secure = createContext(shared, first);
  const contextOf = (some: readonly LoadedCertificate[]): SecureContext =>
    some.every((one) => first.includes(one)) && some.length === first.length ? secure : createContext(shared, some);
  return {
    secure,
    byName: interchangeable(certificates) ? null : new ServerNames(certificates, contextOf, withoutMatch),
    validator,
    material,
  };
}

function rootsOf(validator: PeerValidator | null, { validation }: TlsMaterial): string[] {
  if (validator === null || validation === null || !validator.verifiesChain) return [];
  const own = validation.roots.map(({ pem }) => pem);
  if (!validation.config.systemRoots) return own;
  return [...own, ...process.getBuiltinModule('node:tls').rootCertificates];
}

function createContext(shared: SecureContextOptions, certificates: readonly LoadedCertificate[]): SecureContext {
  try {
    return process.getBuiltinModule('node:tls').createSecureContext({
      ...shared,
      cert: certificates.map(({ chain }) => chain.map(({ pem }) => pem).join('')),
      key: certificates.map(({ key }) => key.reveal()),
    });
  } catch (error) {
    const which = certificates.map(({ source, leaf }) => `${source} (${leaf.subject})`).join(', ');
    throw new PemError(`OpenSSL refuses the context of ${which || 'no certificate'}: ${opensslReason(error)}`);
  }
}

/**
 * By OpenSSL's names. A client sends key shares for the marked ones: as BoringSSL for the first that is hybrid and the
 * first that is not, so that no server has to ask again.
 */
function groupList(curves: readonly string[]): string {
  const [major, minor] = process.versions.openssl.split('.').map(Number) as [number, number];
  if (major < 3 || (major === 3 && minor < 5)) return curves.filter((one) => one !== HYBRID).join(':');
  if (!curves.includes(HYBRID)) return curves.join(':');
  const classic = curves.find((one) => one !== HYBRID);
  return curves.map((one) => (one === HYBRID || one === classic ? `*${one}` : one)).join(':');
}

function cipherList({ ciphers, minVersion, maxVersion }: CommonTls): string {
  const old = minVersion === 'TLSv1' || minVersion === 'TLSv1.1';
  // OpenSSL 3 speaks TLS before 1.2 at this level only: its hashes are SHA-1.
  const names = old ? [...ciphers, '@SECLEVEL=0'] : ciphers;
  return [...(maxVersion === 'TLSv1.3' ? TLS13_SUITES : []), ...names].join(':');
}

/** The first of each kind of key; ECDSA last, because where Node takes but one certificate of a context it is the last. */
function onePerKeyType(certificates: readonly LoadedCertificate[]): LoadedCertificate[] {
  const seen = new Set<string>();
  const chosen = certificates.filter(({ keyType }) => !seen.has(keyType) && seen.add(keyType) !== null);
  return [...chosen.filter(({ keyType }) => keyType !== 'ec'), ...chosen.filter(({ keyType }) => keyType === 'ec')];
}

/** Whether any of them will do whoever is asked for, and OpenSSL can choose by the client's algorithms. */
function interchangeable(certificates: readonly LoadedCertificate[]): boolean {
  if (onePerKeyType(certificates).length < certificates.length) return false;
  return new Set(certificates.map(({ leaf }) => JSON.stringify(namesOf(leaf).sort()))).size < 2;
}

/** The certificates of a server by the names they are for (Envoy: DefaultTlsCertificateSelector). */
export class ServerNames {
  readonly #exact = new Map<string, SecureContext>();
  /** By what follows the `*`. */
  readonly #wildcard = new Map<string, SecureContext>();
  readonly #other: SecureContext;

  constructor(
    certificates: readonly LoadedCertificate[],
    contextOf: (certificates: readonly LoadedCertificate[]) => SecureContext,
    withoutMatch: WithoutMatch,
  ) {
    const byName = new Map<string, LoadedCertificate[]>();
    for (const one of certificates) {
      for (const name of namesOf(one.leaf)) {
        const others = byName.get(name);
        if (others === undefined) byName.set(name, [one]);
        else others.push(one);
      }
    }
    // Names of the same certificates share a context.
    const made = new Map<string, SecureContext>();
    for (const [name, matching] of byName) {
      const chosen = onePerKeyType(matching);
      const key = chosen.map(({ leaf }) => leaf.fingerprint256).join();
      let context = made.get(key);
      if (context === undefined) {
        context = contextOf(chosen);
        made.set(key, context);
      }
      if (name.startsWith('*.')) this.#wildcard.set(name.slice(1), context);
      else this.#exact.set(name, context);
    }
    const first = certificates[0]!;
    // An RSA certificate serves every client. Beside one of ECDSA there is another for those who cannot have it.
    const alone = withoutMatch === 'first' && first.keyType !== 'ec';
    this.#other = contextOf(alone ? [first] : onePerKeyType(certificates));
  }

  /** undefined: the client named nobody. */
  find(serverName: string): SecureContext | undefined {
    if (serverName === '') return undefined;
    const name = serverName.toLowerCase();
    const dot = name.indexOf('.');
    return this.#exact.get(name) ?? (dot < 0 ? undefined : this.#wildcard.get(name.slice(dot))) ?? this.#other;
  }
}

/** DNS names; the common name where there are none (Envoy: ServerContextImpl::populateServerNamesMap). */
function namesOf({ dnsSans, facts }: Certificate): string[] {
  const names = dnsSans.length > 0 ? dnsSans : facts.commonName === '' ? [] : [facts.commonName];
  return names.map((name) => name.toLowerCase());
}
