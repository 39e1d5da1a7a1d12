import { isDeepStrictEqual } from 'node:util';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type {
  CertificateSource,
  CertificateValidation,
  CommonTls,
  SecretReference,
  TlsCertificate,
  TlsSecret,
} from '../../model/tls.ts';
import type { Certificate } from './certificate-info.ts';
import type { WatchedFiles } from './files.ts';
import { filesOf, type LoadedCertificate, type LoadedValidation, loadCertificate, loadValidation } from './load.ts';
import type { SecretStore } from './secrets.ts';

/** All that one TLS context is made of, at one moment. */
export interface TlsMaterial {
  readonly certificates: readonly LoadedCertificate[];
  readonly validation: LoadedValidation | null;
  /** Of this proxy's own identity, which renews itself. */
  readonly own: boolean;
}

export interface MaterialEnvironment {
  readonly log: Logger;
  readonly secrets: SecretStore;
  readonly files: WatchedFiles;
}

/**
 * Follows the secrets and files of one context. Each time the whole of it is there and holds, `use` gets it; what does
 * not hold is logged, and the one before stays in force.
 */
export class MaterialSource {
  readonly #common: CommonTls;
  readonly #name: string;
  readonly #env: MaterialEnvironment;
  readonly #use: (material: TlsMaterial) => void;
  readonly #unsubscribe: (() => void)[] = [];
  #unwatch: () => void = () => {};
  readonly #own: boolean;
  #inForce: TlsMaterial | null = null;
  /** Why there is nothing to use; '' when there is. */
  reason = '';

  /** `name`: of the owner, for the log. */
  constructor(common: CommonTls, name: string, env: MaterialEnvironment, use: (material: TlsMaterial) => void) {
    this.#common = common;
    this.#name = name;
    this.#env = env;
    this.#use = use;
    this.#own = secretsOfContext(common).some(({ from }) => from === 'agent');
    for (const secret of secretsOfContext(common)) this.#unsubscribe.push(env.secrets.subscribe(secret, this.refresh));
    this.refresh();
  }

  close(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#unwatch();
  }

  /** Reads everything again, and has it used. */
  readonly refresh = (): void => this.#read(true);

  /** Something in the folders has changed; others may write there too. */
  readonly #onFiles = (): void => this.#read(false);

  /** `always`: also what is in force already. */
  #read(always: boolean): void {
    const before = this.#inForce;
    try {
      const { certificates, validation } = this.#resolve();
      this.#watch([...certificates, ...(validation === null ? [] : [validation])]);
      const material: TlsMaterial = {
        certificates: certificates.map(loadCertificate),
        validation: validation === null ? null : loadValidation(validation),
        own: this.#own,
      };
      const same = before !== null && isSame(material, before);
      if (same && !always) return;
      this.#use(material);
      this.#inForce = material;
      this.reason = '';
      if (before !== null && !same) {
        // The identity says so once; contexts that have it are many.
        this.#env.log[this.#own ? 'debug' : 'info']('certificates replaced', {
          context: this.#name,
          serials: material.certificates.map(({ leaf }) => leaf.serial).join(','),
        });
      }
    } catch (error) {
      const reason = messageOf(error);
      if (before === null) this.reason = reason;
      if (error instanceof NotThere) return;
      this.#env.log.error(
        before === null ? 'certificates cannot be used' : 'new certificates cannot be used; those before stay in force',
        { context: this.#name, reason },
      );
    }
  }

  #resolve(): { certificates: TlsCertificate[]; validation: CertificateValidation | null } {
    const certificates = this.#common.certificates.map((source) => this.#certificate(source));
    const { given = null, secret = null } = this.#common.validation ?? {};
    const found = secret === null ? null : this.#secret(secret, 'validation_context').validation;
    return { certificates, validation: mergeValidation(given, found) };
  }

  #certificate(source: CertificateSource): TlsCertificate {
    return source.kind === 'given' ? source.certificate : this.#secret(source, 'tls_certificate').certificate;
  }

  #secret<K extends TlsSecret['kind']>(reference: SecretReference, kind: K): Extract<TlsSecret, { kind: K }> {
    const secret = this.#env.secrets.get(reference);
    if (secret === undefined) throw new NotThere(`secret ${JSON.stringify(reference.name)} has not come yet`);
    if (secret.kind !== kind) {
      throw new Error(`secret ${JSON.stringify(reference.name)} holds a ${secret.kind}, not a ${kind}`);
    }
    return secret as Extract<TlsSecret, { kind: K }>;
  }

  /** The files are watched before they are read, so that no change falls between. */
  #watch(of: readonly (TlsCertificate | CertificateValidation)[]): void {
    const files = of.map(filesOf);
    const paths = files.flatMap((one) => one.paths);
    const directories = files.flatMap((one) => one.directories);
    const before = this.#unwatch;
    this.#unwatch =
      paths.length + directories.length === 0 ? () => {} : this.#env.files.watch(paths, directories, this.#onFiles);
    before();
  }
}

/** By what is in the files and secrets now. */
function isSame(a: TlsMaterial, b: TlsMaterial): boolean {
  return isDeepStrictEqual(contentOf(a), contentOf(b));
}

function contentOf({ certificates, validation }: TlsMaterial): unknown {
  const prints = (of: readonly Certificate[]): string[] => of.map(({ x509 }) => x509.fingerprint256);
  return [
    certificates.map(({ chain }) => prints(chain)),
    validation === null ? null : [validation.config, prints(validation.roots), validation.crls],
  ];
}

/** A secret that is still to come: nothing is wrong. */
class NotThere extends Error {}

/** Every secret that a context names. */
export function secretsOfContext({ certificates, validation }: CommonTls): SecretReference[] {
  const named = certificates.flatMap((source) => (source.kind === 'secret' ? [source] : []));
  return validation?.secret == null ? named : [...named, validation.secret];
}

/** As protobuf merges messages: lists are joined, and what the second sets holds. */
function mergeValidation(
  given: CertificateValidation | null,
  secret: CertificateValidation | null,
): CertificateValidation | null {
  if (given === null || secret === null) return secret ?? given;
  return {
    trustedCa: secret.trustedCa ?? given.trustedCa,
    systemRoots: secret.systemRoots || given.systemRoots,
    crl: secret.crl ?? given.crl,
    watchedDirectory: secret.watchedDirectory || given.watchedDirectory,
    hashes: [...given.hashes, ...secret.hashes],
    spki: [...given.spki, ...secret.spki],
    sans: [...given.sans, ...secret.sans],
    allowExpired: secret.allowExpired || given.allowExpired,
    acceptUntrusted: secret.acceptUntrusted || given.acceptUntrusted,
    maxDepth: secret.maxDepth ?? given.maxDepth,
    trustDomains: secret.trustDomains ?? given.trustDomains,
  };
}
