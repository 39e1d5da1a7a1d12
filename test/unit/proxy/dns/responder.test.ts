import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import type { NameEntry } from '../../../../src/model/name-table.ts';
import { type Query, RCODE, TYPE, withId } from '../../../../src/protocol/dns/message.ts';
import type { DnsTransport } from '../../../../src/proxy/dns/forwarder.ts';
import { Responder } from '../../../../src/proxy/dns/responder.ts';
import { DnsStats } from '../../../../src/proxy/dns/stats.ts';
import { StatStore } from '../../../../src/proxy/telemetry/metrics/store.ts';
import { manualClock } from '../../../support/clock.ts';
import { opt, queryBytes, readAnswer } from '../../../support/dns.ts';

type Done = (answer: Uint8Array | null, rcode: number) => void;

function setUp(entries: NameEntry[] | null) {
  const clock = manualClock();
  const store = new StatStore();
  const forwarded: { query: Query; transport: DnsTransport; done: Done }[] = [];
  const responder = new Responder({
    context: { namespace: 'default', domain: 'svc.cluster.local', search: 'default.svc.cluster.local' },
    forwarder: { forward: (query, transport, done) => forwarded.push({ query, transport, done }) },
    stats: new DnsStats(store),
    clock,
    random: seededRandom(7),
  });
  if (entries !== null) responder.update(entries);
  const ask = (bytes: Uint8Array, transport: DnsTransport = 'udp') => {
    const replies: Uint8Array[] = [];
    responder.handle(bytes, transport, (message) => replies.push(message));
    return replies;
  };
  return { clock, store, forwarded, responder, ask };
}

const ENTRIES: NameEntry[] = [
  { host: 'api.example.com', addresses: ['240.240.0.1'], aliases: [], service: null },
  { host: 'many.example', addresses: Array.from({ length: 60 }, (_, i) => `10.0.0.${i}`), aliases: [], service: null },
];

describe('names of the mesh', () => {
  it('are answered with authority, for half a minute', () => {
    const { ask, forwarded } = setUp(ENTRIES);
    const [reply] = ask(queryBytes('api.example.com', TYPE.A, { id: 77 }));
    expect(readAnswer(reply!)).toMatchObject({
      id: 77,
      rcode: 0,
      authoritative: true,
      answers: [{ name: 'api.example.com', ttl: 30, data: '240.240.0.1' }],
    });
    expect(forwarded).toEqual([]);
  });
  it('have no records of a family that they have no address of', () => {
    const [reply] = setUp(ENTRIES).ask(queryBytes('api.example.com', TYPE.AAAA));
    expect(readAnswer(reply!)).toMatchObject({ rcode: 0, authoritative: true, answers: [] });
  });
  it('behind a search domain, neither', () => {
    const { ask } = setUp(ENTRIES);
    const name = 'api.example.com.default.svc.cluster.local';
    expect(readAnswer(ask(queryBytes(name, TYPE.AAAA))[0]!)).toMatchObject({ rcode: 0, answers: [] });
    expect(readAnswer(ask(queryBytes(name, TYPE.A))[0]!).answers.map(({ data }) => data)).toEqual([
      'api.example.com',
      '240.240.0.1',
    ]);
  });
  it('with many addresses begin with another one each time', () => {
    const { ask } = setUp(ENTRIES);
    const firsts = new Set<string>();
    for (let i = 0; i < 40; i++) {
      const { answers } = readAnswer(ask(queryBytes('many.example', TYPE.A), 'tcp')[0]!);
      expect(new Set(answers.map(({ data }) => data)).size).toBe(60);
      firsts.add(answers[0]!.data);
    }
    expect(firsts.size).toBeGreaterThan(10);
  });
  it('are cut over UDP where the client takes no more, and not over TCP', () => {
    const { ask } = setUp(ENTRIES);
    const of = (...args: Parameters<typeof ask>) => readAnswer(ask(...args)[0]!);
    expect(of(queryBytes('many.example', TYPE.A))).toMatchObject({ truncated: true });
    const more = of(queryBytes('many.example', TYPE.A, { records: [opt(1232)] }));
    expect(more).toMatchObject({ truncated: false });
    expect(more.answers.length).toBe(60);
    expect(of(queryBytes('many.example', TYPE.A), 'tcp').answers.length).toBe(60);
  });
  it('of another type are asked for elsewhere, and are there even if nobody else knows them', () => {
    const { ask, forwarded } = setUp(ENTRIES);
    const replies = ask(queryBytes('api.example.com', 65, { id: 9 }));
    expect(forwarded.length).toBe(1);
    const { query, done } = forwarded[0]!;
    const nobody = Uint8Array.from(query.bytes);
    nobody[2] = 0x81;
    nobody[3] = 0x83;
    done(nobody, RCODE.NXDOMAIN);
    expect(readAnswer(replies[0]!)).toMatchObject({ id: 9, rcode: RCODE.NOERROR });
  });
  it('of another class are not those of the mesh', () => {
    const { ask, forwarded } = setUp(ENTRIES);
    ask(queryBytes('api.example.com', TYPE.A, { class: 3 }));
    expect(forwarded.length).toBe(1);
  });
});

describe('all other names', () => {
  it('are passed on as the client asked, and what comes back is its answer', () => {
    const { ask, forwarded } = setUp(ENTRIES);
    const bytes = queryBytes('example.org', TYPE.A, { id: 3 });
    const replies = ask(bytes, 'tcp');
    expect(forwarded).toMatchObject([{ query: { name: 'example.org' }, transport: 'tcp' }]);
    expect(replies).toEqual([]);
    const answer = withId(bytes, 3);
    forwarded[0]!.done(answer, RCODE.NXDOMAIN);
    expect(replies).toEqual([answer]);
  });
  it('that nobody answers fail', () => {
    const { ask, forwarded } = setUp(ENTRIES);
    const replies = ask(queryBytes('example.org', TYPE.A));
    forwarded[0]!.done(null, RCODE.SERVFAIL);
    expect(readAnswer(replies[0]!)).toMatchObject({ rcode: RCODE.SERVFAIL, authoritative: false });
  });
});

describe('before the names are here', () => {
  it('every name fails for a while, then it is passed on', () => {
    const { ask, forwarded, clock } = setUp(null);
    expect(readAnswer(ask(queryBytes('api.example.com', TYPE.A))[0]!).rcode).toBe(RCODE.SERVFAIL);
    clock.advance(5_000);
    ask(queryBytes('api.example.com', TYPE.A));
    expect(forwarded.length).toBe(1);
  });
  it('when they are, they are answered', () => {
    const { ask, responder } = setUp(null);
    expect(responder.names).toBeNull();
    responder.update(ENTRIES);
    expect(responder.names).toBe(2);
    expect(readAnswer(ask(queryBytes('api.example.com', TYPE.A))[0]!).rcode).toBe(0);
    responder.update([]);
    expect(responder.names).toBe(0);
  });
});

describe('what is no query', () => {
  it('gets an error or nothing', () => {
    const { ask, forwarded } = setUp(ENTRIES);
    expect(ask(Uint8Array.of(1, 2, 3))).toEqual([]);
    expect(ask(queryBytes('a', TYPE.A, { flags: 0x8000 }))).toEqual([]);
    expect(readAnswer(ask(queryBytes('a', TYPE.A, { questions: 2 }))[0]!).rcode).toBe(RCODE.FORMERR);
    expect(readAnswer(ask(queryBytes('a', TYPE.A, { flags: 0x2800 }))[0]!).rcode).toBe(RCODE.NOTIMP);
    expect(forwarded).toEqual([]);
  });
  it('another version of EDNS: BADVERS', () => {
    const [reply] = setUp(ENTRIES).ask(queryBytes('a', TYPE.A, { records: [opt(600, { version: 2 })] }));
    expect(readAnswer(reply!).opt?.rcode).toBe(RCODE.BADVERS >> 4);
  });
  it.each([TYPE.AXFR, TYPE.IXFR])('a whole zone (%s): refused', (type) => {
    const { ask, forwarded } = setUp(ENTRIES);
    expect(readAnswer(ask(queryBytes('example.org', type), 'tcp')[0]!).rcode).toBe(RCODE.REFUSED);
    expect(forwarded).toEqual([]);
  });
});

it('counts what it is asked', () => {
  const { ask, store } = setUp(ENTRIES);
  ask(queryBytes('api.example.com', TYPE.A));
  ask(Uint8Array.of(1));
  expect(store.value(store.counter('istio_agent_dns_requests_total'))).toBe(2);
});
