import { createServer } from 'node:http';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { certPath, key, pem } from '../support/certs/index.ts';
import { envoy, remora } from './support/peers.ts';
import { freePorts, output, scratch, until, writeScratch } from './support/process.ts';

type Json = Record<string, unknown>;

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.';
const FILTERS = 'type.googleapis.com/envoy.extensions.filters.';
const certificate = (name: string): Json => ({
  certificate_chain: { filename: certPath(`${name}.pem`) },
  private_key: { filename: certPath(`${name.replace(/-chain$/, '')}.key`) },
});
const socket = (message: string, context: Json): Json => ({
  name: 'envoy.transport_sockets.tls',
  typed_config: { '@type': `${TLS}${message}`, ...context },
});
const roots = { trusted_ca: { filename: certPath('root-a.pem') } };

/** A server that wants a client's certificate and says who it was in x-forwarded-client-cert. */
const SERVER = socket('DownstreamTlsContext', {
  require_client_certificate: true,
  common_tls_context: {
    tls_certificates: [certificate('server'), certificate('server-rsa')],
    validation_context: {
      ...roots,
      match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: 'spiffe://cluster.local/' } }],
    },
    alpn_protocols: ['http/1.1'],
  },
});
const clientTls = (more: Json = {}, name = 'client-chain'): Json =>
  socket('UpstreamTlsContext', {
    sni: 'server.example.com',
    common_tls_context: {
      tls_certificates: [certificate(name)],
      validation_context: {
        ...roots,
        match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: 'server.example.com' } }],
      },
      ...more,
    },
  });

interface Hop {
  readonly port: number;
  readonly to: number;
  readonly downstream?: Json;
  readonly upstream?: Json;
  readonly manager?: Json;
}

/** A bootstrap that both proxies read: one HTTP listener, one cluster. */
function bootstrap({ port, to, downstream, upstream, manager = {} }: Hop): string {
  const address = (at: number): Json => ({ socket_address: { address: '127.0.0.1', port_value: at } });
  const hcm = {
    '@type': `${FILTERS}network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'in',
    route_config: {
      name: 'r',
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'up' } }] }],
    },
    http_filters: [{ name: 'router', typed_config: { '@type': `${FILTERS}http.router.v3.Router` } }],
    ...manager,
  };
  return JSON.stringify({
    static_resources: {
      listeners: [
        {
          name: 'in',
          address: address(port),
          filter_chains: [
            {
              filters: [{ name: 'http', typed_config: hcm }],
              ...(downstream === undefined ? {} : { transport_socket: downstream }),
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'up',
          type: 'STATIC',
          ...(upstream === undefined ? {} : { transport_socket: upstream }),
          load_assignment: {
            cluster_name: 'up',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(to) } }] }],
          },
        },
      ],
    },
  });
}

/** Answers with the header that says who the client of the hop before was. */
const app = createServer((request, response) =>
  response.end(String(request.headers['x-forwarded-client-cert'] ?? 'none')),
);
let appPort = 0;
beforeAll(async () => {
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  appPort = (app.address() as { port: number }).port;
});
afterAll(() => {
  app.closeAllConnections();
  app.close();
});

const start = { envoy, remora } as const;
type Peer = keyof typeof start;
const XFCC: Json = {
  forward_client_cert_details: 'SANITIZE_SET',
  set_current_client_cert_details: { subject: true, uri: true, dns: true, cert: true, chain: true },
};

async function get(port: number, path = '/'): Promise<{ status: number; body: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: response.status, body: await response.text() };
}

describe('mTLS between Envoy and Remora', () => {
  const said: Partial<Record<Peer, string>> = {};

  it.each([
    ['envoy', 'remora'],
    ['remora', 'envoy'],
  ] as const)('%s as client, %s as server', async (client, server) => {
    const [front, back] = (await freePorts(2)) as [number, number];
    await start[server](bootstrap({ port: back, to: appPort, downstream: SERVER, manager: XFCC }), back);
    await start[client](
      bootstrap({
        port: front,
        to: back,
        upstream: clientTls({ tls_params: { tls_maximum_protocol_version: 'TLSv1_3' } }),
      }),
      front,
    );
    for (let i = 0; i < 5; i++) {
      const { status, body } = await get(front);
      expect(status).toBe(200);
      said[server] = body;
    }
    expect(said[server]).toContain('URI=spiffe://cluster.local/ns/default/sa/client');
  });

  it('both say the same of the client, to the octet', () => {
    expect(said.remora).toBe(said.envoy);
  });

  it.each([
    ['envoy', 'remora', 'client-b'],
    ['remora', 'envoy', 'client-b'],
    ['envoy', 'remora', 'client-expired'],
    ['remora', 'envoy', 'client-expired'],
  ] as const)('%s with a certificate that %s does not trust (%s) gets 503', async (client, server, name) => {
    const [front, back] = (await freePorts(2)) as [number, number];
    await start[server](bootstrap({ port: back, to: appPort, downstream: SERVER }), back);
    await start[client](bootstrap({ port: front, to: back, upstream: clientTls({}, name) }), front);
    expect((await get(front)).status).toBe(503);
  });

  it.each([
    ['envoy', 'remora'],
    ['remora', 'envoy'],
  ] as const)('%s does not talk to a %s of another name', async (client, server) => {
    const [front, back] = (await freePorts(2)) as [number, number];
    const other = socket('DownstreamTlsContext', { common_tls_context: { tls_certificates: [certificate('other')] } });
    await start[server](bootstrap({ port: back, to: appPort, downstream: other }), back);
    await start[client](bootstrap({ port: front, to: back, upstream: clientTls() }), front);
    expect((await get(front)).status).toBe(503);
  });
});

describe('openssl s_client', () => {
  let port = 0;
  beforeAll(async () => {
    [port] = (await freePorts(1)) as [number];
    const open = socket('DownstreamTlsContext', {
      common_tls_context: {
        tls_certificates: [certificate('server'), certificate('server-rsa'), certificate('other')],
        alpn_protocols: ['h2', 'http/1.1'],
      },
    });
    await remora(bootstrap({ port, to: appPort, downstream: open }), port);
  });
  const request = (): string => writeScratch('request', 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');

  async function sClient(...args: string[]): Promise<string> {
    const command = `openssl s_client -connect 127.0.0.1:${port} -CAfile ${certPath('root-a.pem')} -ign_eof ${args.join(' ')} < ${request()}`;
    return (await output('sh', ['-c', command])).text;
  }

  it.each([
    ['-tls1_2', 'TLSv1.2'],
    ['-tls1_3', 'TLSv1.3'],
  ])('%s', async (option, version) => {
    const text = await sClient(option);
    expect(text).toContain(`New, ${version}`);
    expect(text).toContain('Verify return code: 0 (ok)');
    expect(text).toContain('HTTP/1.1 200 OK');
  });

  it('-tls1_1 is refused', async () => {
    const text = await sClient('-tls1_1', '-cipher', 'DEFAULT@SECLEVEL=0');
    expect(text).not.toContain('HTTP/1.1 200');
    expect(text).toMatch(/alert protocol version|no protocols available/);
  });

  it('SNI chooses the certificate, the client’s algorithms its kind, ALPN the protocol', async () => {
    expect(await sClient('-servername', 'other.example.com')).toMatch(/subject=O = Remora Test, CN = other\n/);
    expect(await sClient('-servername', 'server.example.com')).toMatch(/subject=O = Remora Test, CN = server\n/);
    expect(await sClient('-servername', 'server.example.com', '-sigalgs', 'rsa_pss_rsae_sha256')).toMatch(
      /subject=O = Remora Test, CN = server-rsa\n/,
    );
    expect(await sClient('-alpn', 'http/1.1')).toContain('ALPN protocol: http/1.1');
  });

  it.each(['-tls1_2', '-tls1_3'])('resumes a session of %s', async (version) => {
    const session = join(scratch, `session${version}`);
    expect(await sClient(version, '-sess_out', session)).toContain('New, TLS');
    expect(await sClient(version, '-sess_in', session)).toContain('Reused, TLS');
  });
});

describe('a peer that is no proxy', () => {
  const client = (port: number, options: ConnectionOptions): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const made = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
      made.on('secureConnect', () => resolve(made)).on('error', reject);
    });

  it('sees the certificate that was put in place while the proxy runs', async () => {
    const [port] = (await freePorts(1)) as [number];
    const chain = writeScratch('tls.crt', pem('server'));
    const privateKey = writeScratch('tls.key', key('server'));
    const files = { certificate_chain: { filename: chain }, private_key: { filename: privateKey } };
    const downstream = socket('DownstreamTlsContext', { common_tls_context: { tls_certificates: [files] } });
    await remora(bootstrap({ port, to: appPort, downstream }), port);
    const before = await client(port, {});
    writeScratch('tls.crt', pem('server-2'));
    writeScratch('tls.key', key('server-2'));
    const subjectOf = (of: TLSSocket): string => of.getPeerX509Certificate()!.subject.split('\n').at(-1)!;
    let last = '';
    await until('the new certificate', async () => {
      const one = await client(port, {});
      last = subjectOf(one);
      one.destroy();
      return last === 'CN=server-2';
    });
    expect([subjectOf(before), last]).toEqual(['CN=server', 'CN=server-2']);
    const answer = new Promise((resolve) => before.once('data', resolve));
    before.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    expect(String(await answer)).toContain('200 OK');
    before.destroy();
  });
});
