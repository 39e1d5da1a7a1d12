import { describe, expect, it } from 'vitest';
import { Framing } from '../../../../../src/protocol/http/message.ts';
import { buffer } from '../../../../../src/proxy/filters/buffer/buffer.ts';
import {
  BufferPerRoute,
  Buffer as WireBuffer,
} from '../../../../../src/xds/proto/gen/envoy/extensions/filters/http/buffer/v3.ts';
import { context, decoded, FakeStream, route, stat } from '../support.ts';

function filter(max = 10) {
  const { config, problems } = decoded(buffer, WireBuffer, { max_request_bytes: max });
  expect(problems).toEqual([]);
  const ctx = context();
  return { made: buffer.create(config, ctx), stats: ctx.stats };
}

function upload(contentLength = -1): FakeStream {
  const stream = new FakeStream({}, 'POST');
  stream.request.framing = contentLength < 0 ? Framing.Chunked : Framing.Length;
  stream.request.contentLength = contentLength;
  return stream;
}

describe('buffer', () => {
  it('gathers what has a body, and nothing else', () => {
    const { made } = filter();
    expect(made.onRequestHead!(new FakeStream(), null)).toBe(0);
    expect(made.onRequestHead!(upload(0), null)).toBe(0);
    expect([made.onRequestHead!(upload(10), null), made.onRequestHead!(upload(), null)]).toEqual([3, 3]);
  });

  it('gives the body back at its end, and keeps no piece of what was read', () => {
    const { made } = filter();
    const stream = upload();
    made.onRequestHead!(stream, null);
    const read = Buffer.from('abcdef');
    expect(made.onRequestData!(stream, read.subarray(0, 3), false, null)).toBeNull();
    expect(made.onRequestData!(stream, read.subarray(3), false, null)).toBeNull();
    read.fill('x');
    expect(String(made.onRequestData!(stream, Buffer.alloc(0), true, null))).toBe('abcdef');
  });

  it('refuses a body that is too large: by its length at once, else when it is', () => {
    const { made, stats } = filter();
    const declared = upload(11);
    expect(made.onRequestHead!(declared, null)).toBe(2);
    expect(declared.lastReply).toMatchObject({ status: 413, details: 'request_payload_too_large', flags: 0 });
    const chunked = upload();
    made.onRequestHead!(chunked, null);
    expect(made.onRequestData!(chunked, Buffer.alloc(10), false, null)).toBeNull();
    expect(chunked.replies).toEqual([]);
    expect(made.onRequestData!(chunked, Buffer.alloc(1), false, null)).toBeNull();
    expect(chunked.lastReply?.body).toBe('Payload Too Large');
    expect(stat(stats, 'http.in.downstream_rq_too_large')).toBe(2);
  });

  it('a route has another limit, or none', () => {
    const { made } = filter();
    const larger = route(buffer, BufferPerRoute, { buffer: { max_request_bytes: 20 } });
    const off = route(buffer, BufferPerRoute, { disabled: true });
    expect(made.onRequestHead!(upload(20), larger)).toBe(3);
    const stream = upload(20);
    expect(made.onRequestHead!(stream, off)).toBe(0);
    const chunk = Buffer.from('abc');
    expect(made.onRequestData!(stream, chunk, false, off)).toBe(chunk);
  });

  it('wants a limit above 0', () => {
    expect(decoded(buffer, WireBuffer, { max_request_bytes: 0 }).problems).toHaveLength(1);
    expect(decoded(buffer, WireBuffer, {}).problems).toHaveLength(1);
  });

  it('describes itself', () => {
    const { made } = filter(5);
    expect(made.describe!(null)?.says).toContain('at most 5 bytes');
    expect(made.describe!(route(buffer, BufferPerRoute, { disabled: true }))).toBeNull();
  });
});
