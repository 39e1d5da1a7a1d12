import { Http2Error } from './http2-error.ts';

/** Frame types (RFC 9113 section 6). */
export const FrameType = {
  Data: 0,
  Headers: 1,
  Priority: 2,
  RstStream: 3,
  Settings: 4,
  PushPromise: 5,
  Ping: 6,
  GoAway: 7,
  WindowUpdate: 8,
  Continuation: 9,
} as const;

export const FrameFlag = { Ack: 1, EndStream: 1, EndHeaders: 4, Padded: 8, Priority: 0x20 } as const;

export const Setting = { EnablePush: 2, InitialWindowSize: 4, MaxFrameSize: 5 } as const;

export const CLIENT_PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

const HEAD_BYTES = 9;
/** SETTINGS_MAX_FRAME_SIZE when nothing is said. */
export const DEFAULT_FRAME_BYTES = 16_384;

export type OnFrame = (type: number, flags: number, stream: number, payload: Buffer) => void;

/** Cuts what comes into frames of at most {@link DEFAULT_FRAME_BYTES}. Payloads are views: copy what is kept. */
export class FrameReader {
  readonly #onFrame: OnFrame;
  #rest: Buffer | null = null;

  constructor(onFrame: OnFrame) {
    this.#onFrame = onFrame;
  }

  /** Calls back for every frame that is whole. Throws FRAME_SIZE_ERROR for one that is too long. */
  execute(chunk: Buffer): void {
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = null;
    let at = 0;
    while (bytes.length - at >= HEAD_BYTES) {
      const length = bytes.readUIntBE(at, 3);
      if (length > DEFAULT_FRAME_BYTES) throw new Http2Error('FRAME_SIZE_ERROR', `a frame of ${length} bytes`);
      const start = at + HEAD_BYTES;
      if (bytes.length - start < length) break;
      at = start + length;
      const stream = bytes.readUInt32BE(start - 4) & 0x7fff_ffff;
      this.#onFrame(bytes[start - 6]!, bytes[start - 5]!, stream, bytes.subarray(start, at));
    }
    if (at < bytes.length) this.#rest = bytes.subarray(at);
  }
}

/** One frame, ready to be written. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, HEAD_BYTES);
  return bytes;
}

/** A payload of one 32-bit number: WINDOW_UPDATE's increment, RST_STREAM's code. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function settingsPayload(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const bytes = Buffer.allocUnsafe(settings.length * 6);
  for (const [i, [id, value]] of settings.entries()) {
    bytes.writeUInt16BE(id, i * 6);
    bytes.writeUInt32BE(value, i * 6 + 2);
  }
  return bytes;
}

/** What DATA and HEADERS carry, without padding and priority (sections 6.1 and 6.2). */
export function unpadded(flags: number, payload: Buffer, priority: boolean): Buffer {
  let start = 0;
  let end = payload.length;
  if ((flags & FrameFlag.Padded) !== 0) {
    end -= payload[0] ?? 0;
    start = 1;
  }
  if (priority) start += 5;
  if (start > end) throw new Http2Error('PROTOCOL_ERROR', 'padding as long as its frame');
  return payload.subarray(start, end);
}
