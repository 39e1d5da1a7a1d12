import { readCertificate } from '../../base/certificate.ts';
import { CertificateAges } from '../../base/certificate-age.ts';
import type { Clock, TimerHandle } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { parseCertificates } from '../../base/pem.ts';
import { type SpiffeIdentity, spiffeId } from '../../base/spiffe.ts';
import { Watch } from '../../base/watch.ts';
import { CsrError, readCsr } from './csr.ts';
import { BACKDATE_MS, leafCertificate } from './issue.ts';
import { type CaMaterial, newRoot, nextStep, readCa } from './root.ts';
import type { CaStore, StoredCa } from './store.ts';

export interface AuthorityOptions {
  /** Our own root; made where there is none. */
  readonly store: CaStore;
  /** A CA that somebody plugged in: where it is there, it signs, and its owner rotates it; null: none. */
  readonly plugged: CaStore | null;
  readonly trustDomain: string;
  /** How long a workload's certificate is valid, at most. */
  readonly ttlMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether this server may change roots: of several that share a store, the leader. */
  readonly mayRotate: () => boolean;
  /** How often it is looked whether another server, or its owner, changed the CA; 30 s. */
  readonly lookMs?: number;
  /** How long each stage of a change of roots lasts; `ttlMs` and a tenth. */
  readonly holdMs?: number;
}

/** What a signed request gives: the leaf, what lies between it and the roots, and all roots that are trusted, as PEM. */
export interface Issued {
  readonly chain: readonly string[];
  readonly roots: string;
  readonly notAfter: number;
}

const LOOK_MS = 30_000;
/** Nobody renews twice within a shorter life. */
const LEAST_TTL_MS = 60_000;

/** The mesh's CA: keeps its root, replaces it in time, and signs for whoever has been authenticated. */
export class CertificateAuthority {
  readonly #options: AuthorityOptions;
  readonly #holdMs: number;
  #material: CaMaterial | null = null;
  #version = '';
  #look: TimerHandle | null = null;
  #trouble = '';
  readonly #ages = new CertificateAges();
  #working: Promise<void> = Promise.resolve();
  #closed = false;
  /** PEM of the roots that are trusted; '' before the CA is there. */
  readonly roots = new Watch('');

  constructor(options: AuthorityOptions) {
    this.#options = options;
    this.#holdMs = options.holdMs ?? Math.ceil(options.ttlMs * 1.1);
  }

  get ready(): boolean {
    return this.#material !== null;
  }
  get trustDomain(): string {
    return this.#options.trustDomain;
  }
  /** What signs now; null before the CA is there. */
  get material(): CaMaterial | null {
    return this.#material;
  }

  /** Resolves when the CA is there; rejects where there is one that cannot be used. */
  async start(): Promise<void> {
    await this.#refresh();
    const { log } = this.#options;
    log.info('certificate authority', { ca: this.#from, subject: this.#material?.certificate.subject ?? '' });
    this.#schedule();
  }

  #from = '';

  async close(): Promise<void> {
    this.#closed = true;
    this.#look?.cancel();
    await this.#working;
  }

  /** Looks at once, as it does by itself every now and then. */
  async refresh(): Promise<void> {
    try {
      await this.#refresh();
      this.#trouble = '';
    } catch (error) {
      // What signed before goes on: an API server that is away takes no identities away.
      const trouble = messageOf(error);
      if (trouble !== this.#trouble) this.#options.log.error(`the CA cannot be read anew: ${trouble}`);
      this.#trouble = trouble;
    }
  }

  /** Certifies the key of a request as the caller's. Throws CsrError for a request that is not one, or not theirs. */
  signWorkload(csr: string, caller: SpiffeIdentity, requestedMs = 0): Issued {
    const request = readCsr(csr);
    const id = spiffeId(caller);
    const other = request.uris.find((uri) => uri !== id);
    if (other !== undefined) throw new CsrError(`the request is for ${other.slice(0, 300)}, and the caller is ${id}`);
    return this.#issue(request.spki, [id], [], requestedMs);
  }

  /** A certificate for a server of the control server itself. */
  signServer(spki: Buffer, dns: readonly string[], requestedMs = 0): Issued {
    return this.#issue(spki, [], dns, requestedMs);
  }

  #issue(spki: Buffer, uris: readonly string[], dns: readonly string[], requestedMs: number): Issued {
    const material = this.#material;
    if (material === null) throw new Error('the CA is not there yet');
    const { ttlMs, clock } = this.#options;
    const now = clock.wall();
    const asked = requestedMs > 0 ? Math.max(LEAST_TTL_MS, requestedMs) : ttlMs;
    const notAfter = Math.min(now + Math.min(ttlMs, asked), material.certificate.validToDate.getTime());
    if (notAfter <= now) throw new Error(`the CA certificate expired on ${material.certificate.validTo}`);
    const leaf = leafCertificate({ spki, uris, dns, notBefore: now - BACKDATE_MS, notAfter }, material.signing);
    return { chain: [leaf, ...material.chain], roots: material.roots, notAfter };
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#look = this.#options.clock.after(this.#options.lookMs ?? LOOK_MS, () => {
      this.#working = this.refresh().then(() => this.#schedule());
    });
  }

  async #refresh(): Promise<void> {
    const { plugged, store, clock } = this.#options;
    const given = (await plugged?.load()) ?? null;
    if (given !== null) {
      this.#use(given, plugged?.name ?? '');
      this.#lookAtAges(plugged?.name ?? '');
      return;
    }
    let stored = (await store.load()) ?? (await this.#make());
    readCa(stored.files, clock.wall());
    const step = this.#options.mayRotate()
      ? nextStep(stored.files, this.trustDomain, clock.wall(), this.#holdMs)
      : null;
    // Whoever is slower sees what the other one wrote at its next look.
    if (step !== null) stored = (await store.save(step, stored.version)) ?? stored;
    this.#use(stored, store.name);
  }

  /** A CA that somebody plugged in is theirs to renew: they may have forgotten it. Our own root is replaced in time. */
  #lookAtAges(place: string): void {
    const { certificate, chain = [], roots = '' } = this.#material ?? {};
    const pem = `${certificate?.toString() ?? ''}\n${chain.join('')}${roots}`;
    const all = parseCertificates(Buffer.from(pem)).map(({ raw }) => [place, readCertificate(raw)] as const);
    for (const warning of this.#ages.look(all, this.#options.clock.wall())) this.#options.log.warn(warning);
  }

  async #make(): Promise<StoredCa> {
    const { store, clock, log } = this.#options;
    const made = await store.save(newRoot(this.trustDomain, clock.wall()), null);
    if (made !== null) {
      log.info('a new root was made', { kept: store.name });
      return made;
    }
    const theirs = await store.load();
    if (theirs === null) throw new Error(`${store.name} was made by another server and removed again`);
    return theirs;
  }

  #use(stored: StoredCa, from: string): void {
    if (stored.version === this.#version && from === this.#from) return;
    const before = this.#material;
    const material = readCa(stored.files, this.#options.clock.wall());
    this.#material = material;
    this.#version = stored.version;
    this.#from = from;
    if (before !== null && (before.stage !== material.stage || before.roots !== material.roots)) {
      this.#options.log.info('the CA changed', { ca: from, stage: material.stage });
    }
    if (this.roots.value !== material.roots) this.roots.set(material.roots);
  }
}
