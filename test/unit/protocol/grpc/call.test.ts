import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { GrpcCall } from '../../../../src/protocol/grpc/call.ts';
import { prefixed } from '../../../../src/protocol/grpc/messages.ts';
import {
  FrameFlag,
  FrameReader,
  FrameType,
  frame,
  Setting,
  settingsPayload,
  uint32,
} from '../../../../src/protocol/http2/frames.ts';
import { HpackDecoder, literalBlock } from '../../../../src/protocol/http2/hpack.ts';
import { manualClock } from '../../../support/clock.ts';

const { Data, Headers, Continuation, Settings, Ping, GoAway, RstStream, WindowUpdate } = FrameType;
const NOTHING = Buffer.alloc(0);
const SETTINGS = frame(Settings, 0, 0, NOTHING);
const OK_HEAD = literalBlock([
  [':status', '200'],
  ['content-type', 'application/grpc+proto'],
]);

/** The server's end: what the client wrote as frames, and a way to say things to it. */
class Wire extends Duplex {
  readonly frames: { type: number; flags: number; stream: number; payload: Buffer }[] = [];
  #preface = 24;
  readonly #reader = new FrameReader((type, flags, stream, payload) =>
    this.frames.push({ type, flags, stream, payload: Buffer.from(payload) }),
  );
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const from = Math.min(this.#preface, chunk.length);
    this.#preface -= from;
    this.#reader.execute(chunk.subarray(from));
    done();
  }
  ofType(type: number): Buffer[] {
    return this.frames.filter((each) => each.type === type).map(({ payload }) => payload);
  }
}

function startCall(maxMessageBytes = 1024) {
  const wire = new Wire();
  const clock = manualClock();
  const seen: string[] = [];
  const call = new GrpcCall(
    wire,
    { path: '/s/M', authority: 'host:1', clock, maxMessageBytes },
    {
      open: () => seen.push('open'),
      message: (bytes) => seen.push(`message ${Buffer.from(bytes).toString().slice(0, 20)}`),
      end: (error) => seen.push(`end ${error?.message ?? 'ok'}`),
    },
  );
  const say = (...frames: Buffer[]): void => {
    wire.emit('data', Buffer.concat(frames));
  };
  return { wire, clock, seen, call, say };
}

function answered(maxMessageBytes?: number) {
  const parts = startCall(maxMessageBytes);
  parts.say(SETTINGS, frame(Headers, FrameFlag.EndHeaders, 1, OK_HEAD));
  return parts;
}

function trailers(...fields: [string, string][]): Buffer {
  return frame(Headers, FrameFlag.EndHeaders | FrameFlag.EndStream, 1, literalBlock(fields));
}

describe('GrpcCall', () => {
  it('carries the caller’s own headers, and says that a single request is all', () => {
    const wire = new Wire();
    const options = { path: '/s/M', authority: 'ca:1', clock: manualClock(), maxMessageBytes: 100 };
    const metadata = [['authorization', 'Bearer token']] as const;
    const call = new GrpcCall(wire, { ...options, scheme: 'https', metadata }, { open() {}, message() {}, end() {} });
    const fields = new Map<string, string>();
    new HpackDecoder().decode(wire.ofType(Headers)[0]!, (name, value) => fields.set(name, value));
    expect([fields.get(':scheme'), fields.get('authorization')]).toEqual(['https', 'Bearer token']);
    call.send(Buffer.from('request'));
    call.halfClose();
    call.halfClose();
    const data = () => wire.frames.filter(({ type }) => type === Data);
    expect(data().map(({ flags, payload }) => [flags, payload.length])).toEqual([
      [0, 12],
      [FrameFlag.EndStream, 0],
    ]);
    wire.emit('data', frame(WindowUpdate, 0, 1, uint32(100)));
    expect(data()).toHaveLength(2);
  });

  it('ends its side only when all has been sent', () => {
    const { wire, call, say } = startCall();
    call.send(Buffer.alloc(65_535));
    call.halfClose();
    const last = () => wire.frames.filter(({ type }) => type === Data).at(-1)!;
    expect(last().flags).toBe(0);
    say(SETTINGS, frame(WindowUpdate, 0, 0, uint32(100)), frame(WindowUpdate, 0, 1, uint32(100)));
    expect([last().flags, last().payload.length]).toEqual([FrameFlag.EndStream, 0]);
  });

  it('brings messages in both directions, and the end', () => {
    const { wire, seen, call, say } = answered();
    call.send(Buffer.from('question'));
    say(frame(Data, 0, 1, prefixed(Buffer.from('one'))), frame(Data, 0, 1, prefixed(Buffer.from('two'))));
    say(trailers(['grpc-status', '0']));
    expect(seen).toEqual(['open', 'message one', 'message two', 'end ok']);
    expect(wire.ofType(Data).map(String)).toEqual(['\0\0\0\0\x08question']);
    expect(wire.ofType(Settings)).toHaveLength(2);
  });

  it('puts a message together that came in frames of any cut', () => {
    const { seen, say } = answered();
    const bytes = Buffer.concat([prefixed(Buffer.from('abcdef')), prefixed(Buffer.from('ghi'))]);
    for (const byte of bytes) say(frame(Data, 0, 1, Buffer.from([byte])));
    expect(seen).toEqual(['open', 'message abcdef', 'message ghi']);
  });

  it('writes no more than the windows of the server, and goes on when they open', () => {
    const { wire, call, say } = startCall();
    say(frame(Settings, 0, 0, settingsPayload([[Setting.InitialWindowSize, 10]])));
    call.send(Buffer.from('0123456789'));
    expect(wire.ofType(Data).map((payload) => payload.length)).toEqual([10]);
    say(frame(WindowUpdate, 0, 0, uint32(100)));
    expect(wire.ofType(Data)).toHaveLength(1);
    say(frame(WindowUpdate, 0, 1, uint32(3)));
    say(frame(Settings, 0, 0, settingsPayload([[Setting.InitialWindowSize, 12]])));
    expect(Buffer.concat(wire.ofType(Data)).subarray(5).toString()).toBe('0123456789');
    expect(wire.ofType(Data).map((payload) => payload.length)).toEqual([10, 3, 2]);
  });

  it('gives the server its window back', () => {
    const { wire, say } = answered(8 * 1024 * 1024);
    const part = frame(Data, 0, 1, Buffer.alloc(16_384));
    const first = prefixed(Buffer.alloc(4 * 1024 * 1024)).subarray(0, 5);
    say(frame(Data, 0, 1, first));
    for (let i = 0; i < 128; i++) say(part);
    const given = wire.frames.filter(({ type, stream }) => type === WindowUpdate && stream === 1);
    expect(given.map(({ payload }) => payload.readUInt32BE(0))).toEqual([5 + 128 * 16_384]);
  });

  it('answers PING and lets SETTINGS it does not know pass', () => {
    const { wire, say, seen } = startCall();
    say(frame(Settings, 0, 0, settingsPayload([[0x99, 7]])), frame(Ping, 0, 0, Buffer.from('01234567')));
    say(frame(0x77, 0, 0, NOTHING));
    expect(wire.frames.at(-1)).toMatchObject({ type: Ping, flags: FrameFlag.Ack, payload: Buffer.from('01234567') });
    expect(seen).toEqual(['open']);
  });

  it('asks a server that is silent for 30 s whether it lives, and gives up 10 s later', () => {
    const { wire, clock, say, seen } = answered();
    clock.advance(30_000);
    expect(wire.ofType(Ping)).toHaveLength(1);
    say(frame(Ping, FrameFlag.Ack, 0, Buffer.alloc(8)));
    clock.advance(10_000);
    clock.advance(30_000);
    expect(wire.ofType(Ping)).toHaveLength(2);
    clock.advance(10_000);
    expect(seen).toEqual(['open', 'end 14 UNAVAILABLE: no answer to a PING within 10 s']);
  });

  it('ends when no HTTP/2 server answers within 20 s', () => {
    const { wire, clock, seen } = startCall();
    clock.advance(20_000);
    expect(seen).toEqual(['end 14 UNAVAILABLE: no answer within 20 s']);
    expect(wire.destroyed).toBe(true);
  });

  it('reads a status at once, in trailers, and percent-encoded', () => {
    const { seen, say } = startCall();
    say(SETTINGS, trailers([':status', '200'], ['grpc-status', '7'], ['grpc-message', 'n%C3%B3, 100% no']));
    expect(seen.at(-1)).toBe('end 7 PERMISSION_DENIED: n%C3%B3, 100% no');
    const second = answered();
    second.say(trailers(['grpc-status', '5'], ['grpc-message', 'n%C3%B3']));
    expect(second.seen.at(-1)).toBe('end 5 NOT_FOUND: nó');
  });

  it('goes on after a GOAWAY that leaves the call alone, and ends at one that does not', () => {
    const { seen, say } = answered();
    say(frame(GoAway, 0, 0, Buffer.concat([uint32(1), uint32(0)])));
    say(frame(Data, 0, 1, prefixed(Buffer.from('still'))));
    say(frame(GoAway, 0, 0, Buffer.concat([uint32(1), uint32(11), Buffer.from('too_many_pings')])));
    expect(seen).toEqual([
      'open',
      'message still',
      'end 14 UNAVAILABLE: the server sent GOAWAY with ENHANCE_YOUR_CALM: too_many_pings',
    ]);
  });

  it('says nothing more after cancel, and tells the server', () => {
    const { wire, seen, call, say } = answered();
    call.cancel();
    say(frame(Data, 0, 1, prefixed(Buffer.from('late'))));
    wire.emit('close');
    expect(seen).toEqual(['open']);
    expect(wire.ofType(RstStream).map((payload) => payload.readUInt32BE(0))).toEqual([8]);
  });

  it.each<[string, Buffer[], string]>([
    ['DATA before SETTINGS', [frame(Data, 0, 1, NOTHING)], 'INTERNAL: the server broke HTTP/2: its first frame'],
    ['an HTTP/1.1 answer', [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')], 'INTERNAL: the server broke HTTP/2'],
    ['DATA before headers', [SETTINGS, frame(Data, 0, 1, NOTHING)], 'DATA before HEADERS'],
    ['headers of another stream', [SETTINGS, frame(Headers, 4, 3, OK_HEAD)], 'HEADERS on stream 3'],
    ['an interrupted header block', [SETTINGS, frame(Headers, 0, 1, OK_HEAD), SETTINGS], 'was interrupted'],
    ['CONTINUATION alone', [SETTINGS, frame(Continuation, 4, 1, OK_HEAD)], 'CONTINUATION without HEADERS'],
    ['a promise', [SETTINGS, frame(FrameType.PushPromise, 4, 1, NOTHING)], 'PUSH_PROMISE, which was refused'],
    ['a short PING', [SETTINGS, frame(Ping, 0, 0, Buffer.alloc(7))], 'PING of 7 bytes'],
    ['a short GOAWAY', [SETTINGS, frame(GoAway, 0, 0, Buffer.alloc(7))], 'GOAWAY is too short'],
    ['no increment', [SETTINGS, frame(WindowUpdate, 0, 1, uint32(0))], 'WINDOW_UPDATE by nothing'],
    ['a window too far', [SETTINGS, frame(WindowUpdate, 0, 1, uint32(2 ** 31 - 1))], 'a window beyond 2^31-1'],
    ['SETTINGS on a stream', [frame(Settings, 0, 1, NOTHING)], 'SETTINGS on a stream'],
    ['SETTINGS of 5 bytes', [frame(Settings, 0, 0, Buffer.alloc(5))], 'SETTINGS of a broken length'],
    ['a tiny frame size', [frame(Settings, 0, 0, settingsPayload([[5, 1]]))], 'SETTINGS_MAX_FRAME_SIZE 1'],
    ['a block without end', [SETTINGS, frame(Headers, 0, 1, NOTHING)], 'an empty part of a header block'],
    ['a reset', [SETTINGS, frame(RstStream, 0, 1, uint32(7))], '14 UNAVAILABLE: the server reset the call'],
    ['status 503', [SETTINGS, trailers([':status', '503'])], '14 UNAVAILABLE: no gRPC server'],
    [
      'a web page',
      [SETTINGS, trailers([':status', '200'], ['content-type', 'text/html'])],
      '2 UNKNOWN: no gRPC server',
    ],
  ])('ends with one error at %s', (_, frames, reason) => {
    const { seen, say } = startCall();
    say(...frames);
    say(frame(Ping, 0, 0, Buffer.alloc(8)));
    expect(seen.filter((line) => line !== 'open')).toEqual([expect.stringContaining(reason)]);
  });

  it.each<[string, Buffer[], string]>([
    [
      'a message that is too long',
      [frame(Data, 0, 1, Buffer.from('\0\0\0\x04\x01'))],
      '8 RESOURCE_EXHAUSTED: a message of 1025',
    ],
    ['a compressed message', [frame(Data, 0, 1, Buffer.from('\x01\0\0\0\0'))], '13 INTERNAL: a compressed message'],
    [
      'half a message',
      [frame(Data, 0, 1, Buffer.from('\0\0\0\0\x02x')), trailers(['grpc-status', '0'])],
      'is not whole',
    ],
    ['no status', [frame(Data, FrameFlag.EndStream, 1, NOTHING)], '2 UNKNOWN: the server ended the call without'],
    ['no status in trailers', [trailers(['x', 'y'])], '2 UNKNOWN: '],
    ['headers again', [frame(Headers, 4, 1, OK_HEAD)], 'HEADERS in the middle of a response'],
    ['DATA that is all padding', [frame(Data, FrameFlag.Padded, 1, Buffer.from([9]))], 'padding as long as its frame'],
  ])('ends with one error at %s, after a good beginning', (_, frames, reason) => {
    const { seen, say } = answered();
    say(...frames);
    expect(seen).toEqual(['open', expect.stringContaining(reason)]);
  });

  it('takes a header block in parts, and refuses one beyond 64 KiB', () => {
    const { seen, say } = startCall();
    say(
      SETTINGS,
      frame(Headers, 0, 1, OK_HEAD.subarray(0, 3)),
      frame(Continuation, FrameFlag.EndHeaders, 1, OK_HEAD.subarray(3)),
    );
    say(frame(Data, 0, 1, prefixed(Buffer.from('hi'))));
    expect(seen).toEqual(['open', 'message hi']);
    const second = startCall();
    second.say(SETTINGS, frame(Headers, 0, 1, Buffer.alloc(16_384)));
    for (let i = 0; i < 4; i++) second.say(frame(Continuation, 0, 1, Buffer.alloc(16_384)));
    expect(second.seen.at(-1)).toContain('a header block is too long');
  });
});
