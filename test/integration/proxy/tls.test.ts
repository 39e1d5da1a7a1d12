import { copyFileSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { certPath, key, pem } from '../../support/certs/index.ts';
import {
  closeLast,
  eventually,
  type Json,
  proxy,
  scripted,
  type TestProxy,
  transportSocket,
  upstream,
} from '../../support/proxy.ts';
import { type BrokenAccepted, brokenClient, brokenServer, inlineCertificate, trusting } from '../../support/tls.ts';

const SERVER = inlineCertificate('server');
const client = (name: string): ConnectionOptions => ({ cert: pem(name), key: key(name.replace(/-chain$/, '')) });

/** A connection to the proxy that stays, for requests one after the other. */
class Client {
  readonly socket: TLSSocket;
  #received = '';
  #wake: () => void = () => {};

  static async to(port: number, options: ConnectionOptions = {}): Promise<Client> {
    const socket = connect({
      host: '127.0.0.1',
      port,
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...options,
    });
    onTestFinished(() => {
      socket.destroy();
    });
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    return new Client(socket);
  }
  constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#received += String(chunk);
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => this.#wake());
  }
  /** Head and body of the answer; '' when the connection ends instead. */
  async get(path = '/', headers = '', host = 'server.example.com'): Promise<string> {
    this.socket.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\n${headers}\r\n`);
    for (;;) {
      const head = this.#received.indexOf('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(this.#received)?.[1] ?? 0);
      if (head >= 0 && this.#received.length >= head + 4 + length) {
        const answer = this.#received.slice(0, head + 4 + length);
        this.#received = this.#received.slice(head + 4 + length);
        return answer;
      }
      if (this.socket.destroyed) return '';
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** An HTTPS server that answers with what it sees of the client. */
async function httpsUpstream(
  options: Json = {},
  name = 'server',
): Promise<{ port: number; server: Server; connections: () => number }> {
  let connections = 0;
  const server = createServer({ cert: pem(name), key: key(name), ...options }, (request, response) => {
    const socket = request.socket as TLSSocket & { servername?: string };
    const subject = socket.getPeerX509Certificate()?.subject.split('\n').at(-1) ?? '-';
    const facts = [
      socket.servername || '-',
      subject,
      socket.getProtocol(),
      socket.alpnProtocol,
      socket.isSessionReused(),
    ];
    response.end(facts.join(' '));
  });
  server.on('secureConnection', () => connections++);
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeLast(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { port: (server.address() as AddressInfo).port, server, connections: () => connections };
}

const upstreamTls = (context: Json): Json => ({ transport_socket: transportSocket('UpstreamTlsContext', context) });
const bodyOf = (answer: string): string => answer.slice(answer.indexOf('\r\n\r\n') + 4);
const statusOf = (answer: string): number => Number(answer.split(' ')[1]);

describe('downstream', () => {
  const mtls = (more: Json = {}): Json => ({
    common_tls_context: {
      tls_certificates: [SERVER],
      validation_context: trusting('root-a'),
      alpn_protocols: ['http/1.1'],
    },
    require_client_certificate: true,
    ...more,
  });

  test('requests over mTLS, several on a connection, bodies of any size', async () => {
    const up = await upstream((_request, response) => response.end('x'.repeat(300_000)));
    const p = await proxy().cluster('up', up.port).tls(mtls()).start();
    const c = await Client.to(p.port, client('client-chain'));
    for (let i = 0; i < 3; i++) expect(bodyOf(await c.get())).toHaveLength(300_000);
    expect(p.stat('listener.127.0.0.1_0.ssl.handshake')).toBe(1);
    expect(up.requests[0]!.headers['x-forwarded-proto']).toBe('https');
    expect([p.stat('http.main.downstream_cx_ssl_total'), p.stat('http.main.downstream_cx_ssl_active')]).toEqual([1, 1]);
    c.socket.destroy();
    await eventually(() => p.stat('http.main.downstream_cx_ssl_active') === 0);
  });

  test('what the handshake showed is in the access log', async () => {
    const up = await upstream();
    const operators = [
      'DOWNSTREAM_TLS_VERSION',
      'DOWNSTREAM_TLS_CIPHER',
      'REQUESTED_SERVER_NAME',
      'DOWNSTREAM_PEER_SUBJECT',
      'DOWNSTREAM_PEER_ISSUER',
      'DOWNSTREAM_PEER_URI_SAN',
      'DOWNSTREAM_PEER_DNS_SAN',
      'DOWNSTREAM_PEER_SERIAL',
      'DOWNSTREAM_PEER_FINGERPRINT_256',
      'DOWNSTREAM_LOCAL_SUBJECT',
      'DOWNSTREAM_LOCAL_URI_SAN',
      'DOWNSTREAM_PEER_CERT_V_END',
    ];
    const p = await proxy()
      .cluster('up', up.port)
      .tls(mtls())
      .logFormat(`${operators.map((one) => `%${one}%`).join('|')}\n`)
      .start();
    const c = await Client.to(p.port, { ...client('client-chain'), servername: 'server.example.com' });
    await c.get();
    await eventually(() => p.logLines.length > 0);
    const [version, cipher, sni, subject, issuer, uri, dns, serial, fingerprint, localSubject, localUri, end] =
      p.logLines[0]!.split('|');
    expect([version, cipher, sni]).toEqual(['TLSv1.3', 'TLS_AES_128_GCM_SHA256', 'server.example.com']);
    expect([subject, issuer]).toEqual([
      'CN=client,OU=mesh,OU=Z\\C3\\BCrich,O=Acme\\, Inc.,C=CH',
      'CN=Intermediate A,O=Remora Test',
    ]);
    expect([uri, dns]).toEqual(['spiffe://cluster.local/ns/default/sa/client', 'client.example.com,alias.example.com']);
    expect(serial).toMatch(/^[0-9a-f]+$/);
    expect(fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect([localSubject, localUri]).toEqual([
      'CN=server,O=Remora Test',
      'spiffe://cluster.local/ns/default/sa/server',
    ]);
    expect(end).toBe('2120-01-01T00:00:00.000Z');
  });

  test('routes by whether the client’s certificate was presented and verified', async () => {
    const up = await upstream();
    const answer = (status: number, tls_context: Json): Json => ({
      match: { prefix: '/', tls_context },
      direct_response: { status },
    });
    const p = await proxy()
      .cluster('up', up.port)
      .route(answer(201, { presented: true, validated: true }))
      .route(answer(202, { presented: true, validated: false }))
      .route(answer(203, { presented: false }))
      .tls({
        common_tls_context: {
          tls_certificates: [SERVER],
          validation_context: { ...trusting('root-a'), trust_chain_verification: 'ACCEPT_UNTRUSTED' },
        },
      })
      .start();
    const status = async (options: ConnectionOptions): Promise<number> =>
      statusOf(await (await Client.to(p.port, options)).get());
    expect(await status(client('client-chain'))).toBe(201);
    expect(await status(client('client-b'))).toBe(202);
    expect(await status({})).toBe(203);
  });

  test.each(['http', 'tcp'] as const)('bytes that are no records end a connection of %s at once', async (kind) => {
    const up = await upstream();
    const base = proxy().cluster('up', up.port);
    const p = await (kind === 'tcp' ? base.tcp({ cluster: 'up' }) : base).tls(mtls()).start();
    const broken = await brokenClient(p.port, client('client-2'));
    const c = new Client(broken.tls);
    expect(statusOf(await c.get())).toBe(200);
    broken.inject(Buffer.from('17030300207777', 'hex'));
    broken.inject(Buffer.alloc(30, 7));
    // One record: an alert, which TLS 1.3 calls application data.
    const sent = await broken.ended;
    expect([sent[0], sent.length]).toEqual([23, 5 + sent.readUInt16BE(3)]);
    expect(p.stat('listener.127.0.0.1_0.ssl.connection_error')).toBe(1);
    await eventually(() => p.stat('listener.127.0.0.1_0.downstream_cx_active') === 0);
    expect(statusOf(await (await Client.to(p.port, client('client-2'))).get())).toBe(200);
  });

  test('a handshake that fails is a connection, and the listener’s log says why', async () => {
    const up = await upstream();
    const STDOUT = 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog';
    const inline_string = '%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TRANSPORT_FAILURE_REASON%\n';
    const log_format = { text_format_source: { inline_string } };
    const p = await proxy()
      .cluster('up', up.port)
      .listener({ access_log: [{ name: 'log', typed_config: { '@type': STDOUT, log_format } }] })
      .tls(mtls())
      .start();
    const c = await Client.to(p.port, client('client-b'));
    expect(await c.get()).toBe('');
    const plain = await p.client();
    plain.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    await plain.untilEnded();
    await eventually(() => p.logLines.length === 2);
    expect(p.logLines).toEqual([
      expect.stringMatching(/^- TLS_error:_certificate_verify_failed:_unable_to/),
      '- TLS_error:_http_request',
    ]);
    expect(['total', 'destroy', 'active'].map((one) => p.stat(`listener.127.0.0.1_0.downstream_cx_${one}`))).toEqual([
      2, 2, 0,
    ]);
  });

  test('h2 is not agreed on where HTTP is spoken, and is where bytes are', async () => {
    const up = await upstream();
    const context = { common_tls_context: { tls_certificates: [SERVER], alpn_protocols: ['h2', 'http/1.1'] } };
    const http = await proxy().cluster('up', up.port).tls(context).start();
    const c = await Client.to(http.port, { ALPNProtocols: ['h2', 'http/1.1'] });
    expect(c.socket.alpnProtocol).toBe('http/1.1');
    expect(statusOf(await c.get())).toBe(200);
    const tcp = await proxy().cluster('up', up.port).tcp({ cluster: 'up' }).tls(context).start();
    expect((await Client.to(tcp.port, { ALPNProtocols: ['h2', 'http/1.1'] })).socket.alpnProtocol).toBe('h2');
  });

  test('a server that goes away in the handshake is no error of TLS', async () => {
    const server = await scripted();
    const p = await proxy()
      .cluster('up', server.port, upstreamTls({ common_tls_context: { validation_context: trusting('root-a') } }))
      .start();
    const c = await p.client();
    c.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    const connection = await server.accept();
    await connection.bytes(5);
    connection.end('');
    expect((await c.response()).status).toBe(503);
    expect(p.stat('cluster.up.ssl.connection_error')).toBe(0);
    expect(p.stat('cluster.up.upstream_cx_connect_fail')).toBe(1);
  });

  test('a TCP proxy behind TLS', async () => {
    const up = await upstream();
    const p = await proxy().cluster('up', up.port).tcp({ cluster: 'up' }).tls(mtls()).start();
    expect(statusOf(await (await Client.to(p.port, client('client-2'))).get())).toBe(200);
  });

  test('a change elsewhere in the config keeps connections and sessions', async () => {
    const up = await upstream();
    const p = await proxy().cluster('up', up.port).tls(mtls()).start();
    const old = await Client.to(p.port, client('client-2'));
    let session: Buffer | undefined;
    old.socket.on('session', (ticket) => {
      session = ticket;
    });
    await old.get();
    const [listener] = p.bootstrap.listeners;
    await p.proxy.applier.apply(
      p.snapshot({ listeners: new Map([['main', { ...listener!, trafficDirection: 'INBOUND' }]]) }),
    );
    expect(statusOf(await old.get())).toBe(200);
    expect((await Client.to(p.port, { ...client('client-2'), session: session! })).socket.isSessionReused()).toBe(true);
  });
});

describe('x-forwarded-client-cert', () => {
  const XFCC = 'By=spiffe://a;Hash=00';

  /** What the upstream gets of a request that brings a header of its own. */
  async function forwarded(
    mode: string | null,
    details: Json | null,
    cert: string,
    sent = XFCC,
  ): Promise<string | undefined> {
    const up = await upstream();
    const p = await proxy()
      .cluster('up', up.port)
      .tls({ common_tls_context: { tls_certificates: [SERVER], validation_context: trusting('root-a') } })
      .manager({
        ...(mode === null ? {} : { forward_client_cert_details: mode }),
        ...(details === null ? {} : { set_current_client_cert_details: details }),
      })
      .start();
    const c = await Client.to(p.port, cert === '' ? {} : client(cert));
    await c.get('/', sent === '' ? '' : `X-Forwarded-Client-Cert: ${sent}\r\n`);
    return up.requests[0]!.headers['x-forwarded-client-cert'] as string | undefined;
  }
  const BY = /^By=spiffe:\/\/cluster\.local\/ns\/default\/sa\/server;Hash=[0-9a-f]{64}$/;

  test.each([
    [null, 'client-2', undefined],
    ['SANITIZE', 'client-2', undefined],
    ['FORWARD_ONLY', 'client-2', XFCC],
    ['FORWARD_ONLY', '', undefined],
    ['ALWAYS_FORWARD_ONLY', 'client-2', XFCC],
    ['ALWAYS_FORWARD_ONLY', '', XFCC],
    ['APPEND_FORWARD', '', undefined],
    ['SANITIZE_SET', '', undefined],
  ])('%s with certificate %j', async (mode, cert, expected) => {
    expect(await forwarded(mode, null, cert)).toBe(expected);
  });

  test('SANITIZE_SET and APPEND_FORWARD write what is known', async () => {
    expect(await forwarded('SANITIZE_SET', null, 'client-2')).toMatch(BY);
    const [first, second] = (await forwarded('APPEND_FORWARD', null, 'client-2'))!.split(',');
    expect(first).toBe(XFCC);
    expect(second).toMatch(BY);
    expect(await forwarded('APPEND_FORWARD', null, 'client-2', '')).toMatch(BY);
  });

  test('with the details that are asked for', async () => {
    const value = (await forwarded(
      'SANITIZE_SET',
      { subject: true, uri: true, dns: true, cert: true, chain: true },
      'client-chain',
    ))!;
    const parts =
      /^(By=.*;Hash=[0-9a-f]+);Cert="([^"]*)";Chain="([^"]*)";Subject="(.*)";URI=(.*);DNS=(.*);DNS=(.*)$/.exec(value)!;
    expect(parts.slice(4)).toEqual([
      'CN=client,OU=mesh,OU=Z\\C3\\BCrich,O=Acme\\, Inc.,C=CH',
      'spiffe://cluster.local/ns/default/sa/client',
      'client.example.com',
      'alias.example.com',
    ]);
    expect(decodeURIComponent(parts[2]!)).toBe(pem('client'));
    expect(decodeURIComponent(parts[3]!)).toBe(pem('client-chain'));
    expect(await forwarded('SANITIZE_SET', { uri: true }, 'other')).toMatch(/;URI=$/);
  });

  test('is taken off where there is no TLS at all', async () => {
    const up = await upstream();
    const p = await proxy().cluster('up', up.port).manager({ forward_client_cert_details: 'FORWARD_ONLY' }).start();
    const c = await p.client();
    c.write(`GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-client-cert: ${XFCC}\r\n\r\n`);
    await c.response();
    expect(up.requests[0]!.headers['x-forwarded-client-cert']).toBeUndefined();
  });
});

describe('upstream', () => {
  async function get(p: TestProxy, host = 'server.example.com'): Promise<{ status: number; body: string }> {
    const c = await p.client();
    c.write(`GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
    const { status, body } = await c.response();
    return { status, body };
  }
  const verified = { validation_context: trusting('root-a') };

  test('SNI, our certificate, ALPN and versions', async () => {
    const up = await httpsUpstream({ requestCert: true, ca: pem('root-a'), ALPNProtocols: ['http/1.1'] });
    const context = (more: Json): Json =>
      upstreamTls({
        sni: 'a.example.com',
        common_tls_context: {
          ...verified,
          tls_certificates: [inlineCertificate('client-chain')],
          alpn_protocols: ['http/1.1'],
          ...more,
        },
      });
    const one = await proxy().cluster('up', up.port, context({})).start();
    expect(await get(one)).toEqual({ status: 200, body: 'a.example.com CN=client TLSv1.2 http/1.1 false' });
    const two = await proxy()
      .cluster('up', up.port, context({ tls_params: { tls_maximum_protocol_version: 'TLSv1_3' } }))
      .start();
    expect(await get(two)).toEqual({ status: 200, body: 'a.example.com CN=client TLSv1.3 http/1.1 false' });
    expect(two.stat('cluster.up.ssl.handshake')).toBe(1);
    expect(two.stat('cluster.up.ssl.versions.TLSv1.3')).toBe(1);
  });

  test.each([
    [
      'another root',
      { validation_context: trusting('root-b') },
      'fail_verify_error',
      'certificate verify failed: unable to',
    ],
    [
      'another name',
      {
        validation_context: {
          ...trusting('root-a'),
          match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: 'other.example.com' } }],
        },
      },
      'fail_verify_san',
      'no subject alternative name matches',
    ],
    [
      'another hash',
      { validation_context: { verify_certificate_hash: ['00'.repeat(32)] } },
      'fail_verify_cert_hash',
      'neither its hash',
    ],
  ])('a server of %s is refused: UF with the reason', async (_what, common, stat, reason) => {
    const up = await httpsUpstream();
    const p = await proxy()
      .cluster('up', up.port, upstreamTls({ common_tls_context: common }))
      .logFormat('%RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n')
      .start();
    expect((await get(p)).status).toBe(503);
    await eventually(() => p.logLines.length > 0);
    const [code, flags, why] = p.logLines[0]!.split(' ');
    expect([code, flags]).toEqual(['503', 'UF']);
    expect(why).toContain(
      `TLS_error:_${reason.startsWith('cert') ? '' : 'certificate_verify_failed:_'}${reason.replaceAll(' ', '_')}`,
    );
    expect(p.stat(`cluster.up.ssl.${stat}`)).toBe(1);
    expect(p.stat('cluster.up.upstream_cx_connect_fail')).toBe(1);
  });

  test('a server that speaks no TLS, one that is not there: UF, each with its reason', async () => {
    const plain = await upstream();
    const p = await proxy()
      .cluster('plain', plain.port, upstreamTls({ common_tls_context: verified }))
      .cluster('nobody', 1, upstreamTls({ common_tls_context: verified }))
      .route({ match: { prefix: '/nobody' }, route: { cluster: 'nobody' } })
      .to('plain')
      .logFormat('%RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n')
      .start();
    const c = await p.client();
    c.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    expect((await c.response()).status).toBe(503);
    c.write('GET /nobody HTTP/1.1\r\nhost: a\r\n\r\n');
    expect((await c.response()).status).toBe(503);
    await eventually(() => p.logLines.length > 1);
    expect(p.logLines).toEqual([
      expect.stringMatching(/^UF TLS_error:_(packet_length_too_long|wrong_version_number)$/),
      'UF ECONNREFUSED',
    ]);
    expect(p.stat('cluster.plain.ssl.connection_error')).toBe(1);
    expect(p.stat('cluster.nobody.ssl.connection_error')).toBe(0);
  });

  test.each([
    ['before the response', '', 503, 'UC TLS_error'],
    ['within it', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf', 200, 'UC TLS_error'],
    ['behind it', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok', 200, '- -'],
  ])('bytes that are no records end the connection to a server at once: %s', async (_when, answer, status, log) => {
    let last: BrokenAccepted | undefined;
    const port = await brokenServer((to) => {
      last = to;
      to.tls.write(answer, () => to.raw.write('HTTP/1.1 200 OK\r\n\r\n'));
    }, closeLast);
    const p = await proxy()
      .cluster('up', port, upstreamTls({ common_tls_context: verified }))
      .logFormat('%RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n')
      .start();
    const c = await p.client();
    c.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    await eventually(() => last?.raw.destroyed === true);
    await eventually(() => p.logLines.length === 1);
    expect(p.logLines[0]).toContain(log);
    expect(c.received).toContain(`HTTP/1.1 ${status}`);
    expect(p.stat('cluster.up.ssl.connection_error')).toBe(1);
    expect(p.stat('cluster.up.upstream_cx_active')).toBe(0);
  });

  test('sessions are resumed, up to max_session_keys', async () => {
    const up = await httpsUpstream({ maxRequestsPerSocket: 1 });
    for (const [version, keys, resumed] of [
      ['TLSv1_2', 1, true],
      ['TLSv1_3', 1, true],
      ['TLSv1_3', 0, false],
    ] as const) {
      const p = await proxy()
        .cluster('up', up.port, {
          ...upstreamTls({
            max_session_keys: keys,
            common_tls_context: { ...verified, tls_params: { tls_maximum_protocol_version: version } },
          }),
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              common_http_protocol_options: { max_requests_per_connection: 1 },
              explicit_http_config: { http_protocol_options: {} },
            },
          },
        })
        .logFormat('%UPSTREAM_PEER_SUBJECT% %UPSTREAM_TLS_VERSION% %UPSTREAM_PEER_URI_SAN%\n')
        .start();
      expect((await get(p)).body).toContain(' false');
      expect((await get(p)).body).toContain(` ${resumed}`);
      expect(p.stat('cluster.up.ssl.session_reused')).toBe(resumed ? 1 : 0);
      await eventually(() => p.logLines.length === 2);
      // What is known of the server is known of a resumed session too.
      expect(new Set(p.logLines)).toEqual(
        new Set([`CN=server,O=Remora Test ${version.replace('_', '.')} spiffe://cluster.local/ns/default/sa/server`]),
      );
    }
  });

  test('auto_sni and auto_san_validation: a connection serves the name it was verified for', async () => {
    const up = await httpsUpstream({ SNICallback: undefined });
    const p = await proxy()
      .cluster('up', up.port, {
        upstream_http_protocol_options: { auto_sni: true, auto_san_validation: true },
        ...upstreamTls({ sni: 'fixed.example.com', common_tls_context: verified }),
      })
      .logFormat('%RESPONSE_CODE% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n')
      .start();
    expect((await get(p, 'server.example.com:8080')).body).toMatch(/^server\.example\.com /);
    expect((await get(p, 'a.wild.example.com')).body).toMatch(/^a\.wild\.example\.com /);
    expect((await get(p, 'server.example.com')).body).toMatch(/^server\.example\.com /);
    expect((await get(p, '127.0.0.1')).body).toMatch(/^fixed\.example\.com |^- /);
    expect((await get(p, 'nobody.example.com')).status).toBe(503);
    expect(up.connections()).toBeGreaterThanOrEqual(3);
    await eventually(() => p.logLines.length === 5);
    expect(p.logLines[4]).toContain('it_is_not_for_"nobody.example.com"');
    expect(p.stat('cluster.up.ssl.fail_verify_san')).toBe(1);
    expect(p.stat('cluster.up.ssl.handshake')).toBe(3);
  });

  test('the name from another header', async () => {
    const up = await httpsUpstream();
    const p = await proxy()
      .cluster('up', up.port, {
        upstream_http_protocol_options: { auto_sni: true, override_auto_sni_header: 'x-server' },
        ...upstreamTls({ common_tls_context: verified }),
      })
      .start();
    const c = await p.client();
    c.write('GET / HTTP/1.1\r\nhost: a\r\nx-server: Named.example.com:1\r\n\r\n');
    expect((await c.response()).body).toMatch(/^named\.example\.com /);
  });

  test('by the metadata of endpoints, as auto-mTLS does', async () => {
    const secure = await httpsUpstream();
    const plain = await upstream((_request, response) => response.end('plain'));
    const endpoint = (port: number, metadata: Json): Json => ({
      endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
      metadata,
    });
    const p = await proxy()
      .rawCluster({
        name: 'up',
        type: 'STATIC',
        lb_policy: 'ROUND_ROBIN',
        load_assignment: {
          cluster_name: 'up',
          endpoints: [
            {
              lb_endpoints: [
                endpoint(secure.port, { filter_metadata: { 'envoy.transport_socket_match': { tlsMode: 'istio' } } }),
                endpoint(plain.port, {}),
              ],
            },
          ],
        },
        transport_socket_matches: [
          {
            name: 'mtls',
            match: { tlsMode: 'istio' },
            transport_socket: transportSocket('UpstreamTlsContext', {
              sni: 'outbound_.80_._.x',
              common_tls_context: verified,
            }),
          },
          {
            name: 'plain',
            match: {},
            transport_socket: {
              name: 'envoy.transport_sockets.raw_buffer',
              typed_config: {
                '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer',
              },
            },
          },
        ],
      })
      .start();
    const bodies = [(await get(p)).body, (await get(p)).body].sort();
    expect(bodies).toEqual(['outbound_.80_._.x - TLSv1.2 false false', 'plain']);
  });

  test('a TCP proxy that speaks TLS to its upstream', async () => {
    const up = await httpsUpstream();
    const p = await proxy()
      .cluster('up', up.port, upstreamTls({ sni: 's.test', common_tls_context: verified }))
      .tcp({ cluster: 'up' })
      .start();
    expect((await get(p)).body).toMatch(/^s\.test /);
    const refused = await proxy()
      .cluster('up', up.port, upstreamTls({ common_tls_context: { validation_context: trusting('root-b') } }))
      .tcp({ cluster: 'up' })
      .start();
    const c = await refused.client();
    c.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    await c.untilEnded();
    expect(refused.stat('cluster.up.ssl.fail_verify_error')).toBe(1);
  });

  test('a change of TLS opens new connections, another change keeps them', async () => {
    const up = await httpsUpstream();
    const p = await proxy()
      .cluster('up', up.port, upstreamTls({ sni: 'one.test', common_tls_context: verified }))
      .start();
    await get(p);
    const [cluster] = p.bootstrap.clusters;
    await p.proxy.applier.apply(p.snapshot({ clusters: new Map([['up', { ...cluster!, connectTimeoutMs: 1234 }]]) }));
    expect((await get(p)).body).toMatch(/^one\.test /);
    expect(up.connections()).toBe(1);
    const changed = { ...cluster!, tls: { ...cluster!.tls!, sni: 'two.test' } };
    await p.proxy.applier.apply(p.snapshot({ clusters: new Map([['up', changed]]) }));
    expect((await get(p)).body).toMatch(/^two\.test /);
    expect(up.connections()).toBe(2);
  });
});

describe('files', () => {
  function folder(): string {
    const path = mkdtempSync(join(tmpdir(), 'remora-tls-'));
    onTestFinished(() => rmSync(path, { recursive: true }));
    return path;
  }
  const subject = async (p: TestProxy): Promise<string> =>
    (await Client.to(p.port)).socket.getPeerX509Certificate()!.subject.split('\n').at(-1)!;
  const byFile = (dir: string): Json => ({
    common_tls_context: {
      tls_certificates: [
        { certificate_chain: { filename: join(dir, 'tls.crt') }, private_key: { filename: join(dir, 'tls.key') } },
      ],
    },
  });
  const write = (dir: string, name: string): void => {
    copyFileSync(certPath(`${name}.pem`), join(dir, 'tls.crt'));
    copyFileSync(certPath(`${name}.key`), join(dir, 'tls.key'));
  };

  test('written anew are seen by new handshakes, while open connections go on', async () => {
    const dir = folder();
    write(dir, 'server');
    const up = await upstream();
    const p = await proxy().cluster('up', up.port).tls(byFile(dir)).start();
    const old = await Client.to(p.port);
    expect(await subject(p)).toBe('CN=server');
    write(dir, 'server-2');
    await eventually(() => p.processLog.some((line) => line.includes('certificates replaced')));
    expect(await subject(p)).toBe('CN=server-2');
    expect(statusOf(await old.get())).toBe(200);
  });

  test('behind a link that is swapped, as a kubelet does it', async () => {
    const dir = folder();
    for (const [version, name] of [
      ['v1', 'server'],
      ['v2', 'server-2'],
    ] as const) {
      const own = join(dir, version);
      symlinkSync('.', join(dir, 'unused'), 'dir');
      rmSync(join(dir, 'unused'));
      const { mkdirSync } = await import('node:fs');
      mkdirSync(own);
      write(own, name);
    }
    symlinkSync('v1', join(dir, '..data'));
    symlinkSync('..data/tls.crt', join(dir, 'tls.crt'));
    symlinkSync('..data/tls.key', join(dir, 'tls.key'));
    const up = await upstream();
    const p = await proxy().cluster('up', up.port).tls(byFile(dir)).start();
    expect(await subject(p)).toBe('CN=server');
    // As often as it is swapped.
    for (const [version, name] of [
      ['v2', 'server-2'],
      ['v1', 'server'],
      ['v2', 'server-2'],
    ] as const) {
      const seen = p.processLog.filter((line) => line.includes('certificates replaced')).length;
      symlinkSync(version, join(dir, '..data_tmp'));
      renameSync(join(dir, '..data_tmp'), join(dir, '..data'));
      await eventually(() => p.processLog.filter((line) => line.includes('certificates replaced')).length > seen);
      expect(await subject(p)).toBe(`CN=${name}`);
    }
  });

  test('that are broken leave the certificate before in force, and the log says why', async () => {
    const dir = folder();
    write(dir, 'server');
    const up = await upstream();
    const p = await proxy().cluster('up', up.port).tls(byFile(dir)).start();
    writeFileSync(join(dir, 'tls.crt'), pem('other'));
    await eventually(() => p.processLog.some((line) => line.includes('new certificates cannot be used')));
    const line = p.processLog.find((one) => one.includes('cannot be used'))!;
    expect(line).toContain('is not the key of the certificate');
    expect(line).not.toContain(key('server').split('\n')[1]!);
    expect(await subject(p)).toBe('CN=server');
  });

  test('that have no end leave the certificate before in force, and are not read to it', async () => {
    const dir = folder();
    write(dir, 'server');
    const up = await upstream();
    const p = await proxy().cluster('up', up.port).tls(byFile(dir)).start();
    symlinkSync('/dev/zero', join(dir, 'endless'));
    renameSync(join(dir, 'endless'), join(dir, 'tls.key'));
    await eventually(() => p.processLog.some((line) => line.includes('new certificates cannot be used')));
    expect(p.processLog.find((one) => one.includes('cannot be used'))).toContain(
      `the private key ${dir}/tls.key cannot be read: ${dir}/tls.key has more than 1048576 bytes`,
    );
    expect(await subject(p)).toBe('CN=server');
  });

  test('of an upstream cluster', async () => {
    const dir = folder();
    write(dir, 'client-2');
    const up = await httpsUpstream({ requestCert: true, ca: pem('root-a'), maxRequestsPerSocket: 1 });
    const p = await proxy()
      .cluster('up', up.port, {
        ...upstreamTls({ max_session_keys: 0, ...byFile(dir) }),
        max_requests_per_connection: 1,
      })
      .start();
    const who = async (): Promise<string> => {
      const c = await p.client();
      c.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
      return (await c.response()).body.split(' ')[1]!;
    };
    expect(await who()).toBe('CN=client-2');
    write(dir, 'client-revoked');
    await eventually(() => p.processLog.some((line) => line.includes('certificates replaced')));
    expect(await who()).toBe('CN=client-revoked');
  });
});

test('secrets of the bootstrap', async () => {
  const up = await upstream();
  const p = await proxy()
    .cluster('up', up.port)
    .secret({ name: 'cert', tls_certificate: SERVER })
    .secret({ name: 'roots', validation_context: trusting('root-a') })
    .tls({
      common_tls_context: {
        tls_certificate_sds_secret_configs: [{ name: 'cert' }],
        validation_context_sds_secret_config: { name: 'roots' },
      },
      require_client_certificate: true,
    })
    .start();
  expect(statusOf(await (await Client.to(p.port, client('client-2'))).get())).toBe(200);
});
