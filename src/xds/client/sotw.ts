import type { DiscoveryRequest, DiscoveryResponse } from '../proto/gen/envoy/service/discovery/v3.ts';
import type { AdsProtocol, ProtocolParts } from './protocol.ts';
import type { Subscription } from './subscription.ts';
import { WILDCARD } from './subscription.ts';
import { WHOLE_WORLD } from './type-urls.ts';
import { errorDetail, hold, judge, type Verdict } from './verdict.ts';

/**
 * State of the world. Each request carries all names wanted of its type; a response of listeners or
 * clusters is all there is, one of any other type says nothing about what it leaves out.
 *
 * A resource that fails is refused alone: its last good version stays, the valid ones of the response
 * are applied, and the response is NACKed with a reason for each. The version of a NACK is the last one
 * accepted whole.
 */
export class SotwProtocol implements AdsProtocol {
  readonly #parts: ProtocolParts;
  #send: ((request: DiscoveryRequest) => void) | null = null;
  #nodeSent = false;

  constructor(parts: ProtocolParts) {
    this.#parts = parts;
  }

  start(send: (request: DiscoveryRequest) => void): void {
    this.#send = send;
    this.#nodeSent = false;
    for (const subscription of this.#parts.subscriptions.values()) {
      if (subscription.wanted.size > 0) this.#request(subscription);
    }
  }

  stop(): void {
    this.#send = null;
    for (const subscription of this.#parts.subscriptions.values()) subscription.disconnect();
  }

  resubscribe(subscription: Subscription): void {
    // Nothing wanted and nothing asked for: silence, because an empty first request would mean everything.
    if (subscription.wanted.size === 0 && subscription.sent === null) return;
    this.#request(subscription);
  }

  receive(response: DiscoveryResponse): void {
    const typeUrl = response.type_url ?? '';
    const subscription = this.#parts.subscriptions.get(typeUrl);
    const decoder = this.#parts.decoders.get(typeUrl);
    if (subscription === undefined || subscription.sent === null || decoder === undefined) {
      this.#parts.log.warn('response of a type that was not asked for', { type: typeUrl });
      return;
    }
    const version = response.version_info ?? '';
    subscription.nonce = response.nonce ?? '';
    const verdict = judge(
      decoder,
      (response.resources ?? []).map((any) => ({ version, any })),
      subscription.held,
    );
    const updated = hold(subscription, verdict.accepted);
    const removed = WHOLE_WORLD.has(typeUrl) ? this.#dropAbsent(subscription, verdict) : [];
    subscription.answered = true;
    const at = this.#parts.clock.wall();
    if (verdict.rejected.length === 0) {
      subscription.version = version;
      subscription.lastAck = { version, at };
      this.#request(subscription);
    } else {
      const detail = errorDetail(typeUrl, verdict.rejected);
      subscription.lastNack = { version, at, reason: detail.message ?? '' };
      this.#request(subscription, detail);
    }
    this.#parts.onUpdate({
      typeUrl,
      updated,
      removed,
      rejected: verdict.rejected,
      warnings: verdict.warnings,
      source: 'server',
    });
  }

  #dropAbsent(subscription: Subscription, { accepted, rejected }: Verdict): string[] {
    const present = new Set(accepted.map((resource) => resource.name));
    for (const { name } of rejected) {
      // Somebody is there whose name cannot be read: who is absent cannot be told.
      if (name === '') return [];
      present.add(name);
    }
    const removed = [...subscription.held.keys()].filter((name) => !present.has(name));
    for (const name of removed) subscription.held.delete(name);
    return removed;
  }

  #request(subscription: Subscription, detail?: DiscoveryRequest['error_detail']): void {
    if (this.#send === null) return;
    const request: DiscoveryRequest = { type_url: subscription.typeUrl };
    if (subscription.version !== '') request.version_info = subscription.version;
    if (subscription.nonce !== '') request.response_nonce = subscription.nonce;
    // A lone wildcard is said the old way, by no names, which every server understands.
    const names = [...subscription.wanted];
    if (names.length > 0 && !(names.length === 1 && names[0] === WILDCARD)) request.resource_names = names;
    if (detail !== undefined) request.error_detail = detail;
    if (!this.#nodeSent) request.node = this.#parts.node;
    this.#nodeSent = true;
    subscription.sent = subscription.wanted;
    this.#send(request);
  }
}
