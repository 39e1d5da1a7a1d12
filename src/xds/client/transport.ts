import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '../proto/gen/envoy/service/discovery/v3.ts';

/** State of the world, or only what changed. */
export type AdsMode = 'sotw' | 'delta';

/** A stream to an xDS server, as the client needs it: gRPC in production, memory in tests. */
export interface AdsTransport {
  /**
   * Opens a stream. `events` are called later, never from inside `open`; after `end` nothing more is.
   * Requests may be sent at once: they wait for the connection.
   */
  open(mode: AdsMode, events: StreamEvents): AdsStream;
  /** Lets go of connections; streams that are open end. */
  close(): void;
}

export interface StreamEvents {
  /** The server is there. It need not answer soon: one that has nothing new for us says nothing. */
  open(): void;
  /** Messages of the mode's type. */
  response(message: DiscoveryResponse | DeltaDiscoveryResponse): void;
  /** The stream is over; null when the server ended it in good order. */
  end(error: Error | null): void;
}

export interface AdsStream {
  send(request: DiscoveryRequest | DeltaDiscoveryRequest): void;
  /** Ends the stream from this side; `end` is not called. */
  cancel(): void;
}
