import type { AddressInfo } from 'node:net';
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

it('any other cluster offers what it is told', async () => {
  expect(await offered(['http/1.1'], ANY_HTTP_SERVER)).toEqual(['http/1.1']);
  expect(await offered([], ANY_HTTP_SERVER)).toEqual([]);
});
