import type { KeyObject } from 'node:crypto';
import { readCertificate } from '../../base/certificate.ts';
import type { Clock, TimerHandle } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { parseCertificates } from '../../base/pem.ts';
import type { Random } from '../../base/random.ts';
import { SecretBytes } from '../../base/secret-bytes.ts';
import { type SpiffeIdentity, spiffeId } from '../../base/spiffe.ts';
import { type TlsSecret, trustIn } from '../../model/tls.ts';
import { certificateRequest } from './certificate-request.ts';

export interface WorkloadIdentityOptions {
  readonly id: SpiffeIdentity;
  /** Asks the CA; PEM, leaf first, all roots in the last element. Rejects when it does not answer or refuses. */
  readonly certify: (csr: string) => Promise<readonly string[]>;
  /** PEM of roots that are trusted besides those of the CA's answer, as they are now; '' none. Throws a system error. */
  readonly moreRoots: () => string;
  /** Takes what is in force: `default` and `ROOTCA`, by Istio's names. */
  readonly publish: (secrets: ReadonlyMap<string, TlsSecret>) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** The certificate in force, for views. */
export interface IdentityStatus {
  readonly id: string;
  /** Wall times, ms; 0 before the first certificate. */
  readonly notAfter: number;
  readonly renewAt: number;
  /** Why the last attempt failed; '' when it did not. */
  readonly trouble: string;
}

const RETRY_MS = 500;
const MAX_RETRY_MS = 30_000;
/** How far from half of its life a certificate is renewed: not all of a mesh that was started at once at once again. */
const JITTER = 0.1;

/**
 * The identity of the workload that this proxy works for: makes a key, has it certified, and again at half of the
 * certificate's life with another key. While the CA is away the last certificate serves to its end. Keys are in the memory
 * of this process and nowhere else.
 */
export class WorkloadIdentity {
  readonly #options: WorkloadIdentityOptions;
  readonly #ready = Promise.withResolvers<void>();
  /** What the CA gave last; null before. */
  #issued: { readonly certificate: TlsSecret; readonly roots: string } | null = null;
  #roots = '';
  #failures = 0;
  #timer: TimerHandle | null = null;
  #closed = false;
  #status: IdentityStatus;

  constructor(options: WorkloadIdentityOptions) {
    this.#options = options;
    this.#status = { id: spiffeId(options.id), notAfter: 0, renewAt: 0, trouble: '' };
  }

  /** Resolves with the first certificate; never rejects. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }
  get status(): IdentityStatus {
    return this.#status;
  }

  start(): void {
    void this.#attempt();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  /** The other roots may have changed. */
  readonly refreshRoots = (): void => {
    if (this.#issued !== null && !this.#closed) this.#publish();
  };

  async #attempt(): Promise<void> {
    const { log, clock } = this.#options;
    try {
      const request = await certificateRequest(this.#status.id, this.#options.id.trustDomain);
      const answer = await this.#options.certify(request.csr);
      if (this.#closed) return;
      this.#take(request.key, answer);
    } catch (error) {
      if (this.#closed) return;
      const trouble = messageOf(error);
      const { notAfter } = this.#status;
      const delay = this.#backOff();
      if (trouble !== this.#status.trouble || clock.wall() > notAfter) {
        const left = notAfter === 0 ? {} : { validUntil: new Date(notAfter).toISOString() };
        log.warn(`no certificate from the CA: ${trouble}`, { retryMs: Math.round(delay), ...left });
      }
      this.#status = { ...this.#status, trouble, renewAt: clock.wall() + delay };
      this.#again(delay);
    }
  }

  #take(key: KeyObject, answer: readonly string[]): void {
    const { clock, random, log } = this.#options;
    const [leafPem = '', ...rest] = answer;
    const roots = rest.pop() ?? '';
    const leaf = parseCertificates(Buffer.from(leafPem))[0]!;
    if (!leaf.checkPrivateKey(key)) throw new Error('the CA certified another key');
    const { sans, notAfter } = readCertificate(leaf.raw);
    const { id } = this.#status;
    if (!sans.some(({ kind, value }) => kind === 'URI' && value === id)) {
      const named = sans.map(({ value }) => value).join(', ');
      throw new Error(
        `the CA certified ${named.slice(0, 300) || 'nobody'}, and this proxy is ${id}: does its trust domain differ?`,
      );
    }
    parseCertificates(Buffer.from(roots));
    const now = clock.wall();
    if (notAfter <= now) throw new Error('the CA gave a certificate that has expired already');
    this.#issued = { certificate: certificateSecret([leafPem, ...rest].join(''), key), roots };
    this.#publish();
    this.#failures = 0;
    const delay = (notAfter - now) * (0.5 + JITTER * (random.next() - 0.5));
    this.#status = { id, notAfter, renewAt: now + delay, trouble: '' };
    this.#again(delay);
    this.#ready.resolve();
    log.info('certificate in force', { id, until: new Date(notAfter).toISOString() });
  }

  #publish(): void {
    if (this.#issued === null) return;
    const { certificate, roots } = this.#issued;
    let more = '';
    try {
      more = this.#options.moreRoots();
    } catch (error) {
      this.#options.log.debug('roots cannot be read', { reason: messageOf(error) });
    }
    this.#roots = `${roots}\n${more}`;
    this.#options.publish(
      new Map([
        [certificate.name, certificate],
        ['ROOTCA', rootsSecret(this.#roots)],
      ]),
    );
  }

  #backOff(): number {
    const full = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** this.#failures++);
    return full * (1 - 0.5 * this.#options.random.next());
  }

  #again(ms: number): void {
    this.#timer = this.#options.clock.after(ms, () => void this.#attempt());
  }
}

function certificateSecret(chain: string, key: KeyObject): TlsSecret {
  const inline = (text: string) => ({ kind: 'inline', bytes: new SecretBytes(Buffer.from(text)) }) as const;
  const pem = String(key.export({ type: 'pkcs8', format: 'pem' }));
  return {
    name: 'default',
    kind: 'tls_certificate',
    certificate: { chain: inline(chain), key: inline(pem), password: null, watchedDirectory: '' },
  };
}

function rootsSecret(pem: string): TlsSecret {
  const validation = trustIn({ kind: 'inline', bytes: new SecretBytes(Buffer.from(pem)) });
  return { name: 'ROOTCA', kind: 'validation_context', validation };
}
