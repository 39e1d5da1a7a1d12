import type { ClientDuplexStream } from '@grpc/grpc-js';
import type { Logger } from '../../base/log.ts';
import { decode, encode, Problems } from '../proto/codec.ts';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '../proto/gen/envoy/service/discovery/v3.ts';
import type { MessageType } from '../proto/message-type.ts';
import type { AdsMode, AdsStream, AdsTransport, StreamEvents } from './transport.ts';

const SERVICE = '/envoy.service.discovery.v3.AggregatedDiscoveryService';
const MAX_MESSAGE = 64 * 1024 * 1024;

export interface GrpcTransportOptions {
  /** `host:port`, or any target that grpc-js resolves (`dns:///…`, `unix:…`). */
  readonly target: string;
  /** `:authority` of the requests when it is not the target. */
  readonly authority?: string;
  readonly log: Logger;
}

type Grpc = typeof import('@grpc/grpc-js');

/**
 * ADS over grpc-js, which is loaded when the first stream opens: a proxy without ADS never pays for it.
 * Each stream has a channel of its own, because the pace of reconnection is the client's, not the channel's.
 */
export class GrpcTransport implements AdsTransport {
  readonly #options: GrpcTransportOptions;
  readonly #open = new Set<GrpcStream>();

  constructor(options: GrpcTransportOptions) {
    this.#options = options;
  }

  open(mode: AdsMode, events: StreamEvents): AdsStream {
    const stream = new GrpcStream(mode, this.#options, {
      open: () => events.open(),
      response: (message) => events.response(message),
      end: (error) => {
        this.#open.delete(stream);
        events.end(error);
      },
    });
    this.#open.add(stream);
    return {
      send: (request) => stream.send(request),
      cancel: () => {
        this.#open.delete(stream);
        stream.cancel();
      },
    };
  }

  close(): void {
    for (const stream of this.#open) stream.cancel();
    this.#open.clear();
  }
}

class GrpcStream implements AdsStream {
  readonly #mode: AdsMode;
  readonly #options: GrpcTransportOptions;
  readonly #events: StreamEvents;
  #call: ClientDuplexStream<Uint8Array, Uint8Array> | null = null;
  #closeChannel: (() => void) | null = null;
  /** What was sent before the library was loaded. */
  #early: Uint8Array[] = [];
  #over = false;

  constructor(mode: AdsMode, options: GrpcTransportOptions, events: StreamEvents) {
    this.#mode = mode;
    this.#options = options;
    this.#events = events;
    import('./grpc-js.ts').then(
      ({ grpc }) => this.#connect(grpc),
      (error: Error) => this.#end(error),
    );
  }

  send(request: DiscoveryRequest | DeltaDiscoveryRequest): void {
    if (this.#over) return;
    const bytes = this.#mode === 'delta' ? encode(DeltaDiscoveryRequest, request) : encode(DiscoveryRequest, request);
    if (this.#call === null) this.#early.push(bytes);
    else this.#call.write(bytes);
  }

  cancel(): void {
    this.#over = true;
    this.#call?.cancel();
    this.#release();
  }

  #connect(grpc: Grpc): void {
    if (this.#over) return;
    const channel: Record<string, string | number> = {
      'grpc.max_receive_message_length': MAX_MESSAGE,
      'grpc.max_send_message_length': MAX_MESSAGE,
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
      'grpc.use_local_subchannel_pool': 1,
      // The whole config of a mesh comes in one message; HTTP/2's 64 KiB window would make it crawl.
      'grpc-node.flow_control_window': 4 * 1024 * 1024,
    };
    if (this.#options.authority !== undefined) channel['grpc.default_authority'] = this.#options.authority;
    const client = new grpc.Client(this.#options.target, grpc.credentials.createInsecure(), channel);
    this.#closeChannel = () => client.close();
    client.waitForReady(Number.POSITIVE_INFINITY, (error) => {
      if (error === undefined && !this.#over) this.#events.open();
    });
    const method = `${SERVICE}/${this.#mode === 'delta' ? 'DeltaAggregatedResources' : 'StreamAggregatedResources'}`;
    // Serialized and parsed here, so that what is malformed ends the stream with a reason of ours.
    const call = client.makeBidiStreamRequest<Uint8Array, Uint8Array>(
      method,
      (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      (buffer) => buffer,
    );
    this.#call = call;
    call.on('data', (bytes: Uint8Array) => this.#receive(bytes));
    call.on('error', (error: Error) => this.#end(error));
    call.on('end', () => this.#end(null));
    for (const bytes of this.#early) call.write(bytes);
    this.#early = [];
  }

  #receive(bytes: Uint8Array): void {
    if (this.#over) return;
    const problems = new Problems();
    const message =
      this.#mode === 'delta'
        ? decodeEnvelope(DeltaDiscoveryResponse, bytes, problems)
        : decodeEnvelope(DiscoveryResponse, bytes, problems);
    const fatal = problems.list.find(({ reason }) => !isUnknown(reason));
    if (fatal !== undefined) {
      this.#call?.cancel();
      this.#end(new Error(`malformed response: ${fatal.path === '' ? '' : `${fatal.path}: `}${fatal.reason}`));
      return;
    }
    this.#events.response(message);
  }

  #end(error: Error | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#release();
    this.#events.end(error);
  }

  #release(): void {
    // Cancelling makes the call emit one more error, which is nobody's business any more.
    this.#call?.on('error', () => {});
    this.#closeChannel?.();
    this.#closeChannel = null;
    this.#early = [];
  }
}

function decodeEnvelope<T>(type: MessageType<T>, bytes: Uint8Array, problems: Problems): T {
  return decode(type, bytes, problems, '', { validate: false });
}

/** Servers newer than our protos say things in the envelope that we may pass over; resources are read strictly. */
function isUnknown(reason: string): boolean {
  return reason.startsWith('unknown ');
}
