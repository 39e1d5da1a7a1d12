import { type AddressInfo, createServer as createPlain } from 'node:net';
import { createServer } from 'node:tls';
import { expect, it, onTestFinished } from 'vitest';
import { ANY_HTTP_SERVER, ANY_SERVER, UpstreamTls } from '../../../../src/proxy/upstream/tls.ts';
import { key, pem } from '../../../support/certs/index.ts';
import { TestContexts, trusting, upstreamConfig } from '../../../support/tls.ts';

/** What a server is offered, by connections of one kind. */
async function offered(alpn: readonly string[], server = ANY_SERVER): Promise<readonly string[]> {
  let seen: readonly string[] = [];
  const peer = createServer({
    cert: pem('server'),
    key: key('server'),
    ALPNCallback: ({ protocols }) => {
      seen = protocols;
      return protocols.at(-1);
    },
  });
  await new Promise<void>((resolve) => peer.listen(0, '127.0.0.1', resolve));
  const common_tls_context = { validation_context: trusting('root-a'), alpn_protocols: [...alpn] };
  const tls = new UpstreamTls(upstreamConfig({ common_tls_context }), 'c', new TestContexts());
  const { port } = peer.address() as AddressInfo;
  const socket = tls.connect({ host: '127.0.0.1', port }, 'a', server);
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('secureConnect', resolve).once('close', resolve));
  onTestFinished(async () => {
    socket.destroy();
    tls.close();
    await new Promise((resolve) => peer.close(resolve));
  });
  return seen;
}

it('a cluster of the mesh offers what is spoken: HTTP says so, bytes do not', async () => {
  expect(await offered(['istio'], ANY_SERVER)).toEqual(['istio']);
  expect(await offered(['istio'], ANY_HTTP_SERVER)).toEqual(['istio-http/1.1', 'istio', 'http/1.1']);
  expect(await offered(['istio-peer-exchange', 'istio'], ANY_HTTP_SERVER)).toEqual([
    'istio-http/1.1',
    'istio',
    'http/1.1',
  ]);
});

it('HTTP/2, which is not spoken, is offered for bytes only', async () => {
  expect(await offered(['h2', 'http/1.1'], ANY_HTTP_SERVER)).toEqual(['http/1.1']);
  expect(await offered(['istio-h2', 'istio', 'h2'], ANY_HTTP_SERVER)).toEqual(['istio-http/1.1', 'istio', 'http/1.1']);
  expect(await offered(['h2'], ANY_HTTP_SERVER)).toEqual([]);
  expect(await offered(['h2', 'http/1.1'], ANY_SERVER)).toEqual(['h2', 'http/1.1']);
});

it('a client sends the keys of two groups, so that no server has to ask for another', async () => {
  let hello = Buffer.alloc(0);
  const peer = createPlain((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      hello = Buffer.concat([hello, chunk]);
      if (hello.length >= 5 && hello.length >= 5 + hello.readUInt16BE(3)) socket.destroy();
    });
  });
  await new Promise<void>((resolve) => peer.listen(0, '127.0.0.1', resolve));
  const tls_params = { tls_maximum_protocol_version: 'TLSv1_3' };
  const common_tls_context = { validation_context: trusting('root-a'), tls_params };
  const tls = new UpstreamTls(upstreamConfig({ common_tls_context }), 'c', new TestContexts());
  const socket = tls.connect({ host: '127.0.0.1', port: (peer.address() as AddressInfo).port }, 'a', ANY_SERVER);
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('close', resolve));
  tls.close();
  await new Promise((resolve) => peer.close(resolve));
  // key_share (51): X25519MLKEM768 (0x11ec) with 1,216 bytes, then X25519 (0x001d) with 32.
  const share = hello.indexOf(Buffer.from('11ec04c0', 'hex'));
  expect(share).toBeGreaterThan(0);
  expect(hello.subarray(share + 4 + 1216, share + 4 + 1216 + 4).toString('hex')).toBe('001d0020');
});

it('any other cluster offers what it is told', async () => {
  expect(await offered(['http/1.1'], ANY_HTTP_SERVER)).toEqual(['http/1.1']);
  expect(await offered([], ANY_HTTP_SERVER)).toEqual([]);
});
