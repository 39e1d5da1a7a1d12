import { CertificateAges, type CertificateLife } from '../../base/certificate-age.ts';
import type { TimerHandle } from '../../base/clock.ts';
import type { TlsContexts } from './contexts.ts';

type Contexts = Pick<TlsContexts, 'clock' | 'log' | 'views'>;

const LOOK_MS = 60_000;

/**
 * Says of certificates and roots in force that nobody replaces them (pains row 51): those of files and of discovery,
 * whose owners may have forgotten them. The proxy's own identity says so itself.
 */
export class CertificateWatch {
  readonly #contexts: Contexts;
  readonly #ages = new CertificateAges();
  #timer: TimerHandle | null = null;

  constructor(contexts: Contexts) {
    this.#contexts = contexts;
  }

  start(): void {
    this.#timer = this.#contexts.clock.after(LOOK_MS, () => {
      for (const warning of this.#ages.look(this.#foreign(), this.#contexts.clock.wall()))
        this.#contexts.log.warn(warning);
      this.start();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  *#foreign(): Iterable<readonly [place: string, certificate: CertificateLife]> {
    for (const { own, roots, chain } of this.#contexts.views()) {
      if (own) continue;
      for (const { path, certificate } of [...chain, ...roots])
        yield [path === '<inline>' ? 'a secret' : path, certificate];
    }
  }
}
