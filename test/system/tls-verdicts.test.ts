import { type ConnectionOptions, connect } from 'node:tls';
import { beforeAll, describe, expect, it } from 'vitest';
import { certPath, key, pem } from '../support/certs/index.ts';
import { envoy, remora } from './support/peers.ts';
import { freePorts } from './support/process.ts';

type Json = Record<string, unknown>;

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.';
const FILTERS = 'type.googleapis.com/envoy.extensions.filters.';
const certificate = (name: string): Json => ({
  certificate_chain: { filename: certPath(`${name}.pem`) },
  private_key: { filename: certPath(`${name}.key`) },
});
const roots = { trusted_ca: { filename: certPath('root-a.pem') } };
const uri = (exact: string): Json => ({ match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact } }] });
const client = 'spiffe://cluster.local/ns/default/sa/client';
const domain = (name: string, root: string): Json => ({ name, trust_bundle: { filename: certPath(`${root}.pem`) } });
const untrusted = { trust_chain_verification: 'ACCEPT_UNTRUSTED' };
const spiffe = {
  custom_validator_config: {
    name: 'envoy.tls.cert_validator.spiffe',
    typed_config: {
      '@type': `${TLS}SPIFFECertValidatorConfig`,
      trust_domains: [domain('cluster.local', 'root-a'), domain('partner.test', 'root-b')],
    },
  },
};

/** Contexts of listeners, by name. */
const verifying = (validation_context: Json, more: Json = {}): Json => ({
  common_tls_context: { tls_certificates: [certificate('server')], validation_context },
  ...more,
});
const VERIFYING: Record<string, Json> = {
  required: verifying(roots, { require_client_certificate: true }),
  optional: verifying(roots),
  untrusted: verifying({ ...roots, ...untrusted }, { require_client_certificate: true }),
  untrusted_san: verifying({ ...roots, ...uri('x'), ...untrusted }),
  san: verifying({ ...roots, ...uri(client) }),
  hash: verifying({ verify_certificate_hash: ['00'.repeat(32)] }),
  depth0: verifying({ ...roots, max_verify_depth: 0 }),
  depth1: verifying({ ...roots, max_verify_depth: 1 }),
  depth2: verifying({ ...roots, max_verify_depth: 2 }),
  crl: verifying({ ...roots, crl: { filename: certPath('crl-a.pem') } }),
  crl_beside: verifying({ trusted_ca: { inline_string: pem('root-a') + pem('crl-a') } }),
  expired: verifying({ ...roots, allow_expired_certificate: true }),
  spiffe: verifying(spiffe),
};
const CLIENTS = ['', 'client-chain', 'client', 'client-2', 'client-b', 'client-expired', 'client-revoked', 'other'];

const showing = (names: string[], more: Json = {}): Json => ({
  common_tls_context: { tls_certificates: names.map(certificate) },
  ...more,
});
const SHOWING: Record<string, Json> = {
  kinds: showing(['server', 'server-rsa', 'other']),
  names: showing(['server-rsa', 'other']),
  any: showing(['server-rsa', 'other'], { full_scan_certs_on_sni_mismatch: true }),
  first: showing(['server', 'other']),
};
const NAMES = ['', 'server.example.com', 'other.example.com', 'x.wild.example.com', 'nobody.test'];

const listeners = Object.entries({ ...VERIFYING, ...SHOWING });

function bootstrap(admin: number, ports: readonly number[]): string {
  const address = (port_value: number): Json => ({ socket_address: { address: '127.0.0.1', port_value } });
  const hcm = {
    '@type': `${FILTERS}network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'in',
    route_config: {
      name: 'r',
      virtual_hosts: [
        { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }] },
      ],
    },
    http_filters: [{ name: 'router', typed_config: { '@type': `${FILTERS}http.router.v3.Router` } }],
  };
  return JSON.stringify({
    admin: { address: address(admin) },
    static_resources: {
      listeners: listeners.map(([name, context], i) => ({
        name,
        stat_prefix: name,
        address: address(ports[i]!),
        filter_chains: [
          {
            filters: [{ name: 'http', typed_config: hcm }],
            transport_socket: {
              name: 'tls',
              typed_config: { '@type': `${TLS}DownstreamTlsContext`, ...context },
            },
          },
        ],
      })),
    },
  });
}

interface Side {
  readonly admin: number;
  /** Of the listeners. */
  readonly ports: readonly number[];
}
const sides: Side[] = [];
beforeAll(async () => {
  for (const start of [envoy, remora]) {
    const [admin, ...ports] = (await freePorts(1 + listeners.length)) as [number, ...number[]];
    await start(bootstrap(admin, ports), { admin });
    sides.push({ admin, ports });
  }
});

/** The status line and whom the server said to be; '' and '' when it let nobody in. */
function ask({ ports }: Side, listener: string, options: ConnectionOptions): Promise<{ status: string; who: string }> {
  const port = ports[listeners.findIndex(([name]) => name === listener)]!;
  return new Promise((resolve) => {
    let status = '';
    let who = '';
    const socket = connect({
      host: '127.0.0.1',
      port,
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...options,
    });
    socket.on('secureConnect', () => {
      who = socket.getPeerX509Certificate()?.subject.split('\n').at(-1) ?? '';
      socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
    });
    socket.on('data', (chunk) => {
      status ||= String(chunk).split('\r\n')[0]!;
      // Who is let in need not wait until the server has closed.
      socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve({ status, who }));
  });
}

/** Counters of a listener that are not 0: those of TLS but for ciphers, and connections. */
async function counted({ admin }: Side, listener: string): Promise<string[]> {
  const all = await (await fetch(`http://127.0.0.1:${admin}/stats`)).text();
  const wanted = new RegExp(
    `^listener\\.${listener}\\.(ssl\\.(connection_error|handshake|no_certificate|fail_|session_reused|versions)|downstream_cx_total:)`,
  );
  return all
    .split('\n')
    .filter((line) => wanted.test(line) && !line.endsWith(': 0'))
    .sort();
}

describe('of the same clients Envoy and Remora think the same', () => {
  it.each(Object.keys(VERIFYING))('%s: who is let in, and what is counted', async (listener) => {
    const said = [];
    for (const side of sides) {
      const verdicts: Json = {};
      for (const name of CLIENTS) {
        for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
          const own = name === '' ? {} : { cert: pem(name), key: key(name.replace(/-chain$/, '')) };
          verdicts[`${name} ${maxVersion}`] = (await ask(side, listener, { ...own, maxVersion })).status;
        }
      }
      said.push({ verdicts, counters: await counted(side, listener) });
    }
    expect(said[1]).toEqual(said[0]);
    expect(Object.keys(said[0]!.verdicts)).toHaveLength(16);
  });

  it.each(Object.keys(SHOWING))('%s: which certificate a client gets', async (listener) => {
    const said = [];
    for (const side of sides) {
      const shown: Json = {};
      for (const servername of NAMES) {
        const options = servername === '' ? {} : { servername };
        shown[servername] = (await ask(side, listener, options)).who;
      }
      said.push(shown);
    }
    expect(said[1]).toEqual(said[0]);
    expect(said[0]!['other.example.com']).toBe('CN=other');
  });
});
