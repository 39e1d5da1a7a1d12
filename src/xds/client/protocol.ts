import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Node } from '../proto/gen/envoy/config/core/v3.ts';
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '../proto/gen/envoy/service/discovery/v3.ts';
import type { ResourceDecoder, ResourceUpdate } from './resource-decoder.ts';
import type { Subscription } from './subscription.ts';

/**
 * One variant of the xDS transport protocol, over one stream at a time. It decides what is sent; it
 * knows nothing of connections. `Subscription` holds what outlives a stream.
 */
export interface AdsProtocol {
  /** A new stream is there: says again what is wanted, and which versions are held. */
  start(send: (request: DiscoveryRequest | DeltaDiscoveryRequest) => void): void;
  /** The stream is gone. */
  stop(): void;
  /** `wanted` of a type has changed. */
  resubscribe(subscription: Subscription): void;
  /** Judges a response, answers it with an ACK or a NACK, then tells `onUpdate`. */
  receive(response: DiscoveryResponse | DeltaDiscoveryResponse): void;
}

export interface ProtocolParts {
  readonly node: Node;
  readonly clock: Clock;
  readonly log: Logger;
  /** Every type that may be asked for, in the order in which requests go out on a new stream. */
  readonly subscriptions: ReadonlyMap<string, Subscription>;
  readonly decoders: ReadonlyMap<string, ResourceDecoder>;
  onUpdate(update: ResourceUpdate): void;
}
