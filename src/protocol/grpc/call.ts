import type { Duplex } from 'node:stream';
import type { Clock, TimerHandle } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import {
  CLIENT_PREFACE,
  DEFAULT_FRAME_BYTES,
  FrameFlag,
  FrameReader,
  FrameType,
  frame,
  Setting,
  settingsPayload,
  uint32,
  unpadded,
} from '../http2/frames.ts';
import { HpackDecoder, literalBlock } from '../http2/hpack.ts';
import { H2_CODES, type H2Code, Http2Error, h2CodeOf } from '../http2/http2-error.ts';
import { MessageReader, prefixed } from './messages.ts';
import { codeOf, codeOfHttp, codeOfReset, decodeMessage, GrpcError } from './status.ts';

export interface CallOptions {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly authority: string;
  /** `http` unless the socket is encrypted. */
  readonly scheme?: 'http' | 'https';
  /** More request headers, names in lower case. */
  readonly metadata?: readonly (readonly [name: string, value: string])[];
  readonly clock: Clock;
  /** Largest message that is taken; a longer one ends the call. */
  readonly maxMessageBytes: number;
}

export interface CallEvents {
  /** The server speaks HTTP/2: its SETTINGS came. */
  open(): void;
  message(message: Uint8Array): void;
  /** The call is over; null when the server ended it with status OK. Nothing is called after it. */
  end(error: GrpcError | null): void;
}

/** The only stream of its connection. */
const STREAM = 1;
/** What the server may send before it is told to go on: a mesh's config comes in one message. */
const WINDOW = 4 * 1024 * 1024;
/** A window when nothing is said (RFC 9113 section 6.9.2). */
const DEFAULT_WINDOW = 65_535;
const MAX_WINDOW = 2 ** 31 - 1;
/** Of a response's or trailers' header block, in octets as they come. */
const MAX_BLOCK = 64 * 1024;
/** Acknowledgements that a peer who does not read may leave with us. */
const MAX_UNREAD = 1024 * 1024;
/** From the start till the server's SETTINGS. */
const CONNECT_MS = 20_000;
/** A connection on which nothing came for so long is asked whether it lives, and has so long to answer. */
const KEEPALIVE_MS = 30_000;
const KEEPALIVE_ANSWER_MS = 10_000;
/** For the last frames of a call that is over. */
const LINGER_MS = 1000;

const NOTHING = Buffer.alloc(0);

/**
 * One bidirectional gRPC call on a connection of its own, which ends with it. What a client of long streams needs and
 * no more: no compression, no deadline, no second stream. Calls back from the socket's events and timers only.
 */
export class GrpcCall {
  readonly #socket: Duplex;
  readonly #options: CallOptions;
  readonly #events: CallEvents;
  readonly #frames = new FrameReader((type, flags, stream, payload) => this.#frame(type, flags, stream, payload));
  readonly #hpack = new HpackDecoder();
  readonly #messages: MessageReader;
  /** What waits for window. */
  #unsent: Buffer[] = [];
  /** Nothing more is sent after what waits. */
  #ending = false;
  #ended = false;
  #connectionWindow = DEFAULT_WINDOW;
  #streamWindow = DEFAULT_WINDOW;
  #peerInitialWindow = DEFAULT_WINDOW;
  #peerFrameBytes = DEFAULT_FRAME_BYTES;
  /** Octets of DATA that came and were not given back to the server's windows. */
  #taken = 0;
  /** A header block that goes on, and the flags it began with. */
  #block: Buffer[] | null = null;
  #blockBytes = 0;
  #blockFlags = 0;
  #headSeen = false;
  #settled = false;
  #heard = false;
  #timer: TimerHandle;
  #over = false;

  /** Takes over a socket that is connected or connecting. */
  constructor(socket: Duplex, options: CallOptions, events: CallEvents) {
    this.#socket = socket;
    this.#options = options;
    this.#events = events;
    this.#messages = new MessageReader(options.maxMessageBytes, (message) => {
      if (!this.#over) this.#events.message(message);
    });
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error: Error) => this.#end(new GrpcError('UNAVAILABLE', messageOf(error), error)));
    socket.on('close', () => this.#end(new GrpcError('UNAVAILABLE', 'the server closed the connection')));
    this.#timer = options.clock.after(CONNECT_MS, () =>
      this.#end(new GrpcError('UNAVAILABLE', `no answer within ${CONNECT_MS / 1000} s`)),
    );
    this.#begin();
  }

  /** Sends a message; it waits for the connection and for the server's windows. */
  send(message: Uint8Array): void {
    if (this.#over) return;
    this.#unsent.push(prefixed(message));
    this.#flush();
  }

  /** Nothing more will be sent: a call with one request says so. */
  halfClose(): void {
    if (this.#over || this.#ending) return;
    this.#ending = true;
    this.#flush();
  }

  /** Ends the call and its connection from this side; `end` is not called. */
  cancel(): void {
    if (this.#over) return;
    this.#socket.write(frame(FrameType.RstStream, 0, STREAM, uint32(H2_CODES.indexOf('CANCEL'))));
    this.#close('NO_ERROR');
  }

  #begin(): void {
    const { path, authority, scheme = 'http', metadata = [] } = this.#options;
    const settings = settingsPayload([
      [Setting.EnablePush, 0],
      [Setting.InitialWindowSize, WINDOW],
    ]);
    const head = literalBlock([
      [':method', 'POST'],
      [':scheme', scheme],
      [':path', path],
      [':authority', authority],
      ['te', 'trailers'],
      ['content-type', 'application/grpc'],
      ['user-agent', 'grpc-remora'],
      ...metadata,
    ]);
    this.#socket.write(
      Buffer.concat([
        Buffer.from(CLIENT_PREFACE, 'latin1'),
        frame(FrameType.Settings, 0, 0, settings),
        frame(FrameType.WindowUpdate, 0, 0, uint32(WINDOW - DEFAULT_WINDOW)),
        frame(FrameType.Headers, FrameFlag.EndHeaders, STREAM, head),
      ]),
    );
  }

  #receive(chunk: Buffer): void {
    if (this.#over) return;
    this.#heard = true;
    try {
      this.#frames.execute(chunk);
    } catch (error) {
      if (error instanceof GrpcError) this.#end(error, 'CANCEL');
      else if (error instanceof Http2Error) {
        this.#end(new GrpcError('INTERNAL', `the server broke HTTP/2: ${error.message}`), error.h2Code);
      } else throw error;
    }
  }

  #frame(type: number, flags: number, stream: number, payload: Buffer): void {
    if (this.#over) return;
    if (this.#block !== null && (type !== FrameType.Continuation || stream !== STREAM)) {
      throw protocol('a header block was interrupted');
    }
    if (!this.#settled && type !== FrameType.Settings) throw protocol('its first frame is not SETTINGS');
    switch (type) {
      case FrameType.Data:
        this.#data(flags, stream, payload);
        break;
      case FrameType.Headers:
        if (stream !== STREAM) throw protocol(`HEADERS on stream ${stream}`);
        this.#block = [];
        this.#blockBytes = 0;
        this.#blockFlags = flags;
        this.#blockPart(flags, unpadded(flags, payload, (flags & FrameFlag.Priority) !== 0));
        break;
      case FrameType.Continuation:
        if (this.#block === null) throw protocol('CONTINUATION without HEADERS');
        this.#blockPart(flags, payload);
        break;
      case FrameType.RstStream:
        sized(payload, 4, 'RST_STREAM');
        if (stream === STREAM) this.#reset(h2CodeOf(payload.readUInt32BE(0)));
        break;
      case FrameType.Settings:
        this.#settings(flags, stream, payload);
        break;
      case FrameType.PushPromise:
        throw protocol('PUSH_PROMISE, which was refused');
      case FrameType.Ping:
        sized(payload, 8, 'PING');
        if ((flags & FrameFlag.Ack) === 0) this.#answer(frame(FrameType.Ping, FrameFlag.Ack, 0, payload));
        break;
      case FrameType.GoAway:
        this.#goAway(payload);
        break;
      case FrameType.WindowUpdate:
        this.#windowUpdate(stream, payload);
        break;
      default: // PRIORITY, and what nobody knows, is passed over (section 5.5).
    }
  }

  #data(flags: number, stream: number, payload: Buffer): void {
    if (stream !== STREAM) throw protocol(`DATA on stream ${stream}`);
    if (!this.#headSeen) throw protocol('DATA before HEADERS');
    this.#taken += payload.length;
    if (this.#taken > WINDOW) throw new Http2Error('FLOW_CONTROL_ERROR', 'DATA beyond the window');
    this.#messages.execute(unpadded(flags, payload, false));
    if (this.#over) return;
    if ((flags & FrameFlag.EndStream) !== 0) {
      this.#end(new GrpcError('UNKNOWN', 'the server ended the call without a status'));
      return;
    }
    if (this.#taken < WINDOW / 2) return;
    const increment = uint32(this.#taken);
    this.#taken = 0;
    this.#answer(
      Buffer.concat([
        frame(FrameType.WindowUpdate, 0, 0, increment),
        frame(FrameType.WindowUpdate, 0, STREAM, increment),
      ]),
    );
  }

  #blockPart(flags: number, part: Buffer): void {
    this.#blockBytes += part.length;
    if (this.#blockBytes > MAX_BLOCK) throw new Http2Error('ENHANCE_YOUR_CALM', 'a header block is too long');
    this.#block!.push(part.length === 0 ? NOTHING : Buffer.from(part));
    if ((flags & FrameFlag.EndHeaders) === 0) {
      // Octets are counted, empty frames are not.
      if (part.length === 0) throw new Http2Error('ENHANCE_YOUR_CALM', 'an empty part of a header block');
      return;
    }
    const fields = new Map<string, string>();
    const block = Buffer.concat(this.#block!);
    this.#block = null;
    this.#hpack.decode(block, (name, value) => fields.set(name, value));
    this.#fields(fields, (this.#blockFlags & FrameFlag.EndStream) !== 0);
  }

  /** Response headers, trailers, or both at once. */
  #fields(fields: ReadonlyMap<string, string>, last: boolean): void {
    if (!this.#headSeen) {
      const status = fields.get(':status') ?? '';
      if (status.startsWith('1') && !last) return;
      this.#headSeen = true;
      const type = fields.get('content-type') ?? '';
      if (!fields.has('grpc-status') && (status !== '200' || !type.startsWith('application/grpc'))) {
        const what = status === '200' ? `content-type ${JSON.stringify(type.slice(0, 100))}` : `status ${status}`;
        this.#end(new GrpcError(codeOfHttp(status), `no gRPC server: it answers with ${what}`), 'CANCEL');
        return;
      }
    } else if (!last) throw protocol('HEADERS in the middle of a response');
    if (!last) return;
    const code = codeOf(fields.get('grpc-status') ?? '');
    if (code !== 'OK') this.#end(new GrpcError(code, decodeMessage(fields.get('grpc-message') ?? '')));
    else this.#end(this.#messages.partial ? new GrpcError('INTERNAL', 'the last message is not whole') : null);
  }

  #settings(flags: number, stream: number, payload: Buffer): void {
    if (stream !== 0) throw protocol('SETTINGS on a stream');
    if ((flags & FrameFlag.Ack) !== 0) {
      sized(payload, 0, 'an acknowledgement of SETTINGS');
      return;
    }
    if (payload.length % 6 !== 0) throw new Http2Error('FRAME_SIZE_ERROR', 'SETTINGS of a broken length');
    for (let at = 0; at < payload.length; at += 6) {
      const value = payload.readUInt32BE(at + 2);
      switch (payload.readUInt16BE(at)) {
        case Setting.InitialWindowSize:
          if (value > MAX_WINDOW) throw new Http2Error('FLOW_CONTROL_ERROR', 'a window beyond 2^31-1');
          this.#streamWindow += value - this.#peerInitialWindow;
          this.#peerInitialWindow = value;
          break;
        case Setting.MaxFrameSize:
          if (value < DEFAULT_FRAME_BYTES || value >= 2 ** 24) throw protocol(`SETTINGS_MAX_FRAME_SIZE ${value}`);
          this.#peerFrameBytes = value;
          break;
        default: // The size of a table we do not use, and what binds servers only.
      }
    }
    this.#answer(frame(FrameType.Settings, FrameFlag.Ack, 0, NOTHING));
    if (!this.#settled) {
      this.#settled = true;
      this.#keepAlive();
      this.#events.open();
    }
    this.#flush();
  }

  #windowUpdate(stream: number, payload: Buffer): void {
    sized(payload, 4, 'WINDOW_UPDATE');
    const increment = payload.readUInt32BE(0) & MAX_WINDOW;
    if (increment === 0) throw protocol('WINDOW_UPDATE by nothing');
    if (stream === 0) this.#connectionWindow += increment;
    else if (stream === STREAM) this.#streamWindow += increment;
    if (Math.max(this.#connectionWindow, this.#streamWindow) > MAX_WINDOW) {
      throw new Http2Error('FLOW_CONTROL_ERROR', 'a window beyond 2^31-1');
    }
    this.#flush();
  }

  /** The stream goes on to its end, unless the server says that it never took it or that something broke. */
  #goAway(payload: Buffer): void {
    if (payload.length < 8) throw new Http2Error('FRAME_SIZE_ERROR', 'GOAWAY is too short');
    const last = payload.readUInt32BE(0) & MAX_WINDOW;
    const code = h2CodeOf(payload.readUInt32BE(4));
    if (last >= STREAM && code === 'NO_ERROR') return;
    const said = payload.toString('latin1', 8, 208).replace(/[^\x20-\x7e]/g, '?');
    this.#end(new GrpcError('UNAVAILABLE', `the server sent GOAWAY with ${code}${said === '' ? '' : `: ${said}`}`));
  }

  #reset(code: H2Code): void {
    this.#end(new GrpcError(codeOfReset(code), `the server reset the call with ${code}`));
  }

  #flush(): void {
    while (this.#unsent.length > 0) {
      const next = this.#unsent[0]!;
      const length = Math.min(next.length, this.#connectionWindow, this.#streamWindow, this.#peerFrameBytes);
      if (length <= 0) return;
      this.#connectionWindow -= length;
      this.#streamWindow -= length;
      this.#socket.write(frame(FrameType.Data, 0, STREAM, next.subarray(0, length)));
      if (length === next.length) this.#unsent.shift();
      else this.#unsent[0] = next.subarray(length);
    }
    // An empty frame takes no window.
    if (!this.#ending || this.#ended) return;
    this.#ended = true;
    this.#socket.write(frame(FrameType.Data, FrameFlag.EndStream, STREAM, NOTHING));
  }

  /** Writes what the peer can make us write as often as it likes. */
  #answer(bytes: Buffer): void {
    if (this.#socket.writableLength > MAX_UNREAD) {
      throw new Http2Error('ENHANCE_YOUR_CALM', 'it asks and does not read the answers');
    }
    this.#socket.write(bytes);
  }

  #keepAlive(): void {
    const { clock } = this.#options;
    this.#timer.cancel();
    this.#heard = false;
    this.#timer = clock.after(KEEPALIVE_MS, () => {
      if (this.#heard) {
        this.#keepAlive();
        return;
      }
      this.#socket.write(frame(FrameType.Ping, 0, 0, Buffer.alloc(8)));
      this.#timer = clock.after(KEEPALIVE_ANSWER_MS, () => {
        if (this.#heard) this.#keepAlive();
        else this.#end(new GrpcError('UNAVAILABLE', `no answer to a PING within ${KEEPALIVE_ANSWER_MS / 1000} s`));
      });
    });
  }

  #end(error: GrpcError | null, told: H2Code = 'NO_ERROR'): void {
    if (this.#over) return;
    this.#close(told);
    this.#events.end(error);
  }

  #close(told: H2Code): void {
    this.#over = true;
    this.#timer.cancel();
    this.#unsent = [];
    // Before the server's SETTINGS there may be nobody to tell.
    if (!this.#settled) this.#socket.destroy();
    if (this.#socket.destroyed) return;
    const code = uint32(H2_CODES.indexOf(told));
    this.#socket.end(frame(FrameType.GoAway, 0, 0, Buffer.concat([uint32(0), code])), () => this.#socket.destroy());
    // A server that does not read is not waited for.
    this.#options.clock.after(LINGER_MS, () => this.#socket.destroy());
  }
}

function protocol(reason: string): Http2Error {
  return new Http2Error('PROTOCOL_ERROR', reason);
}

function sized(payload: Buffer, bytes: number, what: string): void {
  if (payload.length !== bytes) throw new Http2Error('FRAME_SIZE_ERROR', `${what} of ${payload.length} bytes`);
}
