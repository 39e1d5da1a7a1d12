import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rawClient, type WireResponse } from '../support/client.ts';
import { type HttpUpstream, httpUpstream, type RecordedRequest } from '../support/upstream.ts';
import { envoy, remora, validateWithEnvoy } from './support/peers.ts';
import { freePorts, type Program, pause, scratch } from './support/process.ts';

interface Ask {
  readonly method?: string;
  readonly path: string;
  readonly headers?: readonly string[];
  readonly body?: string;
  /** Where Remora is meant to answer otherwise: why, and what. */
  readonly differs?: { readonly why: string; readonly remora: Partial<Answer> };
}

const DENIED_UPLOAD: NonNullable<Ask['differs']> = {
  why: 'Envoy closes the connection, Remora has read the body and goes on',
  remora: {
    status: 403,
    headers: ['content-length: 19', 'content-type: text/plain', 'date: *', 'server: envoy'],
    calls: 0,
  },
};

/** What is asked under each config of config/proxy; a config without a line here fails. */
const ASKS: Readonly<Record<string, readonly Ask[]>> = {
  'front-proxy.yaml': [
    { path: '/healthz' },
    { path: '/healthz?x=1' },
    { path: '/healthz/' },
    { path: '/orders' },
    { path: '/orders/1' },
    { path: '/orders?x=1' },
    { path: '/ordersx' },
    { path: '/old/thing?a=b' },
    { path: '/old' },
    { path: '/a/../orders/2' },
    { path: '/a/./b//c' },
    { path: '/%6frders/1' },
    { path: '/..' },
    { path: '/', headers: ['X-Forwarded-For: 10.1.2.3', 'X-Forwarded-Proto: https'] },
    { path: '/', headers: ['x-envoy-internal: true', 'x-envoy-retry-on: 5xx'] },
    { path: '/', headers: ['Connection: x-gone, keep-alive', 'X-Gone: 1', 'Keep-Alive: 5', 'TE: trailers'] },
    { method: 'POST', path: '/orders', body: 'hello', headers: ['Content-Type: text/plain'] },
    { method: 'PUT', path: '/', headers: ['Transfer-Encoding: chunked'], body: '3\r\nabc\r\n0\r\n\r\n' },
    { method: 'HEAD', path: '/healthz' },
    { method: 'HEAD', path: '/orders/1' },
    {
      method: 'OPTIONS',
      path: '/echo-length',
      differs: { why: 'Envoy adds `content-length: 0` upstream', remora: { status: 200, body: 'none' } },
    },
    { method: 'DELETE', path: '/orders/1' },
    { path: '/status/404' },
    { path: '/status/204' },
    { path: '/status/304' },
    { path: '/status/503' },
    { path: '/chunked' },
    { path: '/cookies' },
    { path: '/via', headers: ['Accept-Encoding: gzip', 'Cookie: a=1; b=2', 'X-Twice: 1', 'X-Twice: 2'] },
    { path: 'http://other.example/orders/1' },
    {
      path: '/',
      headers: ['Host: again'],
      differs: {
        why: 'Envoy joins two Hosts to one',
        remora: { status: 400, body: 'The request has more than one Host header.', calls: 0 },
      },
    },
    {
      path: '/',
      headers: ['Content-Length: 1', 'Transfer-Encoding: chunked'],
      differs: {
        why: 'a reason in words',
        remora: { status: 400, body: 'The message has both Transfer-Encoding and Content-Length.', calls: 0 },
      },
    },
  ],
  'original-dst.yaml': [{ path: '/' }, { path: '/status/404', headers: ['x-a: 1'] }],
  'protocol-detection.yaml': [{ path: '/' }, { path: '/status/404', headers: ['x-a: 1'] }],
  'weighted-split.yaml': [
    { path: '/', headers: ['end-user: jason'] },
    { path: '/reviews/0', headers: ['End-User: jason'] },
    { path: '/status/500', headers: ['end-user: jason'] },
  ],
  'retries-and-timeouts.yaml': [
    { path: '/' },
    { path: '/status/503' },
    { path: '/status/500' },
    { method: 'POST', path: '/status/503', body: 'once' },
  ],
  'overload.yaml': [{ path: '/' }, { method: 'POST', path: '/', body: 'hello' }],
  'fault.yaml': [{ path: '/' }, { path: '/x?y', headers: ['x-envoy-fault-delay-request: nonsense'] }],
  'local-rate-limit.yaml': [
    { path: '/' },
    ...Array.from({ length: 7 }, () => ({ path: '/login' })),
    { path: '/login?x=1' },
    { path: '/other' },
  ],
  'internal-redirects.yaml': [
    { path: '/go/302?to=http://a.example/target/1?x=y' },
    { path: '/go/302?to=http://elsewhere.example/z%23fragment' },
    { path: '/go/302?to=http://elsewhere.example?no=slash' },
    { path: '/go/302?to=http://elsewhere.example:80' },
    { path: '/go/302?to=HTTP://elsewhere.example/case' },
    {
      path: '/go/302?to=http://a.example/a/../target/2',
      differs: { why: 'Envoy looks for the route before it normalises the path', remora: { status: 200, calls: 2 } },
    },
    { path: '/go/302?to=http://a.example/none', headers: ['X-Token: mine'] },
    { path: '/go/303?to=http://a.example/target/3' },
    { method: 'POST', path: '/go/302?to=http://a.example/target/4', body: 'hello' },
    { method: 'POST', path: '/go/303?to=http://a.example/target/5', body: 'hello', headers: ['X-Token: mine'] },
    { method: 'HEAD', path: '/go/303?to=http://a.example/target/6' },
    {
      method: 'PUT',
      path: '/go/302?to=http://a.example/target/7',
      headers: ['Transfer-Encoding: chunked'],
      body: '3\r\nabc\r\n0\r\n\r\n',
    },
    // Not followed: the status, a relative one, nonsense, another scheme, no route, the policy of the next route.
    { path: '/go/301?to=http://a.example/target/8' },
    { path: '/go/302?to=/target/9' },
    { path: '/go/302?to=' },
    { path: '/go/302' },
    { path: '/go/302?to=http:///x' },
    { path: '/go/302?to=https://a.example/target/10' },
    { path: '/go/302?to=http://a.example/nowhere' },
    { path: '/passed-on/302?to=http://a.example/target/11' },
    // One after the other: to the limit, and one beyond it.
    { path: `/go/302?to=${encodeURIComponent('http://a.example/go/302?to=http://a.example/target/12')}` },
    {
      path: `/go/302?to=${encodeURIComponent(`http://a.example/go/302?to=${encodeURIComponent('http://a.example/go/302?to=http://a.example/target/13')}`)}`,
    },
    { path: '/strict/go/302?to=http://a.example/target/14' },
    { path: '/strict/go/302?to=http://elsewhere.example/15' },
    {
      path: `/strict/go/302?to=${encodeURIComponent('http://a.example/strict/go/302?to=http://a.example/strict/go/200')}`,
    },
  ],
  'path-templates.yaml': [
    { path: '/country/at/city/wien?q=/x' },
    { path: '/country/at/' },
    { path: '/country/at' },
    { path: '/country//x' },
    { path: '/country/a=b/x' },
    { path: '/country/a*b/x' },
    { path: '/country/a%22b/x' },
    { path: '/country/a[b/x' },
    { path: '/country/at/x;v=1' },
    { path: '/pictures/2026/11/cat.jpg' },
    { path: '/pictures/2026/.jpg' },
    { path: '/pictures/cat.jpg' },
    { path: '/pictures/2026/cat.jpg;v=2' },
    { path: '/exact' },
    { path: '/exact;v=1?w=2' },
    { path: '/exact;v=1/more' },
    { path: '/exactly' },
    { path: '/two;a=1/parts;b=2' },
    { path: '/two;a=1/parts' },
    { path: '/q' },
    { path: '/q?debug' },
    { path: '/q?debugs=1' },
    { path: '/q?x=1&debug=0' },
    ...['1S', '5S', '300m', 'x', ''].map((value) => ({
      method: 'POST',
      path: '/grpc',
      headers: ['Content-Type: application/grpc', ...(value === '' ? [] : [`grpc-timeout: ${value}`])],
      body: 'x',
    })),
  ],
  'rbac.yaml': [
    { path: '/healthz' },
    { path: '/' },
    { path: '/v1/orders?x=1' },
    { method: 'HEAD', path: '/orders' },
    { method: 'DELETE', path: '/orders/1' },
    { path: '/internal' },
    { path: '/a/../internal/x' },
    { path: '//internal' },
    { path: '/%69nternal' },
    {
      path: '/x%2finternal',
      differs: { why: 'a reason in words', remora: { status: 400, body: 'The path cannot be normalised.', calls: 0 } },
    },
    { path: '/internal', headers: ['X-Internal-Caller: me'] },
    { method: 'POST', path: '/orders', body: '{}', differs: DENIED_UPLOAD },
    { method: 'POST', path: '/orders', body: '{}', headers: ['Content-Type: application/json'] },
    { method: 'POST', path: '/orders/17?x=/', body: '{}', headers: ['Content-Type: application/json'] },
    {
      method: 'POST',
      path: '/orders/17/',
      body: '{}',
      headers: ['Content-Type: application/json'],
      differs: DENIED_UPLOAD,
    },
  ],
  'access-log-json.yaml': [
    { path: '/' },
    { path: '/q?x="1"' },
    { method: 'POST', path: '/', body: 'hello' },
    { path: '/status/503' },
    { path: '/status/204' },
    { method: 'HEAD', path: '/' },
  ],
};

const folder = new URL('../../config/proxy/', import.meta.url).pathname;
const configs = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
const upstreams: HttpUpstream[] = [];

beforeAll(async () => {
  for (let i = 0; i < 3; i++) upstreams.push(await httpUpstream(answer));
});
afterAll(async () => {
  for (const upstream of upstreams) await upstream.close();
});

/** What the upstreams answer is told by the path; otherwise what they were asked. */
const answer: HttpUpstream['answer'] = (request, response) => {
  const status = /^\/status\/(\d+)/.exec(request.url)?.[1];
  response.setHeader('X-From', 'upstream');
  response.setHeader('Server', 'the upstream');
  if (status !== undefined) {
    response.statusCode = Number(status);
    response.end(['204', '304'].includes(status) ? undefined : `status ${status}`);
  } else if (request.url.startsWith('/go/')) {
    const [, redirect = '', to] = /^\/go\/(\d+)(?:\?to=(.*))?$/.exec(request.url) ?? [];
    response.statusCode = Number(redirect);
    response.setHeader('X-Token', 'of the redirect');
    if (to !== undefined) response.setHeader('Location', decodeURIComponent(to));
    response.end('redirected');
  } else if (request.url.startsWith('/chunked')) {
    response.write('first');
    response.end(' and last');
  } else if (request.url === '/echo-length') {
    response.end(request.headers['content-length'] ?? 'none');
  } else if (request.url.startsWith('/cookies')) {
    response.setHeader('Set-Cookie', ['a=1', 'b=2']);
    response.end('two cookies');
  } else {
    const body = `${JSON.stringify(seen(request), null, 1)}\n`;
    response.setHeader('Content-Length', Buffer.byteLength(body));
    response.end(body);
  }
};

/**
 * Envoy puts the machine's own address in place of a client's on loopback, and whether that one counts as internal
 * depends on the machine.
 */
const BY_MACHINE = /^x-envoy-(internal|external-address)$/i;

function seen({ method, url, rawHeaders, body }: RecordedRequest): object {
  const headers: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (!BY_MACHINE.test(rawHeaders[i]!)) headers.push(masked(rawHeaders[i]!, rawHeaders[i + 1]!));
  }
  return { method, url, body, headers: headers.sort() };
}

/** Random or timed values, by name. */
const RANDOM = /^(x-request-id|x-envoy-upstream-service-time|date)$/;

function masked(name: string, value: string): string {
  const lower = name.toLowerCase();
  if (lower === 'x-request-id' && value === 'mine') return `${lower}: mine`;
  if (lower === 'x-forwarded-for') return `${lower}: ${value.replace(/[^,]+$/, '*')}`;
  return `${lower}: ${RANDOM.test(lower) ? '*' : value}`;
}

/** The file with free ports in place of those it names. */
async function placed(text: string, name: string): Promise<{ bootstrap: string; port: number }> {
  const [listener, admin] = (await freePorts(2)) as [number, number];
  const ports: Record<string, number> = { 10000: listener, 9901: admin };
  upstreams.forEach((upstream, index) => {
    ports[9001 + index] = upstream.port;
  });
  const bootstrap = text
    .replace(/port_value: (\d+)/g, (_, port: string) => `port_value: ${ports[port] ?? port}`)
    // A test's upstream has one address; which of the two of localhost comes first is the resolver's affair.
    .replaceAll('address: localhost', 'address: 127.0.0.1')
    .replaceAll('/tmp/', `${scratch}/${name}-`);
  return { bootstrap, port: listener };
}

async function ask(
  port: number,
  { method = 'GET', path, headers = [], body = '' }: Ask,
): Promise<Omit<Answer, 'calls'>> {
  const chunked = headers.some((line) => line.startsWith('Transfer-Encoding'));
  const lines = [
    `${method} ${path} HTTP/1.1`,
    'Host: a.example',
    ...headers,
    ...(body === '' || chunked ? [] : [`Content-Length: ${body.length}`]),
  ];
  const client = await rawClient(port);
  try {
    client.write(`${lines.join('\r\n')}\r\n\r\n${body}`);
    return answered(await client.response(method));
  } finally {
    client.socket.destroy();
  }
}

interface Answer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string;
  /** How many requests reached the upstreams. */
  readonly calls: number;
}

function answered({ status, headers, body }: WireResponse): Omit<Answer, 'calls'> {
  return { status, headers: headers.map(([name, value]) => masked(name, value)).sort(), body };
}

/** Real Envoy and Remora on the same bootstrap, each with a listener of its own and the same upstreams. */
describe.each(configs)('config/proxy/%s', (name) => {
  const text = readFileSync(`${folder}${name}`, 'utf8');
  const running: Program[] = [];
  let ports: { envoy: number; remora: number };
  const programs: { envoy?: Program; remora?: Program } = {};

  beforeAll(async () => {
    const [forEnvoy, forRemora] = [await placed(text, 'envoy'), await placed(text, 'remora')];
    programs.envoy = await envoy(forEnvoy.bootstrap, forEnvoy.port);
    running.push(programs.envoy);
    programs.remora = await remora(forRemora.bootstrap, forRemora.port);
    running.push(programs.remora);
    ports = { envoy: forEnvoy.port, remora: forRemora.port };
  });
  afterAll(() => Promise.all(running.map((program) => program.stop())));

  it('is accepted by Envoy', async () => {
    const { code, text: said } = await validateWithEnvoy(text);
    expect(said).toContain('OK');
    expect(code).toBe(0);
  });

  it('is asked something', () => expect(ASKS[name]?.length ?? 0).toBeGreaterThan(0));

  it.each(
    (ASKS[name] ?? []).map(
      (one) => [`${one.method ?? 'GET'} ${one.path} ${(one.headers ?? []).join(', ')}`, one] as const,
    ),
  )('answers as Envoy does: %s', async (_, one) => {
    const before = upstreams.map(({ requests }) => requests.length);
    const calls = (): number => {
      const total = upstreams.reduce((sum, { requests }, i) => sum + requests.length - before[i]!, 0);
      upstreams.forEach(({ requests }, i) => {
        before[i] = requests.length;
      });
      return total;
    };
    const fromEnvoy = { ...(await ask(ports.envoy, one)), calls: calls() };
    const fromRemora = { ...(await ask(ports.remora, one)), calls: calls() };
    if (one.differs === undefined) {
      expect(fromRemora).toEqual(fromEnvoy);
    } else {
      expect(fromRemora).toMatchObject(one.differs.remora);
      expect(fromEnvoy, 'Envoy answers like Remora now: drop `differs`').not.toMatchObject(one.differs.remora);
    }
  });

  if (name === 'access-log-json.yaml') {
    it('logs as Envoy does', async () => {
      const lines = (program: Program): unknown[] =>
        program.stdout
          .split('\n')
          .filter((line) => line.startsWith('{'))
          .map((line) => {
            const entry = JSON.parse(line) as Record<string, unknown>;
            for (const field of ['time', 'duration_ms', 'request_id', 'upstream']) entry[field] = typeof entry[field];
            return entry;
          });
      const wanted = ASKS[name]!.length;
      // Envoy flushes its log once in ten seconds, or when it ends.
      for (let i = 0; i < 600 && lines(programs.envoy!).length < wanted; i++) await pause(20);
      expect(lines(programs.remora!)).toEqual(lines(programs.envoy!));
      expect(lines(programs.remora!)).toHaveLength(wanted);
    });
  }
});

it('sheds as Envoy does when there is no memory left', async () => {
  const text = readFileSync(`${folder}overload.yaml`, 'utf8')
    .replace('268435456', '1000')
    // Or the client would wait, here and there.
    .replace('stop_accepting_connections', 'shrink_heap');
  const running: Program[] = [];
  try {
    const answers: Omit<Answer, 'calls'>[] = [];
    for (const start of [envoy, remora]) {
      const { bootstrap, port } = await placed(text, 'shed');
      running.push(await start(bootstrap, port));
      await pause(500);
      answers.push(await ask(port, { path: '/' }));
    }
    expect(answers[0]!.status).toBe(503);
    expect(answers[1]).toEqual(answers[0]);
  } finally {
    for (const program of running) await program.stop();
  }
});
