import { createPrivateKey, type KeyObject } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { readBoundedFile } from '../../base/bounded-file.ts';
import { errorCode, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';

/** What the CA gave last, with the key that it certified. */
export interface KeptIdentity {
  readonly key: KeyObject;
  /** As the CA answered: leaf first, all roots in the last element. */
  readonly answer: readonly string[];
}

interface Kept {
  readonly format: number;
  readonly key: string;
  readonly answer: readonly string[];
}

const FORMAT = 1;
/** A chain and many roots: what is larger is another file. */
const MAX_BYTES = 1024 * 1024;

/**
 * The certificate and key of this proxy in a file of its own user's, so that a container that is restarted while the CA
 * is away is who it was. It belongs on a volume of the pod, in memory.
 */
export class IdentityFile {
  readonly #path: string;
  readonly #log: Logger;

  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
  }

  /** A failure is logged: the file is a help, not a need. */
  save({ key, answer }: KeptIdentity): void {
    const kept: Kept = { format: FORMAT, key: String(key.export({ type: 'pkcs8', format: 'pem' })), answer };
    const temporary = `${this.#path}.${process.pid}.tmp`;
    try {
      writeFileSync(temporary, JSON.stringify(kept), { mode: 0o600 });
      renameSync(temporary, this.#path);
    } catch (error) {
      rmSync(temporary, { force: true });
      this.#log.warn('the certificate is not kept for the next start', {
        path: this.#path,
        reason: messageOf(error),
      });
    }
  }

  /** null: there is none, or none that can be read. Whose it is and whether it is valid is the caller's to find out. */
  load(): KeptIdentity | null {
    try {
      const { format, key, answer } = JSON.parse(readBoundedFile(this.#path, MAX_BYTES).toString()) as Kept;
      if (format !== FORMAT || !Array.isArray(answer)) throw new Error(`format ${String(format)} is not known`);
      return { key: createPrivateKey(key), answer: answer.map(String) };
    } catch (error) {
      // What is said of a key that does not parse must not hold any of it.
      const reason = error instanceof SyntaxError ? 'it is damaged' : messageOf(error);
      if (errorCode(error) !== 'ENOENT')
        this.#log.warn('the kept certificate is not used', { path: this.#path, reason });
      return null;
    }
  }
}
