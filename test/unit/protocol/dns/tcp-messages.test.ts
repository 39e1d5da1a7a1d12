import { describe, expect, it } from 'vitest';
import { framed, TcpMessages } from '../../../../src/protocol/dns/tcp-messages.ts';

const text = (messages: Uint8Array[] | null): string[] | null =>
  messages === null ? null : messages.map((message) => Buffer.from(message).toString());
const message = (of: string): Uint8Array => framed(Buffer.from(of));

describe('TcpMessages', () => {
  it('cuts wherever the stream was cut', () => {
    const stream = Buffer.concat([message('one'), message(''), message('three')]);
    for (let cut = 1; cut < stream.length; cut++) {
      const messages = new TcpMessages();
      const found = [...text(messages.push(stream.subarray(0, cut)))!, ...text(messages.push(stream.subarray(cut)))!];
      expect(found).toEqual(['one', '', 'three']);
      expect(messages.pending).toBe(0);
    }
  });
  it('octet for octet', () => {
    const messages = new TcpMessages();
    const found = [...message('abc')].flatMap((octet) => text(messages.push(Uint8Array.of(octet)))!);
    expect(found).toEqual(['abc']);
  });
  it('what is too long is refused by its length alone', () => {
    expect(text(new TcpMessages(3).push(message('abc')))).toEqual(['abc']);
    expect(new TcpMessages(3).push(Uint8Array.of(0, 4))).toBeNull();
  });
});

describe('framed', () => {
  it('has 16 bits of length', () => {
    expect([...framed(new Uint8Array(258)).subarray(0, 3)]).toEqual([1, 2, 0]);
    expect(() => framed(new Uint8Array(65_536))).toThrow(RangeError);
  });
});
