import type { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from '../proto/gen/envoy/service/discovery/v3.ts';
import type { AdsProtocol, ProtocolParts } from './protocol.ts';
import { type Subscription, WILDCARD } from './subscription.ts';
import { VIRTUAL_HOST } from './type-urls.ts';
import { errorDetail, hold, judge, type Received } from './verdict.ts';

/**
 * Delta. Requests say what is wanted now and was not before; responses bring what changed and what is
 * gone. A new stream is told which versions are held, so that the server sends only what is new.
 *
 * Of a response with invalid resources the valid ones and the removals are applied, as Envoy does; the
 * invalid ones keep their last good version, and the NACK gives each its reason.
 */
export class DeltaProtocol implements AdsProtocol {
  readonly #parts: ProtocolParts;
  #send: ((request: DeltaDiscoveryRequest) => void) | null = null;
  #nodeSent = false;

  constructor(parts: ProtocolParts) {
    this.#parts = parts;
  }

  start(send: (request: DeltaDiscoveryRequest) => void): void {
    this.#send = send;
    this.#nodeSent = false;
    for (const subscription of this.#parts.subscriptions.values()) {
      if (subscription.wanted.size > 0) this.resubscribe(subscription);
    }
  }

  stop(): void {
    this.#send = null;
    for (const subscription of this.#parts.subscriptions.values()) subscription.disconnect();
  }

  resubscribe(subscription: Subscription): void {
    if (this.#send === null) return;
    const { sent, wanted } = subscription;
    if (sent === null) {
      if (wanted.size > 0) this.#first(subscription);
      return;
    }
    const subscribe = [...wanted].filter((name) => !sent.has(name));
    const unsubscribe = [...sent].filter((name) => !wanted.has(name));
    if (subscribe.length === 0 && unsubscribe.length === 0) return;
    const request: DeltaDiscoveryRequest = { type_url: subscription.typeUrl };
    if (subscribe.length > 0) request.resource_names_subscribe = subscribe;
    if (unsubscribe.length > 0) request.resource_names_unsubscribe = unsubscribe;
    this.#write(subscription, request);
  }

  receive(response: DeltaDiscoveryResponse): void {
    const typeUrl = response.type_url ?? '';
    const subscription = this.#parts.subscriptions.get(typeUrl);
    const decoder = this.#parts.decoders.get(typeUrl);
    if (subscription === undefined || subscription.sent === null || decoder === undefined) {
      this.#parts.log.warn('response of a type that was not asked for', { type: typeUrl });
      return;
    }
    const received: Received[] = [];
    const absent: string[] = [];
    for (const resource of response.resources ?? []) {
      // Without a body it is only a heartbeat: it would renew a TTL, and we keep none. But of a host that was asked for it
      // says that there is none.
      if (resource.resource === undefined) {
        if (typeUrl === VIRTUAL_HOST) absent.push(resource.name ?? '', ...(resource.aliases ?? []));
        continue;
      }
      received.push({ name: resource.name ?? '', version: resource.version ?? '', any: resource.resource });
    }
    const verdict = judge(decoder, received, subscription.held);
    const updated = hold(subscription, verdict.accepted);
    const removed = this.#remove(subscription, response.removed_resources ?? [], verdict);
    subscription.answered = true;
    subscription.nonce = response.nonce ?? '';
    const version = response.system_version_info ?? '';
    const at = this.#parts.clock.wall();
    const request: DeltaDiscoveryRequest = { type_url: typeUrl, response_nonce: subscription.nonce };
    if (verdict.rejected.length === 0) {
      subscription.version = version;
      subscription.lastAck = { version, at };
    } else {
      const detail = errorDetail(typeUrl, verdict.rejected);
      request.error_detail = detail;
      subscription.lastNack = { version, at, reason: detail.message ?? '' };
    }
    this.#write(subscription, request, subscription.sent);
    this.#parts.onUpdate({
      typeUrl,
      updated,
      removed,
      absent,
      rejected: verdict.rejected,
      warnings: verdict.warnings,
      source: 'server',
    });
  }

  /** Says what a new stream must know. A wildcard alone is said by no names, as Envoy does. */
  #first(subscription: Subscription): void {
    const request: DeltaDiscoveryRequest = { type_url: subscription.typeUrl };
    const names = [...subscription.wanted];
    if (!(names.length === 1 && names[0] === WILDCARD)) request.resource_names_subscribe = names;
    if (subscription.held.size > 0) {
      const versions: { [name: string]: string } = Object.create(null);
      for (const [name, resource] of subscription.held) versions[name] = resource.version;
      request.initial_resource_versions = versions;
    }
    this.#write(subscription, request);
  }

  #remove(subscription: Subscription, names: readonly string[], verdict: ReturnType<typeof judge>): string[] {
    const removed = names.filter((name) => subscription.wants(name));
    for (const name of removed) subscription.held.delete(name);
    if (subscription.wildcard && subscription.undeclared.size > 0) {
      const present = new Set([...verdict.accepted, ...verdict.rejected].map(({ name }) => name));
      for (const name of subscription.undeclared) {
        if (!present.has(name) && subscription.held.delete(name)) removed.push(name);
      }
      subscription.undeclared.clear();
    }
    return removed;
  }

  #write(subscription: Subscription, request: DeltaDiscoveryRequest, sent = subscription.wanted): void {
    if (!this.#nodeSent) request.node = this.#parts.node;
    this.#nodeSent = true;
    subscription.sent = sent;
    this.#send?.(request);
  }
}
