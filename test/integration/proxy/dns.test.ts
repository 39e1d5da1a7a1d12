import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { seededRandom } from '../../../src/base/random.ts';
import type { NameEntry } from '../../../src/model/name-table.ts';
import { RCODE, TYPE, withId } from '../../../src/protocol/dns/message.ts';
import { readResolvConf } from '../../../src/protocol/dns/resolv-conf.ts';
import { framed, TcpMessages } from '../../../src/protocol/dns/tcp-messages.ts';
import { DnsProxy } from '../../../src/proxy/dns/dns-proxy.ts';
import { StatStore } from '../../../src/proxy/telemetry/metrics/store.ts';
import { manualClock } from '../../support/clock.ts';
import { opt, queryBytes, type ReadAnswer, readAnswer } from '../../support/dns.ts';
import { type DnsUpstream, dnsUpstream, type SeenQuery } from '../../support/dns-upstream.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const NAMES: NameEntry[] = [
  { host: 'api.example.com', addresses: ['240.240.0.1', '2001:2::f0f0:1'], aliases: [], service: null },
  {
    host: 'reviews.default.svc.cluster.local',
    addresses: ['10.96.0.10'],
    aliases: [],
    service: { name: 'reviews', namespace: 'default' },
  },
  {
    host: 'many.example',
    addresses: Array.from({ length: 300 }, (_, i) => `10.0.${i >> 8}.${i & 255}`),
    aliases: [],
    service: null,
  },
];

interface Setting {
  readonly servers?: readonly string[];
  readonly serverPort?: number;
  readonly clock?: Clock;
  readonly host?: string;
  readonly options?: string;
}

async function dnsProxy({
  servers = [],
  serverPort = 1,
  clock = systemClock,
  host = '127.0.0.1',
  options = '',
}: Setting = {}) {
  const stats = new StatStore();
  const conf = `search default.svc.cluster.local\n${options}\n${servers.map((server) => `nameserver ${server}\n`).join('')}`;
  const proxy = new DnsProxy({
    addresses: [{ host, port: 0 }],
    resolvConf: readResolvConf(conf),
    namespace: 'default',
    domain: 'svc.cluster.local',
    clock,
    random: seededRandom(1),
    log: silentLogger(systemClock),
    stats,
    serverPort,
  });
  await proxy.start();
  proxy.update(NAMES);
  cleanups.push(() => proxy.close());
  const { port } = proxy.addresses[0]!;
  const count = (name: string): number => stats.value(stats.counter(`istio_agent_dns_${name}_total`));
  return { proxy, port, count, stats };
}

async function upstream(host?: string, port?: number): Promise<DnsUpstream> {
  const made = await dnsUpstream(host, port);
  cleanups.push(() => made.close());
  return made;
}

/** A socket that asks, and the answers in the order in which they come. */
async function udpClient(port: number) {
  const socket = createSocket('udp4');
  cleanups.push(() => socket.close());
  const answers: ReadAnswer[] = [];
  const wakers: (() => void)[] = [];
  socket.on('message', (bytes) => {
    answers.push(readAnswer(bytes));
    for (const wake of wakers.splice(0)) wake();
  });
  await new Promise<void>((resolve) => socket.connect(port, '127.0.0.1', () => resolve()));
  return {
    send: (bytes: Uint8Array) => socket.send(bytes),
    answer: async (index: number): Promise<ReadAnswer> => {
      while (answers.length <= index) await new Promise<void>((resolve) => wakers.push(resolve));
      return answers[index]!;
    },
  };
}

async function tcpClient(port: number) {
  const socket: Socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  cleanups.push(() => socket.destroy());
  const messages = new TcpMessages();
  const answers: ReadAnswer[] = [];
  const wakers: (() => void)[] = [];
  const ended = new Promise<void>((resolve) => socket.on('end', () => resolve()));
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    answers.push(...messages.push(chunk)!.map((bytes) => readAnswer(bytes)));
    for (const wake of wakers.splice(0)) wake();
  });
  await new Promise<void>((resolve) => socket.on('connect', () => resolve()));
  return {
    socket,
    ended,
    send: (...queries: Uint8Array[]) => socket.write(Buffer.concat(queries.map((query) => framed(query)))),
    answer: async (index: number): Promise<ReadAnswer> => {
      while (answers.length <= index) await new Promise<void>((resolve) => wakers.push(resolve));
      return answers[index]!;
    },
  };
}

/** The answer of a server: the query with the code, or with one address. */
function answerOf(
  { bytes }: Pick<SeenQuery, 'bytes'>,
  { rcode = 0, truncated = false, address = '' } = {},
): Uint8Array {
  const data = address === '' ? [] : [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, ...address.split('.').map(Number)];
  const answer = Buffer.concat([bytes, Uint8Array.from(data)]);
  answer[2] = 0x81 | (truncated ? 2 : 0);
  answer[3] = 0x80 | rcode;
  answer.writeUInt16BE(address === '' ? 0 : 1, 6);
  return answer;
}

describe('names of the mesh, asked by a resolver of another maker', () => {
  test.each(['127.0.0.1', '::1'])('on %s', async (host) => {
    const { port } = await dnsProxy({ host });
    const resolver = new Resolver();
    resolver.setServers([host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`]);
    expect(await resolver.resolve4('api.example.com', { ttl: true })).toEqual([{ address: '240.240.0.1', ttl: 30 }]);
    expect(await resolver.resolve6('api.example.com')).toEqual(['2001:2::f0f0:1']);
    expect(await resolver.resolve4('reviews.default.svc.cluster.local')).toEqual(['10.96.0.10']);
    expect(await resolver.resolve4('API.example.com.default.svc.cluster.local')).toEqual(['240.240.0.1']);
    await expect(resolver.resolve6('reviews.default.svc.cluster.local')).rejects.toMatchObject({ code: 'ENODATA' });
  });
  test('what is cut over UDP comes whole over TCP', async () => {
    const { port } = await dnsProxy();
    const resolver = new Resolver();
    resolver.setServers([`127.0.0.1:${port}`]);
    expect(new Set(await resolver.resolve4('many.example')).size).toBe(300);
  });
});

describe('all other names', () => {
  test('go on as they were asked, and the answer comes back under the client’s id', async () => {
    const server = await upstream();
    const { port, count, stats } = await dnsProxy({ servers: ['127.0.0.1'], serverPort: server.port });
    const client = await udpClient(port);
    const asked = queryBytes('Example.org', TYPE.A, { id: 4711, records: [opt(1400, { flags: 0x8000 })] });
    client.send(asked);
    const seen = await server.query(0);
    expect(seen.transport).toBe('udp');
    expect(withId(seen.bytes, 4711)).toEqual(Buffer.from(asked));
    seen.answer(answerOf({ bytes: queryWithout(seen) }, { address: '192.0.2.7' }));
    expect(await client.answer(0)).toMatchObject({ id: 4711, rcode: 0, answers: [{ data: '192.0.2.7', ttl: 9 }] });
    expect([count('requests'), count('upstream_requests'), count('upstream_failures')]).toEqual([1, 1, 0]);
    const duration = stats.histogram('istio_agent_dns_upstream_request_duration_seconds');
    expect(stats.readHistogram(duration).count).toBe(1);
  });

  test('each has a port and an id of its own', async () => {
    const server = await upstream();
    const { port } = await dnsProxy({ servers: ['127.0.0.1'], serverPort: server.port });
    const client = await udpClient(port);
    for (let i = 0; i < 32; i++) client.send(queryBytes(`n${i}.example`, TYPE.A, { id: 1 }));
    await server.query(31);
    // Those that nobody has answered have their ports still.
    expect(new Set(server.seen.map((seen) => seen.port)).size).toBe(32);
    expect(new Set(server.seen.map(({ bytes }) => (bytes[0]! << 8) | bytes[1]!)).size).toBeGreaterThan(28);
  });

  test('forged answers are passed over', async () => {
    const server = await upstream();
    const { port } = await dnsProxy({ servers: ['127.0.0.1'], serverPort: server.port });
    const client = await udpClient(port);
    client.send(queryBytes('example.org', TYPE.A));
    const seen = await server.query(0);
    const id = (seen.bytes[0]! << 8) | seen.bytes[1]!;
    seen.answer(withId(answerOf(seen, { address: '6.6.6.6' }), id ^ 1));
    seen.answer(withId(answerOf({ bytes: queryBytes('evil.example', TYPE.A) }, { address: '6.6.6.6' }), id));
    seen.answer(Uint8Array.of(1, 2, 3));
    seen.answer(answerOf(seen, { address: '192.0.2.7' }));
    expect((await client.answer(0)).answers.map(({ data }) => data)).toEqual(['192.0.2.7']);
  });

  test('an answer that was cut stays so, and the client’s next question goes over TCP', async () => {
    const server = await upstream();
    server.onQuery = (seen) => {
      seen.answer(answerOf(seen, seen.transport === 'udp' ? { truncated: true } : { address: '192.0.2.8' }));
    };
    const { port } = await dnsProxy({ servers: ['127.0.0.1'], serverPort: server.port });
    const client = await udpClient(port);
    client.send(queryBytes('big.example', TYPE.A));
    expect(await client.answer(0)).toMatchObject({ truncated: true });
    const again = await tcpClient(port);
    again.send(queryBytes('big.example', TYPE.A, { id: 3 }));
    expect(await again.answer(0)).toMatchObject({ id: 3, truncated: false, answers: [{ data: '192.0.2.8' }] });
    expect(server.seen.map(({ transport }) => transport)).toEqual(['udp', 'tcp']);
  });
});

describe('the next server is asked', () => {
  async function two(clock: Clock, options = '') {
    const first = await upstream('127.0.0.1');
    const second = await upstream('127.0.0.2', first.port);
    const servers = ['127.0.0.1', '127.0.0.2'];
    return { first, second, ...(await dnsProxy({ servers, serverPort: first.port, clock, options })) };
  }

  test.each(['udp', 'tcp'] as const)('when one is silent over %s', async (transport) => {
    const clock = manualClock();
    const { first, second, port } = await two(clock);
    const client = transport === 'udp' ? await udpClient(port) : await tcpClient(port);
    client.send(queryBytes('example.org', TYPE.A));
    await first.query(0);
    clock.advance(2_000);
    const seen = await second.query(0);
    seen.answer(answerOf(seen, { address: '192.0.2.9' }));
    expect((await client.answer(0)).answers.map(({ data }) => data)).toEqual(['192.0.2.9']);
  });

  test('round after round, and at the end the client hears that it failed', async () => {
    const clock = manualClock();
    const { first, second, port, count } = await two(clock, 'options timeout:1 attempts:2');
    const client = await udpClient(port);
    client.send(queryBytes('example.org', TYPE.A));
    for (const [server, index] of [
      [first, 0],
      [second, 0],
      [first, 1],
      [second, 1],
    ] as const) {
      await server.query(index);
      clock.advance(1_000);
    }
    expect(await client.answer(0)).toMatchObject({ rcode: RCODE.SERVFAIL, authoritative: false });
    expect([count('upstream_requests'), count('upstream_failures')]).toEqual([1, 1]);
  });

  test.each(['udp', 'tcp'] as const)('at once when nobody listens at one, over %s', async (transport) => {
    const second = await upstream('127.0.0.2');
    // The first has the same port of another address, where nobody is.
    const servers = ['127.0.0.3', '127.0.0.2'];
    const { port } = await dnsProxy({ servers, serverPort: second.port, clock: manualClock() });
    const client = transport === 'udp' ? await udpClient(port) : await tcpClient(port);
    client.send(queryBytes('example.org', TYPE.A));
    const seen = await second.query(0);
    seen.answer(answerOf(seen, { address: '192.0.2.9' }));
    expect((await client.answer(0)).rcode).toBe(0);
  });

  test('when one says that it failed; its word counts if nobody knows better', async () => {
    const { first, second, port } = await two(manualClock(), 'options attempts:1');
    first.onQuery = (seen) => seen.answer(answerOf(seen, { rcode: RCODE.REFUSED }));
    let better: { rcode?: number; address?: string } = { address: '192.0.2.9' };
    second.onQuery = (seen) => seen.answer(answerOf(seen, better));
    const client = await udpClient(port);
    client.send(queryBytes('example.org', TYPE.A));
    expect((await client.answer(0)).answers.length).toBe(1);
    better = { rcode: RCODE.SERVFAIL };
    client.send(queryBytes('example.org', TYPE.A));
    expect((await client.answer(1)).rcode).toBe(RCODE.SERVFAIL);
  });

  test('without any server every other name fails', async () => {
    const { port, count } = await dnsProxy();
    const client = await udpClient(port);
    client.send(queryBytes('example.org', TYPE.A));
    expect((await client.answer(0)).rcode).toBe(RCODE.SERVFAIL);
    expect(count('upstream_failures')).toBe(1);
  });
});

describe('limits', () => {
  test('a thousand queries wait, the next one fails at once', async () => {
    const server = await upstream();
    const { port, count } = await dnsProxy({ servers: ['127.0.0.1'], serverPort: server.port, clock: manualClock() });
    const client = await tcpClient(port);
    for (let i = 0; i < 1_000; i += 50) {
      // Each connection has only so many.
      const one = await tcpClient(port);
      one.send(...Array.from({ length: 50 }, (_, j) => queryBytes(`n${i + j}.example`, TYPE.A)));
    }
    while (count('upstream_requests') < 1_000) await new Promise((resolve) => setImmediate(resolve));
    client.send(queryBytes('one.more', TYPE.A));
    expect((await client.answer(0)).rcode).toBe(RCODE.SERVFAIL);
    expect(count('upstream_failures')).toBe(1);
  });

  test('many queries on one connection are answered as the answers come', async () => {
    const server = await upstream();
    const { port } = await dnsProxy({ servers: ['127.0.0.1'], serverPort: server.port });
    const client = await tcpClient(port);
    client.send(queryBytes('slow.example', TYPE.A, { id: 1 }), queryBytes('api.example.com', TYPE.A, { id: 2 }));
    expect((await client.answer(0)).id).toBe(2);
    const seen = await server.query(0);
    seen.answer(answerOf(seen));
    expect((await client.answer(1)).id).toBe(1);
  });

  test('a client that says no more still gets its answer, and the connection ends', async () => {
    const server = await upstream();
    const { port } = await dnsProxy({ servers: ['127.0.0.1'], serverPort: server.port });
    const client = await tcpClient(port);
    client.send(queryBytes('slow.example', TYPE.A));
    client.socket.end();
    const seen = await server.query(0);
    seen.answer(answerOf(seen));
    expect((await client.answer(0)).rcode).toBe(0);
    await client.ended;
  });

  test('a silent connection ends after ten seconds, one that waits does not', async () => {
    const clock = manualClock();
    const server = await upstream();
    const { port } = await dnsProxy({
      servers: ['127.0.0.1'],
      serverPort: server.port,
      clock,
      options: 'options attempts:5',
    });
    const silent = await tcpClient(port);
    silent.send(queryBytes('api.example.com', TYPE.A));
    await silent.answer(0);
    const waiting = await tcpClient(port);
    waiting.send(queryBytes('slow.example', TYPE.A));
    for (let i = 0; i < 5; i++) {
      await server.query(i);
      if (i < 4) clock.advance(2_000);
    }
    clock.advance(1_999);
    // Two seconds later is ten after both.
    const seen = server.seen[4]!;
    seen.answer(answerOf(seen));
    expect((await waiting.answer(0)).rcode).toBe(0);
    clock.advance(1);
    await silent.ended;
    waiting.send(queryBytes('api.example.com', TYPE.A));
    expect((await waiting.answer(1)).rcode).toBe(0);
  });

  test('a query that is none ends the connection', async () => {
    const { port } = await dnsProxy();
    const client = await tcpClient(port);
    client.socket.write(Uint8Array.of(0xff, 0xff));
    await client.ended;
  });

  test('octets of chance neither stop nor stall it', async () => {
    const { port } = await dnsProxy();
    const random = seededRandom(11);
    const client = await udpClient(port);
    for (let i = 0; i < 500; i++) {
      // Not more at once than the socket holds.
      if (i % 25 === 0) {
        client.send(queryBytes('api.example.com', TYPE.A));
        expect((await client.answer(i / 25)).answers.length).toBe(1);
      }
      const bytes = Uint8Array.from({ length: random.int(40) }, () => random.int(256));
      // No answers of errors, which would come before the one that is waited for.
      if (bytes.length > 2) bytes[2]! |= 0x80;
      client.send(bytes);
    }
  });
});

describe('start and end', () => {
  test('an address in use is said in one line', async () => {
    const { port } = await dnsProxy();
    const second = new DnsProxy({
      addresses: [{ host: '127.0.0.1', port }],
      resolvConf: readResolvConf(''),
      namespace: '',
      domain: '',
      clock: systemClock,
      random: seededRandom(1),
      log: silentLogger(systemClock),
      stats: new StatStore(),
    });
    await expect(second.start()).rejects.toThrow(`dns: 127.0.0.1:${port} is in use`);
  });
  test('who listens no more is not listened to', async () => {
    const { proxy, port } = await dnsProxy();
    await proxy.close();
    const socket = connect({ host: '127.0.0.1', port });
    const code = await new Promise((resolve) =>
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code)),
    );
    expect(code).toBe('ECONNREFUSED');
  });
});

/** The query without its additional records. */
function queryWithout({ bytes }: SeenQuery): Uint8Array {
  const bare = Buffer.from(bytes.subarray(0, bytes.length - 11));
  bare.writeUInt16BE(0, 10);
  return bare;
}
