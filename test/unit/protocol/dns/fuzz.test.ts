import { describe, expect, it } from 'vitest';
import { type Random, seededRandom } from '../../../../src/base/random.ts';
import {
  encodeReply,
  HEADER,
  RCODE,
  readQuery,
  readResponse,
  TYPE,
  withId,
} from '../../../../src/protocol/dns/message.ts';
import { encodeName, readName } from '../../../../src/protocol/dns/name.ts';
import { TcpMessages } from '../../../../src/protocol/dns/tcp-messages.ts';
import { opt, queryBytes, readAnswer } from '../../../support/dns.ts';

const ROUNDS = 4_000;

/** Another reader of names, by the letter of RFC 1035 section 4.1.4: labels as numbers, pointers counted. */
function labelsAt(message: Uint8Array, start: number): number[][] | null {
  const labels: number[][] = [];
  let at = start;
  let length = 0;
  const seen = new Set<number>();
  for (;;) {
    const octet = message[at];
    if (octet === undefined) return null;
    if ((octet & 0xc0) === 0xc0) {
      const target = ((octet & 0x3f) << 8) | (message[at + 1] ?? 0x10000);
      if (target > 0xffff || seen.has(target)) return null;
      seen.add(target);
      at = target;
    } else if ((octet & 0xc0) !== 0) return null;
    else {
      length += octet + 1;
      if (length > 255) return null;
      if (octet === 0) return labels;
      if (at + octet >= message.length) return null;
      labels.push([...message.subarray(at + 1, at + 1 + octet)]);
      at += octet + 1;
    }
  }
}

/** The labels of a name as it was read. */
function labelsOf(name: string): number[][] {
  const labels: number[][] = [[]];
  for (let i = 0; i < name.length; i++) {
    const label = labels[labels.length - 1]!;
    if (name[i] === '.') labels.push([]);
    else if (name[i] !== '\\') label.push(name.charCodeAt(i));
    else if (/^\d{3}/.test(name.slice(i + 1))) {
      label.push(Number(name.slice(i + 1, i + 4)));
      i += 3;
    } else label.push(name.charCodeAt(++i));
  }
  return name === '' ? [] : labels;
}

const lower = (labels: number[][]): number[][] =>
  labels.map((label) => label.map((octet) => (octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet)));

function name(random: Random): string {
  const label = (): string => Array.from({ length: 1 + random.int(12) }, () => 'abcXYZ019-_'[random.int(11)]).join('');
  return Array.from({ length: 1 + random.int(5) }, label).join('.');
}

/** Some octets are others, some are gone, some come twice. */
function mutated(bytes: Uint8Array, random: Random): Uint8Array {
  let result: Uint8Array = Uint8Array.from(bytes);
  for (let i = random.int(5); i > 0 && result.length > 0; i--) {
    const at = random.int(result.length);
    const how = random.int(4);
    if (how === 0) result[at] = random.int(256);
    else if (how === 1) result = result.subarray(0, at);
    else if (how === 2) result[at] = 0xc0 | random.int(2);
    else result = Buffer.concat([result.subarray(0, at), result.subarray(Math.max(0, at - 8))]);
  }
  return Uint8Array.from(result);
}

describe('names', () => {
  it('read as another reader reads them, or not at all', () => {
    const random = seededRandom(1);
    let same = 0;
    let refused = 0;
    for (let i = 0; i < ROUNDS; i++) {
      // Few kinds of octets, so that pointers and lengths mean something.
      const message = Uint8Array.from({ length: 1 + random.int(40) }, () =>
        random.int(3) === 0 ? random.int(8) : random.int(2) === 0 ? 0xc0 : random.int(256),
      );
      const at = random.int(message.length);
      const read = readName(message, at);
      const other = labelsAt(message, at);
      if (read === null) refused++;
      else {
        same++;
        expect(other).not.toBeNull();
        expect(labelsOf(read.name)).toEqual(lower(other!));
        expect(read.end).toBeGreaterThan(at);
        expect(read.end).toBeLessThanOrEqual(message.length);
      }
    }
    expect(Math.min(same, refused)).toBeGreaterThan(ROUNDS / 50);
  });
  it('there and back', () => {
    const random = seededRandom(2);
    for (let i = 0; i < 2_000; i++) {
      const text = name(random);
      expect(readName(encodeName(text)!, 0)).toEqual({ name: text.toLowerCase(), end: text.length + 2 });
    }
  });
});

describe('queries', () => {
  it('of any octets are read or not, and what is read can be answered', () => {
    const random = seededRandom(3);
    const kinds = new Map<string, number>();
    for (let i = 0; i < ROUNDS; i++) {
      const records = random.int(2) === 0 ? [] : [opt(random.int(65_536), { flags: random.int(65_536) })];
      const sent = queryBytes(name(random), [1, 28, 65, 255][random.int(4)]!, { id: random.int(65_536), records });
      const bytes = mutated(sent, random);
      const read = readQuery(bytes);
      kinds.set(read.kind, (kinds.get(read.kind) ?? 0) + 1);
      if (read.kind !== 'query') continue;
      const { query } = read;
      expect(labelsOf(query.name)).toEqual(lower(labelsAt(bytes, HEADER)!));
      const count = random.int(60);
      const alias = random.int(2) === 0 ? null : encodeName(name(random));
      const addresses = Array.from({ length: count }, (_, j) => Uint8Array.of(10, 0, 0, j));
      const limit = 512 + random.int(1_000);
      const reply = encodeReply(query, {
        rcode: RCODE.NOERROR,
        authoritative: true,
        records: { alias, type: TYPE.A, addresses, ttl: 30 },
        limit,
      });
      const answer = readAnswer(reply);
      expect(reply.length).toBeLessThanOrEqual(limit);
      expect(answer.id).toBe(query.id);
      const wanted = count + (alias === null ? 0 : 1);
      expect(answer.truncated).toBe(answer.answers.length < wanted);
      expect(answer.opt === null).toBe(query.edns === null);
    }
    for (const kind of ['query', 'wrong', 'drop']) expect(kinds.get(kind), kind).toBeGreaterThan(ROUNDS / 100);
  });

  it('take no octets for an answer but those of their own', () => {
    const random = seededRandom(4);
    let taken = 0;
    for (let i = 0; i < ROUNDS; i++) {
      const sent = queryBytes(name(random), TYPE.A, { id: 77 });
      const read = readQuery(sent);
      if (read.kind !== 'query') throw new Error('no query');
      const answer = Buffer.from(withId(sent, 78));
      answer[2] = 0x81;
      const bytes = mutated(answer, random);
      if (readResponse(bytes, read.query, 78) === null) continue;
      taken++;
      expect((bytes[0]! << 8) | bytes[1]!).toBe(78);
      expect(bytes[2]! & 0x80).toBe(0x80);
      // The question is there, or the answer says that it was not understood.
      if (bytes[5] === 1) expect(lower(labelsAt(bytes, HEADER)!)).toEqual(labelsOf(read.query.name));
      else expect(bytes[3]! & 15).not.toBe(0);
    }
    expect(taken).toBeGreaterThan(ROUNDS / 20);
  });
});

it('a stream is cut into the same messages wherever it was cut', () => {
  const random = seededRandom(5);
  for (let i = 0; i < 500; i++) {
    const stream = Uint8Array.from({ length: random.int(200) }, () => (random.int(2) === 0 ? 0 : random.int(30)));
    const whole = new TcpMessages().push(stream)!.map((message) => Buffer.from(message).toString('hex'));
    const parts = new TcpMessages();
    const found: string[] = [];
    for (let at = 0; at < stream.length; ) {
      const next = at + 1 + random.int(20);
      found.push(...parts.push(stream.subarray(at, next))!.map((message) => Buffer.from(message).toString('hex')));
      at = next;
    }
    expect(found).toEqual(whole);
  }
});
