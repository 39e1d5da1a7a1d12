import { describe, expect, it } from 'vitest';
import { FrameFlag, FrameReader, FrameType, frame, unpadded } from '../../../../src/protocol/http2/frames.ts';

describe('FrameReader', () => {
  const bytes = Buffer.concat([
    frame(FrameType.Settings, 0, 0, Buffer.alloc(0)),
    frame(FrameType.Data, FrameFlag.EndStream, 1, Buffer.from('hello')),
    frame(FrameType.Ping, 0, 0, Buffer.from('12345678')),
  ]);
  const whole = ['4 0 0 ', '0 1 1 hello', '6 0 0 12345678'];

  it.each([1, 2, 5, 9, 13, bytes.length])('finds the same frames in pieces of %i bytes', (size) => {
    const seen: string[] = [];
    const reader = new FrameReader((type, flags, stream, payload) =>
      seen.push(`${type} ${flags} ${stream} ${payload.toString()}`),
    );
    for (let at = 0; at < bytes.length; at += size) reader.execute(bytes.subarray(at, at + size));
    expect(seen).toEqual(whole);
  });

  it('refuses a frame that is longer than allowed before its payload comes', () => {
    const reader = new FrameReader(() => {});
    expect(() => reader.execute(frame(FrameType.Data, 0, 1, Buffer.alloc(16_385)).subarray(0, 9))).toThrow(
      'a frame of 16385 bytes',
    );
  });
});

describe('unpadded', () => {
  it('cuts padding and priority off, and refuses padding as long as its frame', () => {
    expect(unpadded(FrameFlag.Padded, Buffer.from('\x02abc\0\0'), false).toString()).toBe('abc');
    expect(unpadded(FrameFlag.Padded, Buffer.from('\x0112345abc\0'), true).toString()).toBe('abc');
    expect(() => unpadded(FrameFlag.Padded, Buffer.from('\x06abc\0\0'), false)).toThrow('padding as long as its frame');
    expect(() => unpadded(0, Buffer.from('1234'), true)).toThrow('padding as long as its frame');
  });
});
