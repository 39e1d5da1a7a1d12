import { connect as h2connect } from 'node:http2';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { HpackDecoder, literalBlock } from '../../../../src/protocol/http2/hpack.ts';

function decode(decoder: HpackDecoder, block: Buffer | string): string[] {
  const fields: string[] = [];
  const bytes = typeof block === 'string' ? Buffer.from(block.replaceAll(' ', ''), 'hex') : block;
  decoder.decode(bytes, (name, value) => fields.push(`${name}: ${value}`));
  return fields;
}

describe('HpackDecoder', () => {
  it('reads the requests of RFC 7541 appendix C.4, whose fields refer to earlier ones', () => {
    const decoder = new HpackDecoder();
    const always = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'];
    expect(decode(decoder, '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff')).toEqual(always);
    expect(decode(decoder, '8286 84be 5886 a8eb 1064 9cbf')).toEqual([...always, 'cache-control: no-cache']);
    expect(decode(decoder, '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf')).toEqual([
      ':method: GET',
      ':scheme: https',
      ':path: /index.html',
      ':authority: www.example.com',
      'custom-key: custom-value',
    ]);
  });

  it('reads the responses of appendix C.6', () => {
    const decoder = new HpackDecoder();
    const rest = ['cache-control: private', 'date: Mon, 21 Oct 2013 20:13:21 GMT', 'location: https://www.example.com'];
    const first =
      '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3';
    expect(decode(decoder, first)).toEqual([':status: 302', ...rest]);
    expect(decode(decoder, '4883 640e ffc1 c0bf')).toEqual([':status: 307', ...rest]);
  });

  it('forgets what no longer fits the size that the peer chose', () => {
    const decoder = new HpackDecoder();
    // A table of 64 bytes: the second field puts the first out.
    expect(decode(decoder, '3f21 4001 6101 62 4001 6301 64 be')).toEqual(['a: b', 'c: d', 'c: d']);
    expect(() => decode(decoder, 'bf')).toThrow('index 63 is in no table');
  });

  it.each([
    ['a table larger than was announced', '3fe2 1f', 'a table of 4097 bytes, more than 4096'],
    ['a table size update after a field', '8220', 'a table size update after a field'],
    ['index 0', '80', 'index 0 is in no table'],
    ['an index beyond all tables', 'be', 'index 62 is in no table'],
    ['a string beyond the block', '0005 61', 'a string goes beyond its block'],
    ['a block that ends in a field', '00', 'the block ends inside a field'],
    ['an endless integer', '00 7f ff ff ff ff ff 7f', 'an integer is too long'],
    ['bad padding', '0001 61 81 00', 'bad padding'],
    ['padding of a whole octet', '0001 61 82 1fff', 'bad padding'],
    ['EOS', '0001 61 84 ffff ffff', 'EOS inside a Huffman-coded string'],
  ])('refuses %s', (_, block, reason) => {
    expect(() => decode(new HpackDecoder(), block)).toThrow(reason);
  });

  it('reads what nghttp2 writes, every octet a field may have', async () => {
    // Long values so that nghttp2 finds Huffman worth its while; the raw block is taken off the wire.
    const visible = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)).join('');
    const { promise, resolve } = Promise.withResolvers<Buffer>();
    const raw = createServer((socket) => {
      let held = Buffer.alloc(0);
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        held = Buffer.concat([held, chunk]);
        let at = 24;
        while (held.length >= at + 9) {
          const length = held.readUIntBE(at, 3);
          if (held.length < at + 9 + length) return;
          if (held[at + 3] === 1) resolve(held.subarray(at + 9, at + 9 + length));
          at += 9 + length;
        }
      });
    });
    await new Promise<void>((done) => raw.listen(0, '127.0.0.1', done));
    const client = h2connect(`http://127.0.0.1:${(raw.address() as { port: number }).port}`);
    client.on('error', () => {});
    client
      .request({ ':path': '/x', 'x-all': visible, 'x-again': `${visible}${'e'.repeat(300)}` })
      .on('error', () => {});
    const fields = decode(new HpackDecoder(), await promise);
    client.destroy();
    await new Promise((done) => raw.close(done));
    expect(fields).toContain(`x-all: ${visible}`);
    expect(fields).toContain(`x-again: ${visible}${'e'.repeat(300)}`);
    expect(fields).toContain(':path: /x');
  });
});

describe('literalBlock', () => {
  it('writes fields of any length that a decoder reads back', () => {
    const fields = [126, 127, 128, 255, 20_000].map((length): [string, string] => [`n${length}`, 'v'.repeat(length)]);
    expect(decode(new HpackDecoder(), literalBlock(fields))).toEqual(
      fields.map(([name, value]) => `${name}: ${value}`),
    );
  });
});
