import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import { Problems } from '../../../../src/xds/proto/codec.ts';
import { Reader } from '../../../../src/xds/proto/reader.ts';
import { Writer } from '../../../../src/xds/proto/writer.ts';

/** The scalars that xDS hardly uses, and whose codec other tests therefore hardly see. */
const kinds = [
  'int32',
  'uint32',
  'sint32',
  'int64',
  'uint64',
  'sint64',
  'fixed32',
  'sfixed32',
  'fixed64',
  'sfixed64',
  'bool',
  'float',
  'double',
  'string',
] as const;

type Kind = (typeof kinds)[number];

function samples(kind: Kind): unknown[] {
  const random = seededRandom(3);
  if (kind === 'bool') return [true, false];
  if (kind === 'string')
    return ['', 'a', 'ü', '😀', 'x'.repeat(127), 'ü'.repeat(64), 'x'.repeat(20_000), '\0', '\ufeffbom'];
  if (kind === 'double') return [0.1, -1e300, Number.NaN, Number.NEGATIVE_INFINITY];
  if (kind === 'float') return [0.5, -3.25, Number.POSITIVE_INFINITY];
  const bits = kind.endsWith('64') ? 53 : kind.startsWith('u') || kind === 'fixed32' ? 32 : 31;
  const sizes = Array.from({ length: bits }, (_, i) => 2 ** i);
  const all = [0, ...sizes.flatMap((size) => [size - 1, size, Math.floor(size * (1 + random.next() * 0.99))])].filter(
    (n) => n < 2 ** bits,
  );
  return kind.startsWith('u') || kind.startsWith('fixed') ? all : [...all, ...all.map((n) => 0 - n)].map((n) => n + 0);
}

function writeOurs(writer: Writer, kind: Kind, value: unknown): void {
  const as = kind === 'uint64' ? 'int64' : kind === 'sfixed32' ? 'fixed32' : kind === 'sfixed64' ? 'fixed64' : kind;
  (writer[as] as (value: unknown) => void).call(writer, value);
}

describe.each(kinds)('%s', (kind) => {
  it('has the bytes that protobufjs gives it, and comes back from them', () => {
    const writer = new Writer();
    for (const value of samples(kind)) {
      const theirs = protobuf.Writer.create();
      (theirs[kind] as (value: unknown) => void).call(theirs, value);
      const bytes = Uint8Array.from(theirs.finish());
      writer.reset();
      writeOurs(writer, kind, value);
      expect(writer.finish(), String(value)).toEqual(bytes);
      const problems = new Problems();
      expect(new Reader(bytes, problems, '')[kind]()).toEqual(value);
      expect(problems.list).toEqual([]);
    }
  });
});
