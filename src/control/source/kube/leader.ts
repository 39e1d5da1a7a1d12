import type { Clock, TimerHandle } from '../../../base/clock.ts';
import { messageOf } from '../../../base/errors.ts';
import type { Logger } from '../../../base/log.ts';
import type { Random } from '../../../base/random.ts';
import { isRecord } from '../schema/type.ts';
import { KubeError, type KubeRequest } from './client.ts';

/** What is asked of the API; KubeClient is one. */
export interface LeaseApi {
  send(request: KubeRequest): Promise<unknown>;
}

export interface LeaderElectionOptions {
  readonly api: LeaseApi;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly namespace: string;
  /** Of the Lease. */
  readonly name: string;
  /** Who this is; no two replicas may have the same. */
  readonly identity: string;
  /** A leader that has not been heard of for so long is replaced; default 15 s. */
  readonly leaseMs?: number;
  /** A leader that could not renew for so long stands down; must be less than `leaseMs`; default 10 s. */
  readonly renewMs?: number;
  /** Time between looks; default 2 s. */
  readonly retryMs?: number;
}

/** Who leads now. */
export interface Leadership {
  readonly leading: boolean;
  /** Identity of the leader; '' nobody, or not known. */
  readonly leader: string;
  /** Goes up whenever leadership changes hands: what carries a lower one was written by a former leader. */
  readonly term: number;
}

interface LeaseView {
  readonly resourceVersion: string;
  readonly holder: string;
  readonly term: number;
  readonly acquireTime: string;
  /** Changes whenever the holder renews. */
  readonly mark: string;
  readonly leaseMs: number;
}

const NOBODY: Leadership = { leading: false, leader: '', term: 0 };

/**
 * Leader election by a Lease (coordination.k8s.io/v1), as Kubernetes' own components do it: whoever holds the Lease
 * renews it, the others take it when it has not changed for as long as it says. Times are measured on each one's own
 * monotonic clock, so clocks need not agree. A leader stands down on its own before anybody else may take over
 * (`renewMs` < `leaseMs`), and every write names the version that it read, so two never hold one term.
 */
export class LeaderElection {
  readonly #options: Required<LeaderElectionOptions>;
  readonly #path: string;
  readonly #listeners = new Set<(now: Leadership) => void>();
  #now: Leadership = NOBODY;
  /** The Lease as it was when it last changed, and when that was seen. */
  #seen: { readonly view: LeaseView; readonly at: number } | null = null;
  /** When the renewal that is in force was begun. */
  #renewedAt = 0;
  #timer: TimerHandle | null = null;
  #standDown: TimerHandle | null = null;
  #trouble = '';
  #work: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: LeaderElectionOptions) {
    this.#options = { leaseMs: 15_000, renewMs: 10_000, retryMs: 2_000, ...options };
    this.#path = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(options.namespace)}/leases`;
  }

  get now(): Leadership {
    return this.#now;
  }

  onChange(listener: (now: Leadership) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  start(): void {
    this.#work = this.#round();
  }

  /** Stands down and gives the Lease up, so that another need not wait. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#standDown?.cancel();
    await this.#work;
    const view = this.#seen?.view;
    if (!this.#now.leading || view === undefined) return;
    this.#become(NOBODY);
    try {
      await this.#write(view, {
        ...this.#spec(view.term, view.acquireTime),
        holderIdentity: '',
        leaseDurationSeconds: 1,
      });
    } catch (error) {
      this.#options.log.debug('the lease was not given up', { reason: messageOf(error) });
    }
  }

  async #round(): Promise<void> {
    try {
      await this.#look();
      this.#trouble = '';
    } catch (error) {
      // Conflict and AlreadyExists: somebody else was faster; the next look shows who.
      const status = error instanceof KubeError ? error.status : 0;
      const message = messageOf(error);
      if (status !== 409 && message !== this.#trouble) {
        this.#trouble = message;
        this.#options.log.warn(`lease ${this.#options.namespace}/${this.#options.name}: ${message}`);
      }
    }
    if (this.#closed) return;
    const { retryMs, random, clock } = this.#options;
    this.#timer = clock.after(retryMs * (0.8 + 0.4 * random.next()), () => {
      this.#work = this.#round();
    });
  }

  async #look(): Promise<void> {
    const { identity, clock, api, name, retryMs, leaseMs } = this.#options;
    const begun = clock.now();
    let value: unknown;
    try {
      value = await api.send({ path: `${this.#path}/${name}`, timeoutMs: retryMs * 2 });
    } catch (error) {
      if (!(error instanceof KubeError) || error.status !== 404) throw error;
      const metadata = { name, namespace: this.#options.namespace };
      const spec = this.#spec(1, this.#time());
      value = await api.send({
        method: 'POST',
        path: this.#path,
        body: { ...OBJECT, metadata, spec },
        timeoutMs: retryMs * 2,
      });
      this.#lead(viewOf(value, leaseMs), begun);
      return;
    }
    const view = viewOf(value, leaseMs);
    if (this.#seen?.view.mark !== view.mark) this.#seen = { view, at: clock.now() };
    if (view.holder === identity) {
      await this.#renew(view, view.term, view.acquireTime, begun);
      return;
    }
    const expired = view.holder === '' || clock.now() - this.#seen.at > view.leaseMs;
    if (expired && !this.#closed) await this.#renew(view, view.term + 1, this.#time(), begun);
    else this.#become({ leading: false, leader: view.holder, term: view.term });
  }

  async #renew(view: LeaseView, term: number, acquireTime: string, begun: number): Promise<void> {
    if (this.#closed) return;
    const written = await this.#write(view, this.#spec(term, acquireTime));
    this.#lead(viewOf(written, this.#options.leaseMs), begun);
  }

  #lead(view: LeaseView, begun: number): void {
    const { clock, renewMs, identity, log } = this.#options;
    this.#seen = { view, at: clock.now() };
    // Counted from before the write: the others count from after it.
    this.#renewedAt = begun;
    this.#standDown?.cancel();
    const left = this.#renewedAt + renewMs - clock.now();
    if (left <= 0) {
      this.#become({ leading: false, leader: '', term: view.term });
      return;
    }
    this.#standDown = clock.after(left, () => {
      log.warn('no longer leader: the lease could not be renewed in time');
      this.#become({ leading: false, leader: '', term: view.term });
    });
    this.#become({ leading: true, leader: identity, term: view.term });
  }

  #become(next: Leadership): void {
    const { leading, leader, term } = this.#now;
    if (leading === next.leading && leader === next.leader && term === next.term) return;
    this.#now = next;
    if (!next.leading) this.#standDown?.cancel();
    if (leading !== next.leading) this.#options.log.info(next.leading ? 'leading' : 'not leading', { term: next.term });
    for (const listener of this.#listeners) listener(next);
  }

  #write(view: LeaseView, spec: object): Promise<unknown> {
    const { api, name, namespace, retryMs } = this.#options;
    const metadata = { name, namespace, resourceVersion: view.resourceVersion };
    const body = { ...OBJECT, metadata, spec };
    return api.send({ method: 'PUT', path: `${this.#path}/${name}`, body, timeoutMs: retryMs * 2 });
  }

  #spec(term: number, acquireTime: string): object {
    const { identity, leaseMs } = this.#options;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(leaseMs / 1000),
      acquireTime,
      renewTime: this.#time(),
      leaseTransitions: term,
    };
  }

  /** MicroTime: six digits are asked for. */
  #time(): string {
    return new Date(this.#options.clock.wall()).toISOString().replace('Z', '000Z');
  }
}

const OBJECT = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };

function viewOf(value: unknown, leaseMs: number): LeaseView {
  const { metadata, spec } = isRecord(value) ? value : {};
  const { resourceVersion } = isRecord(metadata) ? metadata : {};
  const { holderIdentity, leaseTransitions, renewTime, acquireTime, leaseDurationSeconds } = isRecord(spec) ? spec : {};
  const text = (one: unknown): string => (typeof one === 'string' ? one : '');
  const term = typeof leaseTransitions === 'number' ? leaseTransitions : 0;
  const seconds = typeof leaseDurationSeconds === 'number' ? leaseDurationSeconds : leaseMs / 1000;
  return {
    resourceVersion: text(resourceVersion),
    holder: text(holderIdentity),
    term,
    acquireTime: text(acquireTime),
    mark: `${text(holderIdentity)} ${term} ${text(renewTime)}`,
    leaseMs: seconds * 1000,
  };
}
