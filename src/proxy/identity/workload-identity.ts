import type { KeyObject } from 'node:crypto';
import { readCertificate } from '../../base/certificate.ts';
import { lifeUsed } from '../../base/certificate-age.ts';
import type { Clock, TimerHandle } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { parseCertificates } from '../../base/pem.ts';
import type { Random } from '../../base/random.ts';
import { SecretBytes } from '../../base/secret-bytes.ts';
import { type SpiffeIdentity, spiffeId } from '../../base/spiffe.ts';
import { type TlsSecret, trustIn } from '../../model/tls.ts';
import { certificateRequest } from './certificate-request.ts';
import type { IdentityFile } from './identity-file.ts';

export interface WorkloadIdentityOptions {
  readonly id: SpiffeIdentity;
  /** Asks the CA; PEM, leaf first, all roots in the last element. Rejects when it does not answer or refuses. */
  readonly certify: (csr: string) => Promise<readonly string[]>;
  /** PEM of roots that are trusted besides those of the CA's answer, as they are now; '' none. Throws a system error. */
  readonly moreRoots: () => string;
  /** Takes what is in force: `default` and `ROOTCA`, by Istio's names. */
  readonly publish: (secrets: ReadonlyMap<string, TlsSecret>) => void;
  /** Where the certificate is kept for a start while the CA is away; null: nowhere. */
  readonly file: Pick<IdentityFile, 'load' | 'save'> | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** The certificate in force, for views. */
export interface IdentityStatus {
  readonly id: string;
  /** Wall times, ms; 0 before the first certificate. */
  readonly notBefore: number;
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
 * certificate's life with another key. While the CA is away the last certificate serves to its end, also for a process
 * that is started meanwhile. Keys are in the memory of this process, and in the file where there is one.
 */
export class WorkloadIdentity {
  readonly #options: WorkloadIdentityOptions;
  readonly #ready = Promise.withResolvers<void>();
  /** What the CA gave last; null before. */
  #issued: { readonly certificate: TlsSecret; readonly roots: string } | null = null;
  #roots = '';
  #failures = 0;
  /** How many of {@link LATE} have been said of the certificate in force. */
  #said = 0;
  #timer: TimerHandle | null = null;
  #closed = false;
  #status: IdentityStatus;

  constructor(options: WorkloadIdentityOptions) {
    this.#options = options;
    this.#status = { id: spiffeId(options.id), notBefore: 0, notAfter: 0, renewAt: 0, trouble: '' };
  }

  /** Resolves with the first certificate; never rejects. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }
  get status(): IdentityStatus {
    return this.#status;
  }

  /** What an earlier process had is in force at once; another certificate is asked for all the same. */
  start(): void {
    this.#restore();
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

  #restore(): void {
    const { file, log } = this.#options;
    const kept = file?.load() ?? null;
    if (kept === null) return;
    try {
      const notAfter = this.#use(kept.key, kept.answer);
      log.info('certificate of an earlier process in force', { until: new Date(notAfter).toISOString() });
    } catch (error) {
      log.warn('the certificate of an earlier process is not used', { reason: messageOf(error) });
    }
  }

  async #attempt(): Promise<void> {
    const { clock } = this.#options;
    try {
      const request = await certificateRequest(this.#status.id, this.#options.id.trustDomain);
      const answer = await this.#options.certify(request.csr);
      if (this.#closed) return;
      this.#take(request.key, answer);
    } catch (error) {
      if (this.#closed) return;
      const trouble = messageOf(error);
      const delay = this.#backOff();
      this.#complain(trouble, delay);
      this.#status = { ...this.#status, trouble, renewAt: clock.wall() + delay };
      this.#again(delay);
    }
  }

  /** Once for each reason, again as the end comes nearer, and at each attempt when it is there. */
  #complain(trouble: string, retryMs: number): void {
    const { log, clock } = this.#options;
    const { notAfter } = this.#status;
    const now = clock.wall();
    const { share, late } = notAfter === 0 ? { share: 0, late: 0 } : lifeUsed(this.#status, now);
    if (trouble === this.#status.trouble && late <= this.#said && now <= notAfter) return;
    this.#said = late;
    const left =
      notAfter === 0
        ? {}
        : { validUntil: new Date(notAfter).toISOString(), lifeUsed: `${Math.min(100, Math.floor(share * 100))} %` };
    log.warn(`no certificate from the CA: ${trouble}`, { retryMs: Math.round(retryMs), ...left });
  }

  #take(key: KeyObject, answer: readonly string[]): void {
    const { clock, random, log, file } = this.#options;
    const notAfter = this.#use(key, answer);
    file?.save({ key, answer });
    const now = clock.wall();
    const delay = (notAfter - now) * (0.5 + JITTER * (random.next() - 0.5));
    this.#failures = 0;
    this.#status = { ...this.#status, renewAt: now + delay, trouble: '' };
    this.#again(delay);
    log.info('certificate in force', { id: this.#status.id, until: new Date(notAfter).toISOString() });
  }

  /** Puts a certificate in force, if it is ours and valid; gives the end of its life. */
  #use(key: KeyObject, answer: readonly string[]): number {
    const { clock } = this.#options;
    const [leafPem = '', ...rest] = answer;
    const roots = rest.pop() ?? '';
    const leaf = parseCertificates(Buffer.from(leafPem))[0]!;
    if (!leaf.checkPrivateKey(key)) throw new Error('the CA certified another key');
    const { sans, notBefore, notAfter } = readCertificate(leaf.raw);
    const { id } = this.#status;
    if (!sans.some(({ kind, value }) => kind === 'URI' && value === id)) {
      const named = sans.map(({ value }) => value).join(', ');
      throw new Error(
        `the CA certified ${named.slice(0, 300) || 'nobody'}, and this proxy is ${id}: does its trust domain differ?`,
      );
    }
    parseCertificates(Buffer.from(roots));
    if (notAfter <= clock.wall()) throw new Error('the certificate has expired already');
    this.#issued = { certificate: certificateSecret([leafPem, ...rest].join(''), key), roots };
    this.#publish();
    this.#said = 0;
    this.#status = { ...this.#status, notBefore, notAfter };
    this.#ready.resolve();
    return notAfter;
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
