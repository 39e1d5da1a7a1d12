import { connect, type Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { GrpcCall } from '../../protocol/grpc/call.ts';
import { decode, encode, Problems } from '../proto/codec.ts';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '../proto/gen/envoy/service/discovery/v3.ts';
import type { MessageType } from '../proto/message-type.ts';
import type { Dial, Dialled } from './dial.ts';
import type { AdsMode, AdsStream, AdsTransport, StreamEvents } from './transport.ts';

const SERVICE = '/envoy.service.discovery.v3.AggregatedDiscoveryService';
const MAX_MESSAGE = 64 * 1024 * 1024;
/** gRPC's port for a target that names none. */
const DEFAULT_PORT = 443;

export interface GrpcTransportOptions {
  /** As gRPC writes it: `host:port`, `dns:///host:port`, `ipv4:…`, `ipv6:…` or `unix:path`. */
  readonly target: string;
  /** `:authority` of the requests when it is not the target. */
  readonly authority?: string;
  /** How the target is connected to; absent: TCP, in plain text. */
  readonly dial?: Dial;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * ADS over gRPC. Each stream has a connection of its own, because the pace of reconnection is the client's, not the
 * transport's.
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
  readonly #events: StreamEvents;
  /** null while the connection is made. */
  #call: GrpcCall | null = null;
  #giveUp: () => void = () => {};
  #waiting: Uint8Array[] = [];
  #over = false;

  constructor(mode: AdsMode, { target, authority, dial, clock }: GrpcTransportOptions, events: StreamEvents) {
    this.#mode = mode;
    this.#events = events;
    const address = parseTarget(target);
    const method = mode === 'delta' ? 'DeltaAggregatedResources' : 'StreamAggregatedResources';
    const call = ({ socket, secure, metadata }: Dialled): void => {
      const options = {
        path: `${SERVICE}/${method}`,
        authority: authority ?? address.authority,
        scheme: secure ? ('https' as const) : ('http' as const),
        metadata,
        clock,
        maxMessageBytes: MAX_MESSAGE,
      };
      this.#call = new GrpcCall(socket, options, {
        open: () => events.open(),
        message: (bytes) => this.#receive(bytes),
        end: (error) => this.#end(error),
      });
      for (const message of this.#waiting) this.#call.send(message);
      this.#waiting = [];
    };
    if (dial === undefined) call({ socket: connectTo(address), secure: false, metadata: [] });
    else this.#giveUp = dial(target, call, (error) => this.#end(error));
  }

  send(request: DiscoveryRequest | DeltaDiscoveryRequest): void {
    if (this.#over) return;
    const message = this.#mode === 'delta' ? encode(DeltaDiscoveryRequest, request) : encode(DiscoveryRequest, request);
    if (this.#call === null) this.#waiting.push(message);
    else this.#call.send(message);
  }

  cancel(): void {
    this.#over = true;
    if (this.#call === null) this.#giveUp();
    else this.#call.cancel();
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
    this.#events.end(error);
  }
}

type TargetAddress =
  | { readonly authority: string; readonly host: string; readonly port: number }
  | { readonly authority: string; readonly path: string };

/** gRPC's names (doc/naming.md). Throws nothing: what is no name fails when it is looked up. */
export function parseTarget(target: string): TargetAddress {
  const unix = /^unix:(?:\/\/(?=\/))?(.+)$/.exec(target);
  if (unix !== null) return { authority: 'localhost', path: unix[1]! };
  const name = target.replace(/^(?:dns:(?:\/\/[^/]*\/)?|ipv4:|ipv6:)/, '');
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/.exec(name);
  // More than one colon and no brackets: an IPv6 address without a port.
  const host = match?.[1] ?? match?.[2] ?? name;
  const port = match?.[3] === undefined ? DEFAULT_PORT : Math.min(Number(match[3]), 65_535);
  return { authority: name, host, port };
}

function connectTo(address: TargetAddress): Socket {
  const socket = connect('path' in address ? { path: address.path } : { host: address.host, port: address.port });
  return socket.setNoDelay(true);
}

function decodeEnvelope<T>(type: MessageType<T>, bytes: Uint8Array, problems: Problems): T {
  return decode(type, bytes, problems, '', { validate: false });
}

/** Servers newer than our protos say things in the envelope that we may pass over; resources are read strictly. */
function isUnknown(reason: string): boolean {
  return reason.startsWith('unknown ');
}
