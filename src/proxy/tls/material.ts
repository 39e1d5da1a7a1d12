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
  #loaded = false;
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

  /** Reads everything again. */
  readonly refresh = (): void => {
    try {
      const { certificates, validation } = this.#resolve();
      this.#watch([...certificates, ...(validation === null ? [] : [validation])]);
      const material: TlsMaterial = {
        certificates: certificates.map(loadCertificate),
        validation: validation === null ? null : loadValidation(validation),
        own: this.#own,
      };
      this.#use(material);
      this.reason = '';
      if (this.#loaded) {
        // The identity says so once; contexts that have it are many.
        this.#env.log[this.#own ? 'debug' : 'info']('certificates replaced', {
          context: this.#name,
          serials: material.certificates.map(({ leaf }) => leaf.serial).join(','),
        });
      }
      this.#loaded = true;
    } catch (error) {
      const reason = messageOf(error);
      if (!this.#loaded) this.reason = reason;
      if (error instanceof NotThere) return;
      this.#env.log.error(
        this.#loaded ? 'new certificates cannot be used; those before stay in force' : 'certificates cannot be used',
        { context: this.#name, reason },
      );
    }
  };

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
      paths.length + directories.length === 0 ? () => {} : this.#env.files.watch(paths, directories, this.refresh);
    before();
  }
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
