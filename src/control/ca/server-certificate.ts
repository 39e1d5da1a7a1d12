import { generateKeyPairSync } from 'node:crypto';
import type { Clock, TimerHandle } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { Watch } from '../../base/watch.ts';
import type { CertificateAuthority } from './authority.ts';

/** As PEM. */
export interface ServerPair {
  readonly cert: string;
  readonly key: string;
  readonly roots: string;
}

/** After a failed renewal. */
const RETRY_MS = 10_000;

/** The control server's own certificate, by its own CA: renewed at half its life, and when the CA changes. */
export class ServerCertificate {
  readonly #ca: CertificateAuthority;
  readonly #dns: readonly string[];
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #unsubscribe: () => void;
  #timer: TimerHandle | null = null;
  readonly current: Watch<ServerPair>;

  /** The CA must be there. */
  constructor(ca: CertificateAuthority, dns: readonly string[], clock: Clock, log: Logger) {
    this.#ca = ca;
    this.#dns = dns;
    this.#clock = clock;
    this.#log = log;
    this.current = new Watch(this.#make());
    this.#unsubscribe = ca.roots.subscribe(() => this.#renew());
  }

  close(): void {
    this.#unsubscribe();
    this.#timer?.cancel();
  }

  #make(): ServerPair {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const issued = this.#ca.signServer(publicKey.export({ type: 'spki', format: 'der' }), this.#dns);
    this.#schedule((issued.notAfter - this.#clock.wall()) / 2);
    return {
      cert: issued.chain.join(''),
      key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
      roots: issued.roots,
    };
  }

  #renew(): void {
    try {
      this.current.set(this.#make());
    } catch (error) {
      this.#log.error(`the certificate of port 15012 cannot be renewed: ${messageOf(error)}`);
      this.#schedule(RETRY_MS);
    }
  }

  #schedule(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.after(ms, () => this.#renew());
  }
}
