import { describe, expect, it } from 'vitest';
import {
  encodeError,
  encodeReply,
  type Query,
  RCODE,
  readQuery,
  readResponse,
  TYPE,
  udpLimit,
  withId,
} from '../../../../src/protocol/dns/message.ts';
import { encodeName } from '../../../../src/protocol/dns/name.ts';
import { opt, queryBytes, readAnswer } from '../../../support/dns.ts';

function query(...args: Parameters<typeof queryBytes>): Query {
  const read = readQuery(queryBytes(...args));
  if (read.kind !== 'query') throw new Error(`read as ${read.kind}`);
  return read.query;
}

const four = (last: number): Uint8Array => Uint8Array.of(10, 0, 0, last);
const records = (count: number) => ({
  alias: null,
  type: TYPE.A,
  addresses: Array.from({ length: count }, (_, i) => four(i)),
  ttl: 30,
});
const reply = (of: Query, more: Partial<Parameters<typeof encodeReply>[1]> = {}) =>
  encodeReply(of, { rcode: 0, authoritative: true, records: null, limit: 512, ...more });

describe('readQuery', () => {
  it('name, type, class, id', () =>
    expect(query('Reviews.default', TYPE.A, { id: 7 })).toMatchObject({
      id: 7,
      name: 'reviews.default',
      type: 1,
      class: 1,
      questionEnd: 33,
      edns: null,
    }));
  it('EDNS with its size and flags', () =>
    expect(query('a', TYPE.A, { records: [opt(1232, { flags: 0x8000 })] }).edns).toEqual({
      size: 1232,
      version: 0,
      flags: 0x8000,
    }));
  it('other records do not matter', () =>
    expect(
      query('a', TYPE.A, { records: [Uint8Array.of(1, 120, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 9), opt(600)] }).edns?.size,
    ).toBe(600));

  const kinds: [string, Uint8Array, string, number?][] = [
    ['nothing', new Uint8Array(0), 'drop'],
    ['half a header', new Uint8Array(11), 'drop'],
    ['an answer', queryBytes('a', TYPE.A, { flags: 0x8100 }), 'drop'],
    ['another operation', queryBytes('a', TYPE.A, { flags: 0x2800 }), 'wrong', RCODE.NOTIMP],
    ['no question', queryBytes('a', TYPE.A, { questions: 0 }), 'wrong', RCODE.FORMERR],
    ['two questions', queryBytes('a', TYPE.A, { questions: 2 }), 'wrong', RCODE.FORMERR],
    ['a question that is cut', queryBytes('a', TYPE.A).subarray(0, 16), 'wrong', RCODE.FORMERR],
    ['a record that is not there', queryBytes('a', TYPE.A, { extra: 1 }), 'wrong', RCODE.FORMERR],
    ['very many records', queryBytes('a', TYPE.A, { extra: 17 }), 'wrong', RCODE.FORMERR],
    ['two OPT', queryBytes('a', TYPE.A, { records: [opt(600), opt(700)] }), 'wrong', RCODE.FORMERR],
    ['an OPT that is cut', queryBytes('a', TYPE.A, { records: [opt(600).subarray(0, 8)] }), 'wrong', RCODE.FORMERR],
    [
      'an OPT of a name',
      queryBytes('a', TYPE.A, { records: [Uint8Array.of(1, 97, ...opt(600))] }),
      'wrong',
      RCODE.FORMERR,
    ],
  ];
  it.each(kinds)('%s', (_, bytes, kind, rcode) =>
    expect(readQuery(bytes)).toEqual(rcode === undefined ? { kind } : { kind, rcode }),
  );
});

describe('encodeReply', () => {
  it('the question, as it was written, and the addresses', () => {
    const answer = readAnswer(reply(query('ReViews', TYPE.A, { id: 300 }), { records: records(2) }));
    expect(answer).toMatchObject({
      id: 300,
      rcode: 0,
      authoritative: true,
      truncated: false,
      question: 'ReViews',
      answers: [
        { name: 'ReViews', type: 1, ttl: 30, data: '10.0.0.0' },
        { name: 'ReViews', type: 1, ttl: 30, data: '10.0.0.1' },
      ],
    });
  });
  it('an alias first, then the addresses of what it stands for', () => {
    const six = Uint8Array.from([0xfd, ...new Array(14).fill(0), 1]);
    const answer = readAnswer(
      reply(query('api.example.com.ns.svc', TYPE.AAAA), {
        records: { alias: encodeName('api.example.com'), type: TYPE.AAAA, addresses: [six], ttl: 5 },
      }),
    );
    expect(answer.answers).toEqual([
      { name: 'api.example.com.ns.svc', type: TYPE.CNAME, ttl: 5, data: 'api.example.com' },
      { name: 'api.example.com', type: TYPE.AAAA, ttl: 5, data: 'fd00::1' },
    ]);
  });
  it('no records are an answer too', () =>
    expect(readAnswer(reply(query('a', TYPE.AAAA), { records: { ...records(0), type: TYPE.AAAA } }))).toMatchObject({
      rcode: 0,
      truncated: false,
      answers: [],
    }));
  it('recursion wanted and checking disabled are said again, other flags are not', () => {
    expect(readAnswer(reply(query('a', TYPE.A, { flags: 0x0170 }))).flags).toBe(0x8590);
    expect(readAnswer(reply(query('a', TYPE.A, { flags: 0 }), { authoritative: false })).flags).toBe(0x8080);
  });
  it('EDNS is answered with EDNS, and only then', () => {
    expect(readAnswer(reply(query('a', TYPE.A))).opt).toBeNull();
    const with_ = query('a', TYPE.A, { records: [opt(4096, { flags: 0x8001 })] });
    expect(readAnswer(reply(with_, { records: records(1) })).opt).toEqual({
      size: 1232,
      rcode: 0,
      version: 0,
      flags: 0x8000,
    });
  });
  it('BADVERS is said in the OPT record', () => {
    const answer = readAnswer(
      reply(query('a', TYPE.A, { records: [opt(600, { version: 1 })] }), {
        rcode: RCODE.BADVERS,
        authoritative: false,
      }),
    );
    expect(answer).toMatchObject({ rcode: 0, opt: { rcode: 1, version: 0 } });
  });
  it('what does not fit is left out, and TC says so', () => {
    const asked = query('a', TYPE.A);
    const answer = reply(asked, { records: records(100) });
    expect(answer.length).toBeLessThanOrEqual(512);
    expect(readAnswer(answer)).toMatchObject({ truncated: true });
    expect(readAnswer(answer).answers.length).toBe(30);
    expect(readAnswer(reply(asked, { records: records(30) }))).toMatchObject({ truncated: false });
    expect(readAnswer(reply(asked, { records: records(100), limit: 65_535 })).answers.length).toBe(100);
  });
});

describe('udpLimit', () => {
  it('512, more for who says it, within bounds', () => {
    const of = (size?: number) =>
      udpLimit(query('a', TYPE.A, size === undefined ? {} : { records: [opt(size)] }), 4096);
    expect([of(), of(0), of(511), of(1232), of(65_535)]).toEqual([512, 512, 512, 1232, 4096]);
  });
});

describe('encodeError', () => {
  it('a header with the id, the operation and the code', () => {
    const error = encodeError(queryBytes('a', TYPE.A, { id: 0xabcd, flags: 0x2900 }), RCODE.NOTIMP);
    expect([...error]).toEqual([0xab, 0xcd, 0xa9, 0x84, 0, 0, 0, 0, 0, 0, 0, 0]);
  });
});

describe('readResponse', () => {
  const asked = query('api.example.com', TYPE.A, { id: 5 });
  const answer = (rcode = 0): Uint8Array => withId(reply(asked, { rcode, records: records(1) }), 9);

  it('the answer to the question, whatever the case', () => {
    expect(readResponse(answer(), asked, 9)).toEqual({ rcode: 0, truncated: false });
    expect(readResponse(withId(reply(query('API.example.COM', TYPE.A)), 9), asked, 9)).not.toBeNull();
  });
  it('the code of a failure', () => expect(readResponse(answer(2), asked, 9)?.rcode).toBe(2));
  it.each<[string, Uint8Array]>([
    ['another id', withId(answer(), 10)],
    ['a query', queryBytes('api.example.com', TYPE.A, { id: 9 })],
    ['another name', withId(reply(query('evil.example.com', TYPE.A)), 9)],
    ['another type', withId(reply(query('api.example.com', TYPE.AAAA)), 9)],
    ['two questions', Uint8Array.from(answer(), (octet, i) => (i === 5 ? 2 : octet))],
    ['cut in the question', answer().subarray(0, 20)],
    ['cut in the header', answer().subarray(0, 8)],
    ['no question, though it found one', Uint8Array.of(0, 9, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0)],
  ])('not: %s', (_, bytes) => expect(readResponse(bytes, asked, 9)).toBeNull());
  it('who cannot read the question leaves it out', () =>
    expect(readResponse(Uint8Array.of(0, 9, 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0), asked, 9)).toEqual({
      rcode: RCODE.FORMERR,
      truncated: false,
    }));
});

describe('withId', () => {
  it('changes a copy', () => {
    const bytes = queryBytes('a', TYPE.A, { id: 1 });
    expect([...withId(bytes, 0x0203).subarray(0, 2)]).toEqual([2, 3]);
    expect([...bytes.subarray(0, 2)]).toEqual([0, 1]);
  });
  it('and the code', () => expect(withId(Uint8Array.of(0, 0, 0x81, 0x83), 1, 0)[3]).toBe(0x80));
});
