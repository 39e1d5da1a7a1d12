import type { Clock, TimerHandle } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Status } from '../../xds/proto/gen/google/rpc.ts';
import type { Wire } from './delta.ts';
import { hostIndex, isHostName, routesOf } from './host-index.ts';
import type { ProxyNode } from './node.ts';
import type { PushBudget, Share } from './push-budget.ts';
import { namesOf, type ProxySnapshot, type ResourceEntry, type Resources, resourcesOf, versionOf } from './snapshot.ts';
import type { ChangeScope, SnapshotSource } from './source.ts';
import { MAX_NAMES, TypeState } from './type-state.ts';
import {
  ADDITION_ORDER,
  CLUSTER,
  ENDPOINT,
  LISTENER,
  REMOVAL_ORDER,
  ROUTE,
  shortName,
  VIRTUAL_HOST,
  WHOLE_WORLD,
} from './type-urls.ts';
import { ClientView } from './view.ts';

/** A request of either variant. SotW has `names`, delta has `subscribe`, `unsubscribe` and `versions`. */
export interface SessionRequest {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly error: Status | undefined;
  readonly names: readonly string[] | null;
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  readonly versions: Readonly<Record<string, string>>;
}

export interface SessionParts {
  readonly node: ProxyNode;
  readonly wire: Wire;
  readonly source: SnapshotSource;
  readonly clock: Clock;
  readonly log: Logger;
  /** Routes and listeners wait no longer than this for clusters and endpoints to be ACKed. */
  readonly gateMs: number;
  /** What many clients may be sent at once; absent: all of it. */
  readonly budget?: PushBudget;
  send(response: Uint8Array): void;
  /** The client has said something: subscribed, ACKed, NACKed. */
  answered(): void;
}

/** Thrown when a client asks for more than it may; the stream ends with the message. */
export class SessionLimitError extends Error {}

const MAX_TYPES = 32;

/**
 * One client's conversation. What is new goes out in the order clusters, endpoints, listeners, routes,
 * and what is gone after that, in reverse; one push a type is in flight, and what changes meanwhile goes
 * out with the next one. Endpoints wait for nothing: Envoy ACKs a cluster only when it has its endpoints.
 */
export class Session {
  readonly #parts: SessionParts;
  readonly types = new Map<string, TypeState>();
  readonly #view = new ClientView(this.types);
  /** Hosts that the client waits to hear of, as it wrote them. */
  readonly #askedHosts = new Set<string>();
  /** What is being pushed. It stays the same until all of it is out, so that no route overtakes its cluster. */
  #config: ProxySnapshot;
  /** What is to be pushed after that. */
  #next: ProxySnapshot;
  /** As it is now: where endpoints come from, which wait for nothing. */
  #latest: ProxySnapshot;
  /** EDS names of clusters sent which the client has not ACKed since. */
  readonly #expected = new Set<string>();
  /** Types whose response waits for room, and shares of those that have it. */
  readonly #deferred = new Set<string>();
  readonly #shares = new Map<string, Share>();
  #gate: TimerHandle | null = null;
  #gateOpen = false;
  #nonce = 0;
  #closed = false;
  /** Version of the last snapshot that the client ACKed as a whole. */
  applied = '';
  /** The source's epoch of all that the client has ACKed; -1 nothing yet. */
  epoch = -1;
  /** That of the latest snapshot. */
  #latestEpoch: number;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#config = this.#next = this.#latest = parts.source.snapshotFor(parts.node);
    this.#latestEpoch = parts.source.epoch ?? 0;
  }

  /** What the client is to have, debounced or not. */
  get target(): ProxySnapshot {
    return this.#latest;
  }

  /** What of its snapshot the client is to have of a type. */
  wanted(typeUrl: string): Resources {
    return this.#view.resources(this.#latest, typeUrl);
  }

  /** The source has something new. */
  refresh(scope: ChangeScope): void {
    this.#latest = this.#parts.source.snapshotFor(this.#parts.node);
    const epoch = this.#parts.source.epoch ?? 0;
    const unchanged = this.applied === this.#latest.version && this.epoch === this.#latestEpoch;
    this.#latestEpoch = epoch;
    // It is not about this client.
    if (unchanged) this.epoch = epoch;
    if (scope === 'config') this.#next = this.#latest;
    this.#push(scope);
  }

  request(request: SessionRequest): void {
    let state = this.types.get(request.typeUrl);
    const first = state === undefined;
    if (state === undefined) {
      if (this.types.size >= MAX_TYPES) throw new SessionLimitError(`more than ${MAX_TYPES} resource types`);
      state = new TypeState(request.typeUrl);
      this.types.set(request.typeUrl, state);
    }
    const waited = this.#expected.size > 0 || this.#gate !== null;
    if (request.names === null) this.#onDelta(state, request, first);
    else if (!this.#onSotw(state, request, request.names, first)) return;
    if (state.names.size > MAX_NAMES)
      throw new SessionLimitError(`more than ${MAX_NAMES} ${shortName(request.typeUrl)} names`);
    // Of those that nothing waited for, nothing but other endpoints can follow.
    const endpoints =
      !waited && !first && isAckOfEndpoints(request) && state.removals(this.#resources(state)).length === 0;
    this.#push(endpoints ? 'endpoints' : 'config');
    this.#parts.answered();
  }

  close(): void {
    this.#closed = true;
    this.#gate?.cancel();
    this.#parts.budget?.forget(this.#retry);
    for (const share of this.#shares.values()) share.release();
  }

  /** False when the request is stale: the client has not seen our last response yet, and will say all again. */
  #onSotw(state: TypeState, request: SessionRequest, names: readonly string[], first: boolean): boolean {
    if (!first && request.nonce !== state.lastNonce) return false;
    this.#settle(state, request);
    const changed = state.replaceNames(names, first);
    // Also to a client that says it has this version: a whole world repeated costs it nothing, and it knows we are here.
    if (WHOLE_WORLD.has(state.typeUrl) && (first || changed)) state.mustRespond = true;
    return true;
  }

  #onDelta(state: TypeState, request: SessionRequest, first: boolean): void {
    this.#settle(state, request);
    state.editNames(request.subscribe, request.unsubscribe, first, resourcesOf(this.#latest, state.typeUrl));
    if (first) {
      // Envoy waits for virtual hosts with its routes, also where there are none.
      state.mustRespond = state.wildcard || state.typeUrl === VIRTUAL_HOST;
      for (const name in request.versions) {
        if (state.sent.size >= MAX_NAMES) throw new SessionLimitError(`more than ${MAX_NAMES} initial versions`);
        if (!state.subscribes(name)) continue;
        const version = request.versions[name] ?? '';
        state.sent.set(name, { version, entry: null, accepted: null, refused: false });
      }
    }
    // What a client asks for it does not have, even if it was sent before; what it said it has, it has.
    for (const name of request.subscribe) {
      if (state.typeUrl === VIRTUAL_HOST) {
        if (isHostName(name)) this.#askedHosts.add(name);
      } else if (name !== '*' && !(first && state.sent.has(name))) state.ask(name);
    }
    for (const name of request.unsubscribe) this.#askedHosts.delete(name);
  }

  #settle(state: TypeState, { nonce, error }: SessionRequest): void {
    const push = state.inFlight;
    if (push === null || nonce !== push.nonce) return;
    const share = this.#shares.get(state.typeUrl);
    this.#shares.delete(state.typeUrl);
    // What others get for it they get when this turn is over.
    if (share !== undefined) queueMicrotask(() => share.release());
    const at = this.#parts.clock.wall();
    // Refused or not: there is nothing more to wait for.
    if (state.typeUrl === ENDPOINT) for (const name of push.names) this.#expected.delete(name);
    if (error === undefined) {
      if (state.typeUrl === ROUTE) this.#sendHostsOfNew(state, push.names);
      state.acknowledge(push, at);
      return;
    }
    const reason = shorten(error.message ?? '');
    state.refuse(push, reason, at);
    // Endpoints of clusters that were refused will not be asked for.
    const endpoints = this.types.get(ENDPOINT);
    if (state.typeUrl === CLUSTER)
      for (const name of this.#expected) if (!endpoints?.subscribes(name)) this.#expected.delete(name);
    this.#parts.log.warn('NACK', {
      proxy: this.#parts.node.id,
      type: shortName(state.typeUrl),
      version: push.version,
      reason,
    });
  }

  /** Envoy drops virtual hosts that come before their routes, and does not ask for them again. */
  #sendHostsOfNew(state: TypeState, routes: readonly string[]): void {
    const hosts = this.types.get(VIRTUAL_HOST);
    const first = new Set(routes.filter((name) => state.sent.get(name)?.accepted === null));
    if (hosts === undefined || first.size === 0) return;
    for (const name of hosts.sent.keys()) if (first.has(routesOf(name))) hosts.sent.delete(name);
    hosts.touch();
  }

  #resources(state: TypeState): Resources {
    return this.#view.resources(state.typeUrl === ENDPOINT ? this.#latest : this.#config, state.typeUrl);
  }

  #push(scope: ChangeScope): void {
    if (this.#closed) return;
    if (scope === 'endpoints') {
      const endpoints = this.types.get(ENDPOINT);
      if (endpoints !== undefined) this.#add(endpoints);
      // They may be no business of this client.
      if (endpoints?.inFlight == null && !this.#busy()) this.#noteApplied();
      return;
    }
    if (this.#config !== this.#next && !this.#busy() && this.#gate === null) this.#config = this.#next;
    let waiting = false;
    for (const state of this.#inOrder(ADDITION_ORDER)) {
      if (!this.#gated(state.typeUrl)) this.#add(state);
      else if (this.#hasAdditions(state)) waiting = true;
    }
    // What waits for room has not been sent: its time has not begun.
    if (waiting && this.#deferred.size === 0) this.#armGate();
    else this.#closeGate();
    if (!waiting && !this.#busy()) this.#remove();
    if (waiting || this.#busy()) return;
    if (this.#config !== this.#next) this.#push('config');
    else this.#noteApplied();
  }

  *#inOrder(order: readonly string[]): Iterable<TypeState> {
    for (const url of order) {
      const state = this.types.get(url);
      if (state !== undefined) yield state;
    }
    for (const [url, state] of this.types) if (!order.includes(url)) yield state;
  }

  #hasAdditions(state: TypeState): boolean {
    return state.mustRespond || this.#hasAsked(state) || state.additions(this.#resources(state)).length > 0;
  }

  #hasAsked({ typeUrl }: TypeState): boolean {
    return typeUrl === VIRTUAL_HOST && this.#askedHosts.size > 0;
  }

  /** Listeners and routes wait until the clusters and endpoints sent before them are in place. */
  #gated(url: string): boolean {
    if ((url !== LISTENER && url !== ROUTE && url !== VIRTUAL_HOST) || this.#gateOpen) return false;
    if (url === VIRTUAL_HOST && this.#inFlight(ROUTE)) return true;
    return this.#inFlight(CLUSTER) || this.#deferred.has(CLUSTER) || this.#expected.size > 0;
  }

  #armGate(): void {
    this.#gate ??= this.#parts.clock.after(this.#parts.gateMs, () => {
      this.#parts.log.warn('clusters or endpoints not ACKed in time, routes go out without', {
        proxy: this.#parts.node.id,
      });
      this.#gateOpen = true;
      this.#expected.clear();
      this.#push('config');
    });
  }

  #closeGate(): void {
    this.#gate?.cancel();
    this.#gate = null;
    this.#gateOpen = false;
  }

  #add(state: TypeState): void {
    if (state.inFlight !== null) return;
    const resources = this.#resources(state);
    const unresolved = this.#hasAsked(state) ? this.#resolve(state) : [];
    const updated = state.additions(resources);
    const missing = this.#parts.wire.mode === 'delta' ? state.missing(resources) : [];
    if (updated.length === 0 && missing.length === 0 && unresolved.length === 0 && !state.mustRespond) {
      state.asked.clear();
      if (state.removals(resources).length === 0) state.level(resources);
      return;
    }
    if (!this.#hasRoom(state.typeUrl, updated)) {
      for (const asked of unresolved) this.#askedHosts.add(asked);
      return;
    }
    if (state.typeUrl === CLUSTER) this.#expectEndpoints(updated);
    const retained = WHOLE_WORLD.has(state.typeUrl) ? state.retained(resources) : [];
    this.#send(state, updated, missing, retained, unresolved);
  }

  /** Whether a response may go out now; if not, all is tried again when it may. */
  #hasRoom(typeUrl: string, updated: readonly ResourceEntry[]): boolean {
    const { budget } = this.#parts;
    if (budget === undefined) return true;
    let bytes = 0;
    for (const { any } of updated) bytes += any.value?.length ?? 0;
    const share = budget.take(bytes, this.#retry);
    if (share === null) {
      this.#deferred.add(typeUrl);
      return false;
    }
    this.#deferred.delete(typeUrl);
    this.#shares.set(typeUrl, share);
    return true;
  }
  readonly #retry = (): void => this.#push('config');

  /** Asks for the virtual hosts that are meant by what the client asked for; returns what nothing is meant by. */
  #resolve(state: TypeState): string[] {
    const index = hostIndex(resourcesOf(this.#config, VIRTUAL_HOST));
    const view = this.#view.resources(this.#config, VIRTUAL_HOST);
    const unresolved: string[] = [];
    for (const asked of this.#askedHosts) {
      // An instance is named by what was asked for.
      const name = index.find(asked) ?? (view.has(asked) ? asked : null);
      if (name === null) unresolved.push(asked);
      // The client's view has the host already, since it follows what is asked for.
      else state.asked.add(name);
    }
    this.#askedHosts.clear();
    // Only what was level is not compared again.
    if (state.asked.size > 0) state.touch();
    return unresolved;
  }

  /** A cluster that is new or changed warms only with its endpoints, which may not have changed at all. */
  #expectEndpoints(clusters: readonly ResourceEntry[]): void {
    const endpoints = this.types.get(ENDPOINT);
    const known = resourcesOf(this.#latest, ENDPOINT);
    for (const { references } of clusters) {
      for (const { typeUrl, name } of references) {
        if (typeUrl !== ENDPOINT || !known.has(name)) continue;
        this.#expected.add(name);
        if (endpoints?.subscribes(name)) endpoints.ask(name);
      }
    }
  }

  /** A push of the config waits for its answer; endpoints come and go beside it. */
  #busy(): boolean {
    return [CLUSTER, LISTENER, ROUTE, VIRTUAL_HOST].some((url) => this.#inFlight(url) || this.#deferred.has(url));
  }

  #inFlight(url: string): boolean {
    return (this.types.get(url)?.inFlight ?? null) !== null;
  }

  #remove(): void {
    const needed = this.#neededByRefused();
    for (const state of this.#inOrder(REMOVAL_ORDER)) {
      if (state.inFlight !== null) continue;
      const resources = this.#resources(state);
      // Endpoints run ahead of the config, but must not leave before their cluster.
      const present = this.#view.resources(this.#config, state.typeUrl);
      const removed = state
        .removals(resources)
        .filter((name) => !present.has(name) && !needed.has(`${state.typeUrl} ${name}`));
      if (removed.length === 0) continue;
      if (this.#parts.wire.mode === 'sotw' && !WHOLE_WORLD.has(state.typeUrl)) {
        for (const name of removed) state.sent.delete(name);
        continue;
      }
      const retained = state.retained(resources).filter((entry) => needed.has(`${state.typeUrl} ${entry.name}`));
      this.#send(state, [], removed, retained);
      return;
    }
  }

  /** Where a listener or route was refused the old one is in force, and still needs what it refers to. */
  #neededByRefused(): Set<string> {
    const needed = new Set<string>();
    const add = (entry: ResourceEntry | null | undefined): void => {
      for (const { typeUrl, name } of entry?.references ?? []) {
        const key = `${typeUrl} ${name}`;
        if (needed.has(key)) continue;
        needed.add(key);
        const sent = this.types.get(typeUrl)?.sent.get(name);
        add(sent?.accepted ?? sent?.entry);
      }
    };
    for (const url of [LISTENER, ROUTE, VIRTUAL_HOST]) {
      const state = this.types.get(url);
      if (state?.everRefused !== true) continue;
      for (const { refused, accepted } of state.sent.values()) if (refused) add(accepted);
    }
    return needed;
  }

  #send(
    state: TypeState,
    updated: readonly ResourceEntry[],
    removed: readonly string[],
    retained: readonly ResourceEntry[],
    unresolved: readonly string[] = [],
  ): void {
    const { wire, clock } = this.#parts;
    const resources = this.#resources(state);
    const nonce = String(++this.#nonce);
    const version = versionOf(resources) + (retained.length > 0 && wire.mode === 'sotw' ? `+${retained.length}` : '');
    const hosts =
      state.typeUrl === VIRTUAL_HOST ? { unresolved, aliases: this.#view.aliases(this.#config) } : undefined;
    const change = { typeUrl: state.typeUrl, nonce, version, updated, removed, retained, ...hosts };
    const bytes = wire.encode(change, state, resources);
    const names = updated.map((entry) => entry.name);
    // What is sent is no longer to be compared; only what is to be removed remains.
    const level = state.removals(resources).length === 0;
    state.pushed({ nonce, version, at: clock.wall(), names }, updated, removed);
    if (level) state.level(resources);
    this.#parts.send(bytes);
  }

  /** The client has asked for the routes of a listener and the endpoints of a cluster, as it does after the ACK. */
  #followed({ references }: ResourceEntry): boolean {
    return references.every(({ typeUrl, name }) => {
      if ((typeUrl !== ROUTE && typeUrl !== ENDPOINT) || !resourcesOf(this.#latest, typeUrl).has(name)) return true;
      return this.types.get(typeUrl)?.subscribes(name) ?? false;
    });
  }

  #noteApplied(): void {
    if (this.applied === this.#latest.version) {
      this.epoch = this.#latestEpoch;
      return;
    }
    for (const state of this.types.values()) {
      // Against the latest, because a config change may wait for the debounce.
      const resources = this.wanted(state.typeUrl);
      if (this.#hasAsked(state)) return;
      if (state.inFlight !== null || state.nacked !== null || state.mustRespond) return;
      if (state.additions(resources).length > 0 || state.removals(resources).length > 0) return;
    }
    if (!this.#allFollowed()) return;
    this.applied = this.#latest.version;
    this.epoch = this.#latestEpoch;
  }

  /** Whether everything that was sent was followed; not looked at again until it can be otherwise. */
  #allFollowed(): boolean {
    const facts: unknown[] = [];
    // Listeners are followed to routes, clusters to endpoints; of these only who is there matters.
    for (const [url, followed] of FOLLOWED) {
      facts.push(this.wanted(url), this.types.get(followed)?.revision, namesOf(this.wanted(followed)));
    }
    const before = this.#followedBy;
    if (before !== null && facts.every((fact, i) => fact === before[i])) return true;
    for (const [url] of FOLLOWED) {
      const state = this.types.get(url);
      for (const entry of state?.subscribed(this.wanted(url)) ?? []) if (!this.#followed(entry)) return false;
    }
    this.#followedBy = facts;
    return true;
  }
  #followedBy: readonly unknown[] | null = null;
}

/** It says nothing else. */
function isAckOfEndpoints({ typeUrl, error, names, subscribe, unsubscribe }: SessionRequest): boolean {
  if (typeUrl !== ENDPOINT || error !== undefined || names !== null) return false;
  return subscribe.length === 0 && unsubscribe.length === 0;
}

/** Types whose resources lead to others that a client then asks for. */
const FOLLOWED = [
  [LISTENER, ROUTE],
  [CLUSTER, ENDPOINT],
] as const;

/** Envoy prints the resource first, name on top, and what is wrong with it last: both ends are kept. */
function shorten(reason: string): string {
  return reason.length <= 4096 ? reason : `${reason.slice(0, 1024)} … ${reason.slice(-3072)}`;
}
