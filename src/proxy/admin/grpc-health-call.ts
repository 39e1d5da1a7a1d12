import { connect } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { type AppAddress, socketOptions } from './http-call.ts';

/**
 * One call of grpc.health.v1.Health/Check in plain text, as a kubelet makes it. The whole of HTTP/2 (RFC 9113) that it
 * takes is a handful of frames: headers go out uncompressed, and of the answer the message alone is read, because
 * SERVING is only ever said by one.
 */
export interface GrpcHealthCall {
  readonly address: AppAddress;
  readonly port: number;
  /** '' the whole server. */
  readonly service: string;
  readonly timeoutMs: number;
}

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
const FRAME = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7 } as const;
const END_STREAM = 0x1;
const END_HEADERS = 0x4;
const ACK = 0x1;
const PADDED = 0x8;
/** SETTINGS_MAX_FRAME_SIZE that was not raised: no frame of the answer may be larger. */
const MAX_FRAME = 16 * 1024;
/** grpc.health.v1.HealthCheckResponse.ServingStatus */
const STATUS = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

/** Resolves when the server says SERVING; otherwise rejects with one line that says what it said. */
export function callGrpcHealth(call: GrpcHealthCall, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketOptions(call));
    let open = true;
    const end = (why: string): void => {
      if (!open) return;
      open = false;
      timer.cancel();
      socket.destroy();
      if (why === '') resolve();
      else reject(new Error(why));
    };
    const timer = clock.after(call.timeoutMs, () => end(`no answer in ${call.timeoutMs / 1000} s`));
    let held: Buffer = Buffer.alloc(0);
    let message: Buffer = Buffer.alloc(0);
    socket.on('error', (error) => end(messageOf(error)));
    socket.on('close', () => end('the connection was closed'));
    socket.on('data', (chunk: Buffer) => {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      while (open && held.length >= 9) {
        const length = held.readUIntBE(0, 3);
        if (length > MAX_FRAME) return end('it does not speak HTTP/2');
        if (held.length < 9 + length) return;
        const type = held[3]!;
        const flags = held[4]!;
        const payload = held.subarray(9, 9 + length);
        held = held.subarray(9 + length);
        if (type === FRAME.settings && (flags & ACK) === 0) socket.write(frame(FRAME.settings, ACK, 0));
        else if (type === FRAME.ping && (flags & ACK) === 0) socket.write(frame(FRAME.ping, ACK, 0, payload));
        else if (type === FRAME.reset || type === FRAME.goAway) end('the server refused the call');
        else if (type === FRAME.data) {
          message = Buffer.concat([message, unpadded(payload, flags)]);
          if (message.length > MAX_FRAME) return end('the answer is too large');
          const status = servingStatus(message);
          if (status !== null) end(status === 1 ? '' : (STATUS[status] ?? `status ${status}`));
          else if ((flags & END_STREAM) !== 0) end('the answer is no HealthCheckResponse');
        } else if (type === FRAME.headers && (flags & END_STREAM) !== 0) {
          end('the server has no health service, or does not know this one');
        }
      }
      return undefined;
    });
    socket.write(Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0), ...request(call)]));
  });
}

function request({ address, port, service }: GrpcHealthCall): Buffer[] {
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  const fields = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', '/grpc.health.v1.Health/Check'],
    [':authority', `${host}:${port}`],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ['user-agent', 'kube-probe/remora'],
  ] as const;
  const block = Buffer.concat(fields.map(([name, value]) => literal(name, value)));
  const name = Buffer.from(service);
  // HealthCheckRequest: field 1, a string; before it gRPC's five bytes.
  const body = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a]), varint(name.length), name]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return [frame(FRAME.headers, END_HEADERS, 1, block), frame(FRAME.data, END_STREAM, 1, Buffer.concat([head, body]))];
}

function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** RFC 7541 section 6.2.2: a literal that is not indexed, with a new name, neither Huffman coded. */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), hpackText(name), hpackText(value)]);
}

/** RFC 7541 section 5.2, with a length of a 7-bit prefix. */
function hpackText(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const length =
    bytes.length < 127 ? Buffer.from([bytes.length]) : Buffer.concat([Buffer.from([127]), varint(bytes.length - 127)]);
  return Buffer.concat([length, bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

function unpadded(payload: Buffer, flags: number): Buffer {
  if ((flags & PADDED) === 0) return payload;
  return payload.subarray(1, Math.max(1, payload.length - (payload[0] ?? 0)));
}

/** The status of a whole HealthCheckResponse; null while bytes are missing. An empty message is UNKNOWN, its default. */
function servingStatus(bytes: Buffer): number | null {
  if (bytes.length < 5) return null;
  const length = bytes.readUInt32BE(1);
  if (bytes.length < 5 + length) return null;
  return length >= 2 && bytes[5] === 0x08 ? bytes[6]! : 0;
}
