// Certificates over SDS: a listener waits for them, follows them, and keeps the last good ones.
import { connect, type TLSSocket } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type ResourceEntry, resourceEntry } from '../../../src/control/serve/snapshot.ts';
import { pack } from '../../../src/xds/proto/codec.ts';
import { Listener } from '../../../src/xds/proto/gen/envoy/config/listener/v3.ts';
import { TcpProxy } from '../../../src/xds/proto/gen/envoy/extensions/filters/network/tcp_proxy/v3.ts';
import {
  DownstreamTlsContext,
  Secret,
  UpstreamTlsContext,
} from '../../../src/xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import { key, pem } from '../../support/certs/index.ts';
import { controlPlane, edsCluster, endpoints } from '../../support/control-plane.ts';
import { until } from '../../support/mesh.ts';
import { app } from '../../support/mesh-app.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { type PlaneProxy, planeProxy } from '../../support/plane-proxy.ts';

const ADS = { ads: {}, resource_api_version: 'V3' } as const;

function certificate(cert: string, keyName = cert): ResourceEntry {
  return resourceEntry(Secret, {
    name: 'cert',
    tls_certificate: {
      certificate_chain: { inline_string: pem(cert) },
      private_key: { inline_string: key(keyName) },
    },
  });
}

function roots(...names: string[]): ResourceEntry {
  return resourceEntry(Secret, {
    name: 'roots',
    validation_context: { trusted_ca: { inline_string: names.map(pem).join('') } },
  });
}

/** A TCP listener behind mTLS, whose certificate and roots are secrets. */
function secureListener(name: string, cluster: string): ResourceEntry {
  const tls = pack(DownstreamTlsContext, {
    require_client_certificate: true,
    common_tls_context: {
      tls_certificate_sds_secret_configs: [{ name: 'cert', sds_config: ADS }],
      validation_context_sds_secret_config: { name: 'roots', sds_config: ADS },
    },
  });
  return resourceEntry(Listener, {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    filter_chains: [
      {
        filters: [{ name: 'tcp', typed_config: pack(TcpProxy, { stat_prefix: name, cluster }) }],
        transport_socket: { name: 'tls', typed_config: tls },
      },
    ],
  });
}

/** The subject a client sees; '' when it is not let in. */
async function subject(proxy: PlaneProxy, listener: string): Promise<{ subject: string; socket: TLSSocket }> {
  const socket = connect({
    host: '127.0.0.1',
    port: proxy.port(listener),
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
    cert: pem('client-2'),
    key: key('client-2'),
  });
  onTestFinished(() => {
    socket.destroy();
  });
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('secureConnect', () =>
      resolve({ subject: socket.getPeerX509Certificate()!.subject.split('\n').at(-1)!, socket }),
    );
  });
}

const get = (socket: TLSSocket): Promise<string> =>
  new Promise((resolve, reject) => {
    socket.once('data', (chunk) => resolve(String(chunk)));
    socket.once('close', () => reject(new Error('closed')));
    socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  });

describe.each([
  ['sotw', 1],
  ['delta', 1],
  ['delta', 2],
] as const)('SDS, %s, threads: %d', (mode, threads) => {
  it('a listener goes live with its secrets, follows them, and keeps the last good ones', async () => {
    const a = ends(await app('a'));
    const plane = ends(await controlPlane().cluster('a', a.port).put(secureListener('in', 'a')).start());
    const proxy = ends(planeProxy(plane.address, mode, undefined, threads));
    const started = proxy.proxy.start();
    if (mode === 'sotw') {
      await until('what is awaited', () => {
        const waits = proxy.proxy.discovery?.status.warming.flatMap(({ waitsFor }) => waitsFor) ?? [];
        return waits.includes('SDS "cert"') && waits.includes('SDS "roots"');
      });
      expect(proxy.proxy.addressOf('in')).toBeUndefined();
    } else {
      // A delta server says that there are none: the listener goes live, and refuses handshakes until there are.
      await started;
      await expect(subject(proxy, 'in')).rejects.toThrow();
    }
    plane.put(certificate('server'), roots('root-a')).push();
    await started;
    await until('the first certificate', async () => (await subject(proxy, 'in').catch(() => null)) !== null);
    const old = await subject(proxy, 'in');
    expect(old.subject).toBe('CN=server');
    expect(await get(old.socket)).toContain('200 OK');

    plane.put(certificate('server-2'), roots('root-a', 'root-b')).push();
    await until('the new certificate', async () => (await subject(proxy, 'in')).subject === 'CN=server-2');
    expect(await get(old.socket)).toContain('200 OK');

    // A key of another certificate: the server hears why, without the key; what serves, serves on.
    plane.put(certificate('server-b', 'other')).push();
    const [client] = await plane.when(([one]) => one?.types.some(({ nacked }) => nacked !== null) === true);
    const reason = client!.types.map(({ nacked }) => nacked?.reason ?? '').join('');
    expect(reason).toContain('SDS "cert": tls_certificate.private_key: is not the key of the certificate');
    expect(reason).not.toContain(key('other').split('\n')[1]!);
    expect((await subject(proxy, 'in')).subject).toBe('CN=server-2');
  });

  it('a cluster waits for its secrets too', async () => {
    const tls = pack(UpstreamTlsContext, {
      common_tls_context: { validation_context_sds_secret_config: { name: 'roots', sds_config: ADS } },
    });
    const a = ends(await app('a'));
    const secure = edsCluster('a', { transport_socket: { name: 'tls', typed_config: tls } });
    const plane = ends(await controlPlane().put(secure, endpoints('a', a.port)).http('in', 0, 'a').start());
    const proxy = ends(planeProxy(plane.address, mode, undefined, threads));
    const started = proxy.proxy.start();
    if (mode === 'sotw') {
      await until('what is awaited', () =>
        proxy.proxy.discovery?.status.warming.some(({ waitsFor }) => waitsFor.includes('SDS "roots"')),
      );
    } else {
      await started;
      expect((await proxy.get('in')).body).toContain('Secret is not supplied by SDS: secret "roots" has not come yet');
    }
    plane.put(roots('root-a')).push();
    await started;
    // The app speaks no TLS: what matters is that it was tried.
    const wrong = /TLS error: (packet length too long|wrong version number)/;
    await until('a handshake', async () => wrong.test((await proxy.get('in')).body));
  });
});
