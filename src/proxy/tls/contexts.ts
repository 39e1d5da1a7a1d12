import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { TimerWheel } from '../../base/timer-wheel.ts';
import type { TlsSecret } from '../../model/tls.ts';
import type { StatStore } from '../telemetry/metrics/store.ts';
import type { Certificate } from './certificate-info.ts';
import type { TlsContext } from './context.ts';
import { WatchedFiles } from './files.ts';
import { SecretStore } from './secrets.ts';

export interface TlsContextsParts {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly log: Logger;
  readonly stats: StatStore;
  /** The bootstrap's own secrets. */
  readonly secrets?: Iterable<TlsSecret>;
  /** Where ticket keys come from; workers of one process share it. Absent: random. */
  readonly ticketSeed?: Buffer;
}

/** Any context, downstream or upstream. */
export interface FollowingContext {
  readonly current: TlsContext | null;
  refresh(): void;
}

/** One entry of `/certs` (envoy.admin.v3.Certificate): what one context trusts, and what it shows. */
export interface CertificateView {
  /** Of the proxy's own identity. */
  readonly own: boolean;
  readonly roots: readonly { readonly certificate: Certificate; readonly path: string }[];
  readonly chain: readonly { readonly certificate: Certificate; readonly path: string }[];
}

const DAY_MS = 86_400_000;

/** What all TLS contexts of a proxy share, and all of them. */
export class TlsContexts {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly log: Logger;
  readonly stats: StatStore;
  readonly secrets: SecretStore;
  readonly files: WatchedFiles;
  readonly #all = new Set<FollowingContext>();
  #seed: Buffer | null;

  constructor({ clock, wheel, log, stats, secrets, ticketSeed }: TlsContextsParts) {
    this.clock = clock;
    this.wheel = wheel;
    this.log = log.child('tls');
    this.stats = stats;
    this.secrets = new SecretStore(secrets);
    this.files = new WatchedFiles(clock, this.log);
    this.#seed = ticketSeed ?? null;
  }

  get ticketSeed(): Buffer {
    this.#seed ??= process.getBuiltinModule('node:crypto').randomBytes(32);
    return this.#seed;
  }

  add(context: FollowingContext): void {
    this.#all.add(context);
  }
  remove(context: FollowingContext): void {
    this.#all.delete(context);
  }

  close(): void {
    this.files.close();
  }

  /** The certificates in force, a context each. */
  views(): CertificateView[] {
    return [...this.#all].flatMap(({ current }) => {
      if (current === null) return [];
      const { certificates, validation, own } = current.material;
      return [
        {
          own,
          roots: (validation?.roots ?? []).map((certificate) => ({
            certificate,
            path: validation?.source || '<inline>',
          })),
          chain: certificates.flatMap(({ chain, source }) =>
            chain.map((certificate) => ({ certificate, path: source })),
          ),
        },
      ];
    });
  }

  /** Whole days until the first certificate in force expires, 0 when one has; null without certificates. */
  daysUntilExpiry(): number | null {
    let first = Number.POSITIVE_INFINITY;
    for (const { roots, chain } of this.views()) {
      for (const { certificate } of [...roots, ...chain]) first = Math.min(first, certificate.notAfter);
    }
    return first === Number.POSITIVE_INFINITY ? null : daysLeft(first, this.clock.wall());
  }
}

export function daysLeft(notAfter: number, now: number): number {
  return Math.max(0, Math.floor((notAfter - now) / DAY_MS));
}
