/** The seam to downstream TLS: handshakes by PSK, which need no certificate, on sockets whose first bytes were sniffed. */
import { connect as connectPlain } from 'node:net';
import { connect, TLSSocket, type TLSSocketOptions } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import { compileListener, type Secure } from '../../../src/proxy/listener/compiled-listener.ts';
import { Listener, type Listener as ListenerClass } from '../../../src/proxy/listener/listener.ts';
import { TcpProxy } from '../../../src/proxy/tcp/tcp-proxy.ts';
import { httpChain, httpInspector, tcpChain, tlsInspector } from '../../support/chains.ts';
import { clientHello } from '../../support/first-bytes.ts';
import { eventually, proxy, scripted, type TestProxy, upstream } from '../../support/proxy.ts';

const PSK = { identity: 'mesh', psk: Buffer.from('0123456789abcdef') };
const TLS12 = { ciphers: 'PSK', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;

const secure: Secure = (socket, onDone) => {
  // The types do not know that a socket takes it as a server does.
  const options = { isServer: true, pskCallback: () => PSK.psk, ALPNProtocols: ['http/1.1'], ...TLS12 };
  const secured = new TLSSocket(socket, options as TLSSocketOptions);
  let done = false;
  const finish = (ok: boolean): void => {
    if (done) return;
    done = true;
    if (!ok) socket.destroy();
    const info = {
      version: secured.getProtocol() ?? '',
      requestedServerName: 'a.example',
      cipher: '',
      alpn: '',
      peer: null,
      validated: false,
      local: null,
      sessionReused: false,
    };
    onDone(ok ? { socket: secured, info } : null);
  };
  secured.on('secure', () => finish(true));
  secured.on('error', () => finish(false));
  secured.on('close', () => finish(false));
};

const listeners: ListenerClass[] = [];
afterEach(() => {
  for (const listener of listeners.splice(0)) listener.destroy();
});

/** The proxy's listener once more, with the chains whose match says `tls` encrypted. */
async function secured(p: TestProxy, how: Secure = secure): Promise<{ listener: Listener; port: number }> {
  const config = p.bootstrap.listeners[0]!;
  const managers = p.proxy.applier.managers();
  const compiled = compileListener(config, (filter, chain) => {
    const encrypted = chain?.match.transportProtocol === 'tls' ? how : null;
    return filter.kind === 'tcp'
      ? { kind: 'tcp', declared: null, secure: encrypted, proxy: new TcpProxy(filter.tcp, '', p.proxy.env) }
      : { kind: 'http', declared: null, secure: encrypted, manager: managers[0]! };
  });
  const listener = new Listener(compiled, p.proxy.env);
  listeners.push(listener);
  await listener.bind();
  return { listener, port: listener.addresses[0]!.port };
}

function client(port: number): ReturnType<typeof connect> {
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername: 'a.example',
    ALPNProtocols: ['http/1.1'],
    pskCallback: () => PSK,
    checkServerIdentity: () => undefined,
    ...TLS12,
  });
  socket.setEncoding('latin1');
  return socket;
}

test('an encrypted HTTP chain and a plain one on one port', async () => {
  const server = await upstream();
  const p = await proxy()
    .cluster('a', server.port)
    .listener({
      listener_filters: [tlsInspector, httpInspector],
      filter_chains: [
        httpChain(
          'a',
          { transport_protocol: 'tls', server_names: ['a.example'] },
          {},
          '%REQUESTED_SERVER_NAME% %DOWNSTREAM_TLS_VERSION% %REQ(X-FORWARDED-PROTO)%',
        ),
        httpChain('a', { transport_protocol: 'raw_buffer' }),
      ],
    })
    .start();
  const { port, listener } = await secured(p);
  const over = client(port);
  let text = '';
  over.on('data', (chunk) => {
    text += chunk;
  });
  over.write('GET /secret HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually(() => text.endsWith('ok'));
  expect(text).toMatch(/^HTTP\/1.1 200/);
  expect(over.alpnProtocol).toBe('http/1.1');
  await eventually(() => p.logLines.length === 1);
  expect(p.logLines[0]).toBe('a.example TLSv1.2 https');
  over.destroy();
  await eventually(() => listener.connectionCount === 0);
});

test('an encrypted TCP chain; a handshake that fails leaves nothing behind', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port)
    .listener({ listener_filters: [tlsInspector], filter_chains: [tcpChain('a', { transport_protocol: 'tls' })] })
    .start();
  const { port, listener } = await secured(p);
  const over = client(port);
  over.write('hello');
  const connection = await server.accept();
  expect(await connection.bytes(5)).toBe('hello');
  connection.end('bye');
  let text = '';
  over.on('data', (chunk) => {
    text += chunk;
  });
  await eventually(() => text === 'bye');
  over.destroy();
  const wrong = connect({ host: '127.0.0.1', port, ciphers: 'AES128-SHA', maxVersion: 'TLSv1.2' });
  await new Promise<void>((resolve) => wrong.on('error', () => resolve()));
  await eventually(() => listener.connectionCount === 0);
});

test('who is in the middle of the handshake is waited for, and can be cut', async () => {
  const p = await proxy()
    .cluster('a', 1)
    .listener({ listener_filters: [tlsInspector], filter_chains: [tcpChain('a', { transport_protocol: 'tls' })] })
    .start();
  const { port, listener } = await secured(p, () => {});
  const begun = connectPlain({ host: '127.0.0.1', port });
  const closed = new Promise<void>((resolve) => begun.on('close', () => resolve()).on('error', () => {}));
  begun.resume().write(clientHello());
  await eventually(() => p.stat('tls_inspector.tls_found') === 1);
  expect(listener.connectionCount).toBe(1);
  listener.destroy();
  await closed;
});

test('without an inspector nothing is known to be TLS', async () => {
  const p = await proxy()
    .cluster('a', 1)
    .listener({ filter_chains: [tcpChain('a', { transport_protocol: 'tls' })] })
    .start();
  const client = await p.client();
  client.write(clientHello());
  await client.untilEnded();
  expect(p.stat('listener.127.0.0.1_0.no_filter_chain_match')).toBe(1);
});
