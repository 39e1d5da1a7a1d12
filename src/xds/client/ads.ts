import type { Clock, TimerHandle } from '../../base/clock.ts';
import { errorCode, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { Node } from '../proto/gen/envoy/config/core/v3.ts';
import { Backoff, type BackoffOptions } from './backoff.ts';
import { DeltaProtocol } from './delta.ts';
import type { AdsProtocol } from './protocol.ts';
import type { HeldResource, ResourceDecoder, ResourceUpdate } from './resource-decoder.ts';
import { SotwProtocol } from './sotw.ts';
import { Subscription, sameNames, type TypeStatus } from './subscription.ts';
import type { AdsMode, AdsStream, AdsTransport } from './transport.ts';
import { CLUSTER, ENDPOINT, LISTENER, NAME_TABLE, ROUTE, SECRET, VIRTUAL_HOST } from './type-urls.ts';
import { describe } from './verdict.ts';

export interface AdsOptions {
  /** In the order of preference; the next is tried when one fails, and all share the back-off. */
  readonly transports: readonly AdsTransport[];
  readonly mode: AdsMode;
  readonly node: Node;
  readonly decoders: Iterable<ResourceDecoder>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly backoff?: BackoffOptions;
  onUpdate(update: ResourceUpdate): void;
}

/** How the client stands, for `status`, `/config_dump` and the readiness report. */
export interface AdsStatus {
  readonly mode: AdsMode;
  /** `connected`: the server is there, whether or not it has anything to say. */
  readonly state: 'idle' | 'connecting' | 'connected' | 'waiting' | 'closed';
  /** Wall time of the last change between connected and not. */
  readonly since: number;
  readonly lastError: string;
  readonly failures: number;
  readonly types: readonly TypeStatus[];
}

const STABLE_MS = 30_000;
const TELL_MS = 30_000;

/**
 * An attempt that nobody took costs no server anything, so it is made again soon: once there is a server, its clients
 * must hear of new pods before the old ones have gone, which is 5 s for those that our injector changed.
 */
const REFUSED_MAX_MS = 2000;
const REFUSED: ReadonlySet<string | undefined> = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENOENT']);

/** Requests of a new stream go out in this order, whatever the order in which types were subscribed. */
const ORDER = [CLUSTER, ENDPOINT, LISTENER, ROUTE, VIRTUAL_HOST, SECRET, NAME_TABLE];

/**
 * One ADS conversation that survives its streams: it keeps asking for what is wanted, resumes with the
 * versions it holds, and hands on what it accepts. Never blocks and never throws for what a server does.
 */
export class AdsClient {
  readonly #options: AdsOptions;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #protocol: AdsProtocol;
  readonly #backoff: Backoff;
  readonly #closers: (() => void)[] = [];
  #stream: AdsStream | null = null;
  #retry: TimerHandle | null = null;
  #state: AdsStatus['state'] = 'idle';
  #since: number;
  #lastError = '';
  #failures = 0;
  #told = { reason: '', at: 0 };
  #transport = 0;

  constructor(options: AdsOptions) {
    this.#options = options;
    this.#since = options.clock.wall();
    this.#backoff = new Backoff(options.random, options.backoff);
    const decoders = new Map<string, ResourceDecoder>();
    for (const decoder of options.decoders) decoders.set(decoder.typeUrl, decoder);
    for (const typeUrl of [...ORDER.filter((url) => decoders.has(url)), ...decoders.keys()]) {
      if (!this.#subscriptions.has(typeUrl)) this.#subscriptions.set(typeUrl, new Subscription(typeUrl));
    }
    const parts = {
      node: options.node,
      clock: options.clock,
      log: options.log,
      subscriptions: this.#subscriptions,
      decoders,
      onUpdate: (update: ResourceUpdate) => this.#onUpdate(update),
    };
    this.#protocol = options.mode === 'delta' ? new DeltaProtocol(parts) : new SotwProtocol(parts);
  }

  get status(): AdsStatus {
    return {
      mode: this.#options.mode,
      state: this.#state,
      since: this.#since,
      lastError: this.#lastError,
      failures: this.#failures,
      types: [...this.#subscriptions.values()].map((subscription) => subscription.status()),
    };
  }
  get connected(): boolean {
    return this.#state === 'connected';
  }

  /** Wall time of the last change between connected and not; of its making before. */
  get since(): number {
    return this.#since;
  }

  /** Connects, and keeps doing so until `close`. */
  start(): void {
    if (this.#state === 'idle') this.#connect();
  }

  /** Sets what is wanted of a type, all of it each time; {@link WILDCARD} for everything. */
  subscribe(typeUrl: string, names: Iterable<string>): void {
    const subscription = this.#subscriptions.get(typeUrl);
    if (subscription === undefined) throw new Error(`no decoder for ${typeUrl}`);
    const wanted = new Set(names);
    if (sameNames(wanted, subscription.wanted)) return;
    subscription.wanted = wanted;
    subscription.dropUnwanted();
    this.#protocol.resubscribe(subscription);
  }

  /** Whether the server has ever answered for this type. */
  answered(typeUrl: string): boolean {
    return this.#subscriptions.get(typeUrl)?.answered ?? false;
  }

  /** What is held of a type: accepted and wanted. */
  held(typeUrl: string): { readonly version: string; readonly resources: ReadonlyMap<string, HeldResource> } {
    const subscription = this.#subscriptions.get(typeUrl);
    return { version: subscription?.version ?? '', resources: subscription?.held ?? new Map() };
  }

  /**
   * Takes resources saved by an earlier process as held, for types the server has not answered for.
   * They must be wanted already; they are told to the server when the next stream begins.
   */
  restore(typeUrl: string, version: string, resources: Iterable<HeldResource>): HeldResource[] {
    const subscription = this.#subscriptions.get(typeUrl);
    if (subscription === undefined || subscription.answered) return [];
    const restored: HeldResource[] = [];
    for (const resource of resources) {
      if (!subscription.wants(resource.name) || subscription.held.has(resource.name)) continue;
      subscription.held.set(resource.name, resource);
      if (subscription.sent !== null) subscription.undeclared.add(resource.name);
      restored.push(resource);
    }
    if (subscription.version === '') subscription.version = version;
    return restored;
  }

  close(): void {
    this.#retry?.cancel();
    this.#retry = null;
    this.#stream?.cancel();
    this.#stream = null;
    this.#protocol.stop();
    this.#to('closed');
    for (const transport of this.#options.transports) transport.close();
    for (const closer of this.#closers.splice(0)) closer();
  }

  /** Calls `closer` when the client is closed. */
  onClose(closer: () => void): void {
    this.#closers.push(closer);
  }

  #connect(): void {
    const { transports, mode } = this.#options;
    const transport = transports[this.#transport % transports.length];
    if (transport === undefined) throw new Error('ADS: no target');
    this.#to('connecting');
    // Events of a stream that was given up must not reach the one that replaced it.
    let live = true;
    const stream = transport.open(mode, {
      open: () => {
        if (live) this.#connected();
      },
      response: (message) => {
        if (!live) return;
        this.#connected();
        this.#backoff.reset();
        try {
          this.#protocol.receive(message);
        } catch (error) {
          // A bug of ours: the stream starts over rather than the process ending.
          this.#options.log.error('response could not be handled', { error: messageOf(error) });
          stream.cancel();
          live = false;
          this.#disconnected(error instanceof Error ? error : new Error(String(error)));
        }
      },
      end: (error) => {
        if (!live) return;
        live = false;
        this.#disconnected(error);
      },
    });
    this.#stream = {
      send: (request) => stream.send(request),
      cancel: () => {
        live = false;
        stream.cancel();
      },
    };
    this.#protocol.start((request) => stream.send(request));
  }

  #connected(): void {
    if (this.#state === 'connected') return;
    this.#to('connected');
    this.#lastError = '';
    this.#told.reason = '';
    this.#options.log.info('connected', { mode: this.#options.mode });
  }

  #disconnected(error: Error | null): void {
    // A server that had nothing to say for so long was not a failure either.
    if (this.#state === 'connected' && this.#options.clock.wall() - this.#since > STABLE_MS) this.#backoff.reset();
    this.#stream = null;
    this.#protocol.stop();
    this.#failures++;
    this.#transport++;
    this.#lastError = error === null ? 'the server ended the stream' : error.message;
    this.#to('waiting');
    const delay = this.#backoff.next(isRefused(error) ? REFUSED_MAX_MS : undefined);
    this.#tell(delay);
    this.#retry = this.#options.clock.after(delay, () => {
      this.#retry = null;
      this.#connect();
    });
  }

  /** A reason is told when it is new and then each half minute, however often it is met. */
  #tell(delay: number): void {
    const { clock, log } = this.#options;
    const reason = this.#lastError;
    if (reason === this.#told.reason && clock.now() - this.#told.at < TELL_MS) return;
    this.#told = { reason, at: clock.now() };
    log.warn('not connected', { reason, failures: this.#failures, retry_ms: Math.round(delay) });
  }

  #to(state: AdsStatus['state']): void {
    if ((state === 'connected') !== (this.#state === 'connected')) this.#since = this.#options.clock.wall();
    this.#state = state;
  }

  #onUpdate(update: ResourceUpdate): void {
    if (update.rejected.length > 0)
      this.#options.log.warn('rejected', { reason: describe(update.typeUrl, update.rejected) });
    if (update.warnings.length > 0)
      this.#options.log.warn('accepted', { remark: describe(update.typeUrl, update.warnings) });
    this.#options.onUpdate(update);
  }
}

function isRefused(error: Error | null): boolean {
  return REFUSED.has(errorCode(error)) || REFUSED.has(errorCode(error?.cause));
}
