import { createHash, X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type ClientHelloFacts, DownstreamTls } from '../../../../src/proxy/listener/tls.ts';
import { key, pem } from '../../../support/certs/index.ts';
import { manualClock } from '../../../support/clock.ts';
import {
  brokenClient,
  downstreamConfig,
  inlineCertificate,
  rawBytes,
  secret,
  TestContexts,
  TlsEcho,
  tlsClient,
  trusting,
} from '../../../support/tls.ts';

type Json = Record<string, unknown>;

const SERVER = inlineCertificate('server');

async function serve(
  common: Json,
  context: Json = {},
  options: { hello?: ClientHelloFacts; sniff?: boolean } = {},
): Promise<{ echo: TlsEcho; contexts: TestContexts; tls: DownstreamTls; stat: (name: string) => number }> {
  const contexts = new TestContexts();
  const json = { common_tls_context: { tls_certificates: [SERVER], ...common }, ...context };
  const tls = new DownstreamTls(downstreamConfig(json), 'main', contexts);
  const echo = await TlsEcho.start(tls, options);
  return { echo, contexts, tls, stat: (name) => contexts.stat(`listener.main.ssl.${name}`) };
}

const client = (name: string): { cert: string; key: string } => ({
  cert: pem(name),
  key: key(name.replace(/-chain$/, '')),
});

describe('a handshake', () => {
  test('shows version, cipher, name and our certificate', async () => {
    const { echo, stat } = await serve({ alpn_protocols: ['h2', 'http/1.1'] });
    const { socket } = await tlsClient(echo.port, { servername: 'server.example.com', ALPNProtocols: ['http/1.1'] });
    const { info } = (await echo.result(0))!;
    expect(info).toMatchObject({
      version: 'TLSv1.3',
      cipher: 'TLS_AES_128_GCM_SHA256',
      requestedServerName: 'server.example.com',
      alpn: 'http/1.1',
      peer: null,
      validated: false,
      sessionReused: false,
    });
    expect(info.local?.uriSans).toEqual(['spiffe://cluster.local/ns/default/sa/server']);
    expect(socket.alpnProtocol).toBe('http/1.1');
    expect([stat('handshake'), stat('no_certificate'), stat('session_reused'), stat('connection_error')]).toEqual([
      1, 1, 0, 0,
    ]);
    expect(stat('versions.TLSv1.3')).toBe(1);
    expect(stat('ciphers.TLS_AES_128_GCM_SHA256')).toBe(1);
  });

  test('goes on with bytes that were read and put back', async () => {
    const { echo } = await serve({}, {}, { sniff: true });
    expect((await tlsClient(echo.port)).failure).toBe('');
    expect(await echo.result(0)).not.toBeNull();
  });

  test.each([
    ['HTTP', 'GET / HTTP/1.1\r\n\r\n', false, 'http request', 1],
    ['noise', Buffer.alloc(64, 0xff), false, /wrong version number|unexpected message|packet length/, 1],
    ['half a hello', Buffer.from('16030100', 'hex'), true, 'the client ended the connection during the handshake', 0],
  ])('with %s fails, is counted as what it is, and said why', async (_what, bytes, end, reason, counted) => {
    const { echo, contexts, stat } = await serve({});
    await rawBytes(echo.port, bytes, end);
    expect(await echo.result(0)).toBeNull();
    expect(stat('connection_error')).toBe(counted);
    expect(contexts.lines.at(-1)).toMatch(reason);
  });

  test('that takes too long is cut', async () => {
    const clock = manualClock();
    const contexts = new TestContexts(clock);
    const json = { common_tls_context: { tls_certificates: [SERVER] } };
    const tls = new DownstreamTls(downstreamConfig(json, 1000), 'main', contexts);
    const echo = await TlsEcho.start(tls, { sniff: true });
    const closed = rawBytes(echo.port, Buffer.from('16', 'hex'));
    while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(1100);
    await closed;
    expect(await echo.result(0)).toBeNull();
    expect(contexts.lines.at(-1)).toContain('the handshake took too long');
    expect(contexts.stat('listener.main.downstream_cx_transport_socket_connect_timeout')).toBe(1);
    expect(contexts.stat('listener.main.ssl.connection_error')).toBe(0);
  });

  test('without a common protocol fails as RFC 7301 says, but goes on without one where the offer is known', async () => {
    const strict = await serve({ alpn_protocols: ['h2'] });
    expect((await tlsClient(strict.echo.port, { ALPNProtocols: ['http/1.1'] })).failure).toContain('ALERT');
    const known = await serve({ alpn_protocols: ['h2'] }, {}, { hello: { serverName: '', alpn: ['http/1.1'] } });
    const { failure, socket } = await tlsClient(known.echo.port, { ALPNProtocols: ['http/1.1'] });
    expect([failure, socket.alpnProtocol]).toEqual(['', false]);
  });

  test('is not begun anew by a client of TLS 1.2', async () => {
    const { echo, stat } = await serve({});
    const { socket } = await tlsClient(echo.port, { maxVersion: 'TLSv1.2' });
    const error = await new Promise<Error | null>((resolve) => {
      socket.once('error', resolve);
      socket.renegotiate({ rejectUnauthorized: false }, resolve);
    });
    expect(error).toMatchObject({ code: expect.stringContaining('NO_RENEGOTIATION') });
    expect(stat('handshake')).toBe(1);
  });

  test('needs a name where require_sni asks for one', async () => {
    const { echo, contexts } = await serve({}, { require_sni: true });
    expect((await tlsClient(echo.port, { maxVersion: 'TLSv1.2' })).failure).not.toBe('');
    expect(contexts.lines.at(-1)).toContain('the client named no server (SNI)');
    expect((await tlsClient(echo.port, { servername: 'a.test' })).failure).toBe('');
  });
});

describe('bytes that are no records, after the handshake', () => {
  test.each([
    ['TLSv1.3', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['TLSv1.2', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['TLSv1.3', Buffer.concat([Buffer.from('1703030020', 'hex'), Buffer.alloc(32, 7)])],
    ['TLSv1.2', Buffer.concat([Buffer.from('1703030020', 'hex'), Buffer.alloc(32, 7)])],
  ] as const)('by %s end the connection at once, with an alert, and are counted: %#', async (version, bytes) => {
    const { echo, stat, contexts } = await serve({});
    const client = await brokenClient(echo.port, { minVersion: version, maxVersion: version });
    expect(await echo.result(0)).not.toBeNull();
    client.inject(bytes);
    const sent = await client.ended;
    // One record: an alert (21), which TLS 1.3 calls application data (23).
    expect(sent[0]).toBe(version === 'TLSv1.3' ? 23 : 21);
    expect([stat('connection_error'), stat('handshake')]).toEqual([1, 1]);
    expect(contexts.lines.at(-1)).toContain('TLS connection broken');
  });

  test('a connection that is reset is no such error', async () => {
    const { echo, stat } = await serve({});
    const client = await brokenClient(echo.port);
    const { socket: accepted } = (await echo.result(0))!;
    const closed = new Promise((resolve) => accepted.on('close', resolve));
    client.reset();
    await closed;
    expect(stat('connection_error')).toBe(0);
  });
});

describe('parameters', () => {
  test('versions', async () => {
    const { echo } = await serve({ tls_params: { tls_maximum_protocol_version: 'TLSv1_2' } });
    expect((await tlsClient(echo.port)).socket.getProtocol()).toBe('TLSv1.2');
    expect((await tlsClient(echo.port, { minVersion: 'TLSv1.3' })).failure).not.toBe('');
    const newest = await serve({ tls_params: { tls_minimum_protocol_version: 'TLSv1_3' } });
    expect((await tlsClient(newest.echo.port, { maxVersion: 'TLSv1.2' })).failure).not.toBe('');
    const oldest = await serve({ tls_params: { tls_minimum_protocol_version: 'TLSv1_1' } });
    const old = await tlsClient(oldest.echo.port, {
      minVersion: 'TLSv1.1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    expect(old.failure).not.toContain('unsupported');
  });

  test('cipher suites, in our order', async () => {
    const { echo } = await serve({
      tls_params: {
        tls_maximum_protocol_version: 'TLSv1_2',
        cipher_suites: ['[ECDHE-ECDSA-AES256-GCM-SHA384|ECDHE-ECDSA-AES128-GCM-SHA256]'],
      },
    });
    const ciphers = 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384';
    expect((await tlsClient(echo.port, { ciphers })).socket.getCipher().name).toBe('ECDHE-ECDSA-AES256-GCM-SHA384');
    expect((await tlsClient(echo.port, { ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' })).failure).not.toBe('');
  });

  test('curves', async () => {
    const { echo } = await serve({ tls_params: { ecdh_curves: ['P-384'] } });
    const { socket } = await tlsClient(echo.port);
    expect(socket.getEphemeralKeyInfo()).toMatchObject({ name: 'secp384r1' });
    expect((await tlsClient(echo.port, { ecdhCurve: 'X25519' })).failure).not.toBe('');
  });

  test('of curves, by default Envoy’s', async () => {
    const { echo } = await serve({});
    const group = async (ecdhCurve: string): Promise<unknown> =>
      (await tlsClient(echo.port, { ecdhCurve })).socket.getEphemeralKeyInfo();
    expect(await group('X25519MLKEM768:X25519')).toMatchObject({ name: 'X25519MLKEM768' });
    expect(await group('X25519')).toMatchObject({ name: 'X25519' });
    expect(await group('P-256')).toMatchObject({ name: 'prime256v1' });
    expect((await tlsClient(echo.port, { ecdhCurve: 'P-384' })).failure).not.toBe('');
  });

  test('signature algorithms', async () => {
    const { echo } = await serve({
      tls_certificates: [inlineCertificate('server-rsa')],
      tls_params: { signature_algorithms: ['rsa_pss_rsae_sha512'] },
    });
    expect((await tlsClient(echo.port, { sigalgs: 'rsa_pss_rsae_sha256' })).failure).not.toBe('');
    expect((await tlsClient(echo.port, { sigalgs: 'rsa_pss_rsae_sha512' })).failure).toBe('');
  });
});

describe('certificates', () => {
  test('of ECDSA and RSA on one context: each client gets what it can verify', async () => {
    const { echo } = await serve({ tls_certificates: [SERVER, inlineCertificate('server-rsa')] });
    const subject = async (sigalgs: string): Promise<string> =>
      (await tlsClient(echo.port, { sigalgs })).socket.getPeerX509Certificate()!.subject;
    expect(await subject('ecdsa_secp256r1_sha256')).toContain('CN=server');
    expect(await subject('rsa_pss_rsae_sha256')).toContain('CN=server-rsa');
    expect((await echo.result(0))!.info.local?.subject).toBe('CN=server,O=Remora Test');
    expect((await echo.result(1))!.info.local?.subject).toBe('CN=server-rsa,O=Remora Test');
  });

  test('of one kind: chosen by the name asked for, wildcards too, the first for any other', async () => {
    const { echo } = await serve({ tls_certificates: [inlineCertificate('other'), SERVER] });
    const subject = async (servername: string): Promise<string> =>
      (await tlsClient(echo.port, { servername })).socket.getPeerX509Certificate()!.subject.split('\n').at(-1)!;
    expect(await subject('server.example.com')).toBe('CN=server');
    expect(await subject('A.Wild.example.com')).toBe('CN=server');
    expect(await subject('a.b.wild.example.com')).toBe('CN=other');
    expect(await subject('other.example.com')).toBe('CN=other');
    expect((await echo.result(0))!.info.local?.subject).toBe('CN=server,O=Remora Test');
  });

  test('of both kinds for several names: with the ClientHello known, all of the name and none else', async () => {
    const certificates = [inlineCertificate('other'), inlineCertificate('server-rsa'), SERVER];
    const subject = async (serverName: string, sigalgs: string): Promise<string> => {
      const { echo } = await serve({ tls_certificates: certificates }, {}, { hello: { serverName, alpn: [] } });
      const { socket } = await tlsClient(echo.port, {
        ...(serverName === '' ? {} : { servername: serverName }),
        sigalgs,
      });
      return socket.getPeerX509Certificate()!.subject.split('\n').at(-1)!;
    };
    const both = 'ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256';
    expect(await subject('server.example.com', both)).toBe('CN=server');
    expect(await subject('server.example.com', 'rsa_pss_rsae_sha256')).toBe('CN=server-rsa');
    expect(await subject('other.example.com', both)).toBe('CN=other');
    expect(await subject('', both)).toBe('CN=other');
  });

  test('of both kinds, each for a name of its own: the name decides, then the first, or any where all are looked at', async () => {
    const certificates = [inlineCertificate('server-rsa'), inlineCertificate('other')];
    const subject = async (servername: string, more: Json, hello: boolean): Promise<string> => {
      const known = hello ? { hello: { serverName: servername, alpn: [] } } : {};
      const { echo } = await serve({ tls_certificates: certificates }, more, known);
      const { socket } = await tlsClient(echo.port, servername === '' ? {} : { servername });
      return socket.getPeerX509Certificate()!.subject.split('\n').at(-1)!;
    };
    for (const hello of [true, false]) {
      expect(await subject('server.example.com', {}, hello)).toBe('CN=server-rsa');
      expect(await subject('other.example.com', {}, hello)).toBe('CN=other');
      expect(await subject('nobody.example.com', {}, hello)).toBe('CN=server-rsa');
      expect(await subject('', {}, hello)).toBe('CN=other');
      expect(await subject('nobody.example.com', { full_scan_certs_on_sni_mismatch: true }, hello)).toBe('CN=other');
    }
  });

  test('with an encrypted key', async () => {
    const encrypted = {
      certificate_chain: { inline_string: pem('server') },
      private_key: { inline_string: key('server-encrypted') },
      password: { inline_string: 'secret' },
    };
    const { echo } = await serve({ tls_certificates: [encrypted] });
    expect((await tlsClient(echo.port)).failure).toBe('');
  });
});

/** Whether a client gets in, and which counter counts it when it does not. */
async function admission(
  validation: Json,
  name: string,
  context: Json = {},
): Promise<{ validated: boolean } | { counted: string[]; log: string }> {
  const { echo, stat, contexts } = await serve({ validation_context: validation }, context);
  const { failure } = await tlsClient(echo.port, name === '' ? {} : client(name));
  const result = await echo.result(0);
  if (result !== null) {
    expect(failure).toBe('');
    return { validated: result.info.validated };
  }
  expect(failure).not.toBe('');
  expect(stat('handshake')).toBe(0);
  const names = ['no_cert', 'error', 'san', 'cert_hash'];
  return {
    counted: names.filter((one) => stat(`fail_verify_${one}`) > 0),
    log: contexts.lines
      .at(-1)!
      .replace(/^.*reason="?/, '')
      .replace(/"$/, ''),
  };
}

describe('clients', () => {
  const REQUIRED = { require_client_certificate: true };

  test('with a chain to a trusted root are in, and known', async () => {
    const { echo } = await serve({ validation_context: trusting('root-a') }, REQUIRED);
    await tlsClient(echo.port, client('client-chain'));
    const { peer, validated } = (await echo.result(0))!.info;
    const x509 = new X509Certificate(pem('client'));
    expect(validated).toBe(true);
    expect(peer).toMatchObject({
      subject: 'CN=client,OU=mesh,OU=Z\\C3\\BCrich,O=Acme\\, Inc.,C=CH',
      issuer: 'CN=Intermediate A,O=Remora Test',
      uriSans: ['spiffe://cluster.local/ns/default/sa/client'],
      dnsSans: ['client.example.com', 'alias.example.com'],
      ipSans: ['10.1.2.3', '2001:db8::1'],
      emailSans: ['client@example.com'],
      fingerprint256: createHash('sha256').update(x509.raw).digest('hex'),
      fingerprint1: createHash('sha1').update(x509.raw).digest('hex'),
      notAfter: Date.parse(x509.validTo),
      pem: x509.toString(),
      chainPem: x509.toString() + new X509Certificate(pem('inter-a')).toString(),
    });
  });

  test.each([
    ['without a certificate where none is required', trusting('root-a'), '', {}, { validated: false }],
    ['with one where nobody asks', {}, 'client-2', {}, { validated: false }],
    ['under an intermediate that is trusted itself', trusting('inter-a'), 'client', {}, { validated: true }],
    [
      'whoever they are, with ACCEPT_UNTRUSTED',
      { ...trusting('root-a'), trust_chain_verification: 'ACCEPT_UNTRUSTED' },
      'client-b',
      REQUIRED,
      { validated: false },
    ],
    [
      'trusted, with ACCEPT_UNTRUSTED',
      { ...trusting('root-a'), trust_chain_verification: 'ACCEPT_UNTRUSTED' },
      'client-2',
      REQUIRED,
      { validated: true },
    ],
    [
      'without a certificate, with ACCEPT_UNTRUSTED',
      {
        ...trusting('root-a'),
        trust_chain_verification: 'ACCEPT_UNTRUSTED',
        match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: 'x' } }],
      },
      '',
      {},
      { validated: false },
    ],
    [
      'expired, where that is allowed',
      { ...trusting('root-a'), allow_expired_certificate: true },
      'client-expired',
      REQUIRED,
      { validated: true },
    ],
    [
      'not revoked',
      { ...trusting('root-a'), crl: { inline_string: pem('crl-a') } },
      'client-2',
      REQUIRED,
      { validated: true },
    ],
    [
      'within max_verify_depth',
      { ...trusting('root-a'), max_verify_depth: 2 },
      'client-chain',
      REQUIRED,
      { validated: true },
    ],
    [
      'of the trusted CA itself, whose depth is never too much',
      { ...trusting('root-a'), max_verify_depth: 0 },
      'client-2',
      REQUIRED,
      { validated: true },
    ],
  ] as const)('%s are in', async (_title, validation, name, context, expected) => {
    expect(await admission(validation, name, context)).toEqual(expected);
  });

  test.each([
    ['without a certificate', trusting('root-a'), '', REQUIRED, 'no_cert', 'sent no certificate'],
    ['of another root', trusting('root-a'), 'client-b', {}, 'error', 'unable to'],
    ['whose intermediate is missing', trusting('root-a'), 'client', {}, 'error', 'unable to'],
    ['expired', trusting('root-a'), 'client-expired', {}, 'error', 'cert has expired'],
    [
      'expired and of another root, where expiry is allowed',
      { ...trusting('root-a'), allow_expired_certificate: true },
      'client-expired-b',
      {},
      'error',
      'certificate verify failed',
    ],
    [
      'revoked',
      { ...trusting('root-a'), crl: { inline_string: pem('crl-a') } },
      'client-revoked',
      {},
      'error',
      'cert revoked',
    ],
    [
      'of a CA without a revocation list',
      { ...trusting('root-a'), crl: { inline_string: pem('crl-a') } },
      'client-chain',
      {},
      'error',
      'unable to get crl',
    ],
    [
      'beyond max_verify_depth',
      { ...trusting('root-a'), max_verify_depth: 1 },
      'client-chain',
      {},
      'error',
      '2 CA certificates above it, more than max_verify_depth 1',
    ],
    [
      'revoked by a list that came with the root',
      { trusted_ca: { inline_string: pem('root-a') + pem('crl-a') } },
      'client-revoked',
      {},
      'error',
      'cert revoked',
    ],
  ] as const)('%s are refused', async (_title, validation, name, context, counted, log) => {
    const result = await admission(validation, name, context);
    expect(result).toMatchObject({ counted: [counted], log: expect.stringContaining(log) });
  });

  const uri = (matcher: Json): Json => ({ match_typed_subject_alt_names: [{ san_type: 'URI', matcher }] });
  const typed = (san_type: string, matcher: Json, more: Json = {}): Json => ({
    match_typed_subject_alt_names: [{ san_type, matcher, ...more }],
  });

  test.each([
    [uri({ exact: 'spiffe://cluster.local/ns/default/sa/client' }), true],
    [uri({ exact: 'spiffe://cluster.local/ns/default/sa/other' }), false],
    [uri({ prefix: 'spiffe://cluster.local/ns/default/' }), true],
    [uri({ prefix: 'spiffe://partner' }), false],
    [uri({ suffix: '/sa/client' }), true],
    [uri({ contains: '/ns/default/' }), true],
    [uri({ contains: '/ns/prod/' }), false],
    [uri({ safe_regex: { regex: 'spiffe://[^/]+/ns/[^/]+/sa/client' } }), true],
    [uri({ safe_regex: { regex: '/sa/client' } }), false],
    [uri({ exact: 'SPIFFE://cluster.local/ns/default/sa/CLIENT', ignore_case: true }), true],
    [typed('DNS', { exact: 'alias.example.com' }), true],
    [typed('DNS', { exact: 'ALIAS.example.com' }), true],
    [typed('DNS', { suffix: '.example.com' }), true],
    [typed('URI', { exact: 'client.example.com' }), false],
    [typed('EMAIL', { exact: 'client@example.com' }), true],
    [typed('IP_ADDRESS', { exact: '10.1.2.3' }), true],
    [typed('IP_ADDRESS', { exact: '2001:db8::1' }), true],
    [typed('OTHER_NAME', { exact: 'client@corp' }, { oid: '1.3.6.1.4.1.311.20.2.3' }), true],
    [typed('OTHER_NAME', { exact: 'client@corp' }, { oid: '1.2.3' }), false],
    [{ match_subject_alt_names: [{ exact: 'client.example.com' }] }, true],
    [{ match_subject_alt_names: [{ exact: 'nobody.example.com' }] }, false],
  ])('by name: %j', async (sans, admitted) => {
    const result = await admission({ ...trusting('root-a'), ...sans }, 'client-chain');
    if (admitted) expect(result).toEqual({ validated: true });
    else
      expect(result).toMatchObject({ counted: ['san'], log: expect.stringContaining('no subject alternative name') });
  });

  test('the deprecated list counts only without the other', async () => {
    const both = {
      ...typed('DNS', { exact: 'nobody.example.com' }),
      match_subject_alt_names: [{ exact: 'client.example.com' }],
    };
    expect(await admission({ ...trusting('root-a'), ...both }, 'client-chain')).toMatchObject({ counted: ['san'] });
  });

  test('let in although untrusted are counted', async () => {
    const untrusted = { trust_chain_verification: 'ACCEPT_UNTRUSTED' };
    const stats = async (validation: Json, name: string): Promise<number[]> => {
      const { echo, stat } = await serve({ validation_context: { ...validation, ...untrusted } });
      expect((await tlsClient(echo.port, client(name))).failure).toBe('');
      return [stat('handshake'), stat('fail_verify_error'), stat('fail_verify_san')];
    };
    expect(await stats(trusting('root-a'), 'client-b')).toEqual([1, 1, 0]);
    expect(await stats({ ...trusting('root-a'), ...uri({ exact: 'x' }) }, 'client-2')).toEqual([1, 0, 1]);
    expect(await stats(trusting('root-a'), 'client-2')).toEqual([1, 0, 0]);
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('of %s without a certificate are told so by an alert', async (version) => {
    const sans = uri({ prefix: 'spiffe://' });
    for (const [validation, context] of [
      [trusting('root-a'), REQUIRED],
      [{ ...trusting('root-a'), ...sans }, {}],
    ] as const) {
      const { echo, stat } = await serve({ validation_context: validation }, context);
      const { failure } = await tlsClient(echo.port, { minVersion: version, maxVersion: version });
      expect(failure).toMatch(/ALERT_(?:HANDSHAKE_FAILURE|CERTIFICATE_REQUIRED)/);
      expect(await echo.result(0)).toBeNull();
      expect([stat('fail_verify_no_cert'), stat('connection_error')]).toEqual([1, 0]);
    }
  });

  test('by hash of the certificate, or of its key, with or without a root', async () => {
    const x509 = new X509Certificate(pem('client-2'));
    const spki = createHash('sha256')
      .update(x509.publicKey.export({ type: 'spki', format: 'der' }))
      .digest('base64');
    const hash = x509.fingerprint256;
    const held = { validated: true };
    expect(await admission({ verify_certificate_hash: [hash] }, 'client-2')).toEqual(held);
    expect(await admission({ verify_certificate_hash: [hash.replaceAll(':', '')] }, 'client-2')).toEqual(held);
    expect(await admission({ ...trusting('root-a'), verify_certificate_spki: [spki] }, 'client-2')).toEqual(held);
    expect(
      await admission({ verify_certificate_spki: [spki], verify_certificate_hash: ['00'.repeat(32)] }, 'client-2'),
    ).toEqual(held);
    expect(await admission({ verify_certificate_hash: [hash] }, 'client-b')).toMatchObject({ counted: ['cert_hash'] });
    expect(await admission({ verify_certificate_hash: [hash] }, '')).toMatchObject({ counted: ['no_cert'] });
    expect(await admission({ ...trusting('root-a'), verify_certificate_hash: [hash] }, 'client-b')).toMatchObject({
      counted: ['error'],
    });
  });

  const spiffe = (more: Json = {}): Json => ({
    custom_validator_config: {
      name: 'envoy.tls.cert_validator.spiffe',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig',
        trust_domains: [
          { name: 'cluster.local', trust_bundle: { inline_string: pem('root-a') } },
          { name: 'partner.test', trust_bundle: { inline_string: pem('root-b') } },
        ],
      },
    },
    ...more,
  });

  test.each([
    [spiffe(), 'client-chain', true],
    [spiffe(), 'client-b', true],
    [
      spiffe({ match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: 'spiffe://partner.test/' } }] }),
      'client-b',
      true,
    ],
    [spiffe({ allow_expired_certificate: true }), 'client-expired', true],
  ] as const)('of a SPIFFE trust domain are in: %#', async (validation, name, validated) => {
    expect(await admission(validation, name)).toEqual({ validated });
  });

  test.each([
    [
      'whose root is that of another domain',
      spiffe({ allow_expired_certificate: true }),
      'client-expired-b',
      'error',
      'no path to a trusted root',
    ],
    ['expired', spiffe(), 'client-expired', 'error', 'cert has expired'],
    ['of no domain', spiffe(), 'other', 'error', 'no trust bundle for trust domain'],
    ['that are CAs', spiffe(), 'inter-a', 'error', 'the SVID is a CA'],
    [
      'of the wrong name',
      spiffe({ match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: 'x' } }] }),
      'client-b',
      'san',
      'no subject alternative name',
    ],
    ['without a certificate', spiffe(), '', 'no_cert', 'sent no certificate'],
  ] as const)('%s are refused by SPIFFE', async (_title, validation, name, counted, log) => {
    expect(await admission(validation, name)).toMatchObject({ counted: [counted], log: expect.stringContaining(log) });
  });
});

describe('sessions', () => {
  test.each(['TLSv1.2', 'TLSv1.3'] as const)('of %s are resumed, with what is known of the client', async (version) => {
    const { echo, stat } = await serve({ validation_context: trusting('root-a') });
    const options = { ...client('client-chain'), minVersion: version, maxVersion: version };
    const first = await tlsClient(echo.port, options);
    const again = await tlsClient(echo.port, { ...options, session: first.session() });
    expect(again.socket.isSessionReused()).toBe(true);
    const { info } = (await echo.result(1))!;
    expect(info).toMatchObject({ sessionReused: true, validated: true });
    expect(info.peer?.uriSans).toEqual(['spiffe://cluster.local/ns/default/sa/client']);
    expect([stat('handshake'), stat('session_reused')]).toEqual([2, 1]);
  });

  test('a client that was refused does not come in by its ticket', async () => {
    const { echo } = await serve({ validation_context: trusting('root-a') });
    const first = await tlsClient(echo.port, client('client-b'));
    await tlsClient(echo.port, { ...client('client-b'), session: first.session() });
    expect([await echo.result(0), await echo.result(1)]).toEqual([null, null]);
  });

  test('are not resumed when that is off, nor where the chain must be read', async () => {
    for (const [validation, context] of [
      [trusting('root-a'), { disable_stateless_session_resumption: true }],
      [{ ...trusting('root-a'), allow_expired_certificate: true }, {}],
    ] as const) {
      const { echo } = await serve({ validation_context: validation }, context);
      const first = await tlsClient(echo.port, client('client-chain'));
      const again = await tlsClient(echo.port, { ...client('client-chain'), session: first.session() });
      expect(again.failure).toBe('');
      expect(again.socket.isSessionReused()).toBe(false);
    }
  });

  test('are resumed by another proxy that has the same ticket keys', async () => {
    const keys = { session_ticket_keys: { keys: [{ inline_bytes: Buffer.alloc(80, 7).toString('base64') }] } };
    const other = { session_ticket_keys: { keys: [{ inline_bytes: Buffer.alloc(80, 8).toString('base64') }] } };
    const [a, b, c] = [await serve({}, keys), await serve({}, keys), await serve({}, other)];
    const session = (await tlsClient(a.echo.port)).session();
    expect((await tlsClient(b.echo.port, { session })).socket.isSessionReused()).toBe(true);
    expect((await tlsClient(c.echo.port, { session })).socket.isSessionReused()).toBe(false);
  });
});

describe('secrets', () => {
  const sds = (name: string): Json => ({ name, sds_config: { ads: {}, resource_api_version: 'V3' } });
  const certificate = (cert: string, name = 'cert'): ReturnType<typeof secret> =>
    secret({ name, tls_certificate: inlineCertificate(cert) });
  const roots = (...names: string[]): ReturnType<typeof secret> =>
    secret({ name: 'roots', validation_context: trusting(...names) });
  const common = {
    tls_certificates: [],
    tls_certificate_sds_secret_configs: [sds('cert')],
    validation_context_sds_secret_config: sds('roots'),
  };

  test('that have not come: the handshake is refused with the reason, and served once they have', async () => {
    const { echo, contexts, tls } = await serve(common);
    expect(tls.reason).toBe('secret "cert" has not come yet');
    await tlsClient(echo.port);
    expect(contexts.stat('listener.main.server_ssl_socket_factory.downstream_context_secrets_not_ready')).toBe(1);
    expect(contexts.lines.at(-1)).toContain('secret \\"cert\\" has not come yet');
    contexts.secrets.update(new Map([['cert', certificate('server')]]));
    expect(tls.reason).toBe('secret "roots" has not come yet');
    contexts.secrets.update(
      new Map([
        ['cert', certificate('server')],
        ['roots', roots('root-a')],
      ]),
    );
    expect(tls.reason).toBe('');
    expect((await tlsClient(echo.port)).failure).toBe('');
  });

  test('rotated: open connections go on, new ones see the new certificate, both roots hold in between', async () => {
    const { echo, contexts } = await serve(common, { require_client_certificate: true });
    const put = (cert: string, ...trusted: string[]): void =>
      contexts.secrets.update(
        new Map([
          ['cert', certificate(cert)],
          ['roots', roots(...trusted)],
        ]),
      );
    const subjectOf = ({ socket }: { socket: import('node:tls').TLSSocket }): string =>
      socket.getPeerX509Certificate()!.subject.split('\n').at(-1)!;
    put('server', 'root-a');
    const old = await tlsClient(echo.port, client('client-2'));
    put('server-2', 'root-a', 'root-b');
    const a = await tlsClient(echo.port, client('client-2'));
    const b = await tlsClient(echo.port, client('client-b'));
    expect([subjectOf(old), subjectOf(a), subjectOf(b)]).toEqual(['CN=server', 'CN=server-2', 'CN=server-2']);
    put('server-b', 'root-b');
    expect((await tlsClient(echo.port, client('client-2'))).failure).not.toBe('');
    expect(subjectOf(await tlsClient(echo.port, client('client-b')))).toBe('CN=server-b');
    for (const { socket } of [old, a, b]) {
      const answered = new Promise((resolve) => socket.once('data', resolve));
      socket.write('still there');
      expect(String(await answered)).toBe('still there');
    }
    // A session from under the root that went is not resumed.
    const { failure } = await tlsClient(echo.port, { ...client('client-2'), session: a.session() });
    expect(failure).not.toBe('');
  });

  test('of another kind than asked for are named', async () => {
    const { contexts, tls } = await serve(common);
    contexts.secrets.update(new Map([['cert', secret({ name: 'cert', validation_context: trusting('root-a') })]]));
    expect(tls.reason).toBe('secret "cert" holds a validation_context, not a tls_certificate');
  });

  test('taken back by the server stay in force', async () => {
    const { echo, contexts } = await serve({ tls_certificates: [], tls_certificate_sds_secret_configs: [sds('cert')] });
    contexts.secrets.update(new Map([['cert', certificate('server')]]));
    contexts.secrets.update(new Map());
    expect((await tlsClient(echo.port)).failure).toBe('');
  });

  test('merged into a default validation context', async () => {
    const { echo, contexts, stat } = await serve({
      combined_validation_context: {
        default_validation_context: {
          match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { suffix: '/sa/client-2' } }],
        },
        validation_context_sds_secret_config: sds('roots'),
      },
    });
    contexts.secrets.update(new Map([['roots', roots('root-a')]]));
    expect((await tlsClient(echo.port, client('client-2'))).failure).toBe('');
    expect((await tlsClient(echo.port, client('client-chain'))).failure).not.toBe('');
    expect((await tlsClient(echo.port, client('client-b'))).failure).not.toBe('');
    expect([stat('fail_verify_san'), stat('fail_verify_error')]).toEqual([1, 1]);
  });

  test('that leave names without roots to verify them by are not used', async () => {
    const { contexts, tls } = await serve({ validation_context_sds_secret_config: sds('names') });
    const sans = { match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: 'spiffe://' } }] };
    contexts.secrets.update(new Map([['names', secret({ name: 'names', validation_context: sans })]]));
    expect(tls.reason).toContain('has match_typed_subject_alt_names, but no trusted_ca to verify by');
  });
});

test('closed, it follows no longer', async () => {
  const { contexts, tls } = await serve({});
  expect(contexts.views()).toHaveLength(1);
  tls.close();
  expect(contexts.views()).toEqual([]);
});
