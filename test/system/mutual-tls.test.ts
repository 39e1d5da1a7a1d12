// Issue 5, section 5: our CA's certificates in real Envoy's hands; it calls a sidecar of ours, and one of ours calls it.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { CertificateAuthority } from '../../src/control/ca/authority.ts';
import { FolderStore } from '../../src/control/ca/store.ts';
import { certificateRequest } from '../../src/proxy/identity/certificate-request.ts';
import { call, type Mesh, mesh, PORT, until } from '../support/mesh.ts';
import { file, peerAuthentication, service } from '../support/mesh-yaml.ts';
import { envoy } from './support/peers.ts';
import { freePorts, writeScratch } from './support/process.ts';

type Json = Record<string, unknown>;
const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.';
const FILTERS = 'type.googleapis.com/envoy.extensions.filters.';
const ME = 'spiffe://cluster.local/ns/default/sa/envoy';

let running: Mesh;
let out: number;
let inbound: number;
const app = createServer((request, response) =>
  response.end(String(request.headers['x-forwarded-client-cert'] ?? 'nobody')),
);

const socket = (message: string, context: Json): Json => ({
  name: 'envoy.transport_sockets.tls',
  typed_config: { '@type': `${TLS}${message}`, ...context },
});

function listener(name: string, port: number, cluster: string, more: Json = {}, manager: Json = {}): Json {
  const routes = [{ match: { prefix: '/' }, route: { cluster } }];
  const hcm = {
    '@type': `${FILTERS}network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: name,
    route_config: { name, virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
    http_filters: [{ name: 'router', typed_config: { '@type': `${FILTERS}http.router.v3.Router` } }],
    ...manager,
  };
  return {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters: [{ name: 'http', typed_config: hcm }], ...more }],
  };
}

function cluster(name: string, port: number, more: Json = {}): Json {
  const endpoint = { address: { socket_address: { address: '127.0.0.1', port_value: port } } };
  return {
    name,
    type: 'STATIC',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint }] }] },
    ...more,
  };
}

beforeAll(async () => {
  running = await mesh()
    .certificates()
    .yaml('services.yaml', file(service('reviews'), service('legacy'), peerAuthentication('STRICT')))
    .sidecar('reviews')
    .start();
  const ca = new CertificateAuthority({
    store: new FolderStore(running.caFolder),
    plugged: null,
    trustDomain: 'cluster.local',
    ttlMs: 3_600_000,
    clock: systemClock,
    log: silentLogger(systemClock),
    mayRotate: () => false,
  });
  await ca.start();
  const { key, csr } = await certificateRequest(ME, 'cluster.local');
  const issued = ca.signWorkload(csr, { trustDomain: 'cluster.local', namespace: 'default', serviceAccount: 'envoy' });
  await ca.close();
  const files = {
    certificate_chain: { filename: writeScratch('envoy.pem', issued.chain.join('')) },
    private_key: { filename: writeScratch('envoy.key', String(key.export({ type: 'pkcs8', format: 'pem' }))) },
  };
  const trusted = (name: string) => ({
    trusted_ca: { filename: writeScratch('roots.pem', issued.roots) },
    match_typed_subject_alt_names: [
      { san_type: 'URI', matcher: { exact: `spiffe://cluster.local/ns/default/sa/${name}` } },
    ],
  });
  app.listen(0, '127.0.0.1');
  const ports = await freePorts(3);
  [out = 0, inbound = 0] = ports;
  const admin = ports[2] ?? 0;
  const mutual = socket('UpstreamTlsContext', {
    sni: 'outbound_.9080_._.reviews.default.svc.cluster.local',
    common_tls_context: {
      tls_certificates: [files],
      validation_context: trusted('reviews'),
      alpn_protocols: ['istio-http/1.1', 'istio', 'http/1.1'],
    },
  });
  const taken = socket('DownstreamTlsContext', {
    require_client_certificate: true,
    common_tls_context: {
      tls_certificates: [files],
      validation_context: trusted('reviews'),
      alpn_protocols: ['http/1.1'],
    },
  });
  const forwarded = { forward_client_cert_details: 'APPEND_FORWARD', set_current_client_cert_details: { uri: true } };
  const bootstrap = {
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: admin } } },
    static_resources: {
      listeners: [
        listener('out', out, 'reviews'),
        listener('in', inbound, 'app', { transport_socket: taken }, forwarded),
      ],
      clusters: [
        cluster('reviews', running.proxy('reviews-v1').inbound.port, { transport_socket: mutual }),
        cluster('app', (app.address() as AddressInfo).port),
      ],
    },
  };
  await envoy(JSON.stringify(bootstrap), { admin });
  // A pod whose proxy is that Envoy.
  running.instances.write(
    'envoy.yaml',
    `apiVersion: v1
kind: Pod
metadata: { name: envoy-1, namespace: default, labels: { app: legacy, security.istio.io/tlsMode: istio } }
spec: { serviceAccountName: envoy }
status: { phase: Running, podIP: 127.0.0.1 }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: envoy-1, namespace: default, labels: { kubernetes.io/service-name: legacy } }
addressType: IPv4
ports: [{ name: http, port: ${inbound}, protocol: TCP }]
endpoints: [{ addresses: [127.0.0.1], conditions: { ready: true }, targetRef: { kind: Pod, name: envoy-1, namespace: default } }]
`,
  );
}, 60_000);

afterAll(async () => {
  app.close();
  app.closeAllConnections();
  await running.close();
});

describe('real Envoy with a certificate of our CA', () => {
  it('calls a sidecar of ours that takes nothing else', async () => {
    expect(await call(out, '/')).toMatchObject({ status: 200, body: 'reviews-v1' });
    const counted = [...running.proxy('reviews-v1').proxy.env.stats.series()].find(
      ({ name, labels }) => name === 'istio_requests_total' && labels['source_principal'] === ME,
    );
    expect(counted?.labels['connection_security_policy']).toBe('mutual_tls');
  });

  it('is called by a sidecar of ours, which knows it by its service account', async () => {
    const answer = await until('the answer of Envoy’s app', async () => {
      const one = await running.proxy('reviews-v1').call(`http://legacy:${PORT}/`);
      return one.status === 200 ? one : null;
    });
    expect(answer.body).toContain('URI=spiffe://cluster.local/ns/default/sa/reviews');
  });

  it('and openssl find the certificates in order', () => {
    const files = ['-CAfile', writeScratch('check-roots.pem', readRoots()), '-purpose', 'sslserver'];
    const said = execFileSync('openssl', ['verify', ...files, writeScratch('check.pem', readLeaf())]).toString();
    expect(said).toContain('OK');
  });
});

function readRoots(): string {
  return readFileSync(`${running.caFolder}/root-cert.pem`, 'utf8');
}
function readLeaf(): string {
  const secret = running.proxy('reviews-v1').proxy.env.tls.secrets.get({ name: 'default', from: 'agent' });
  if (secret?.kind !== 'tls_certificate' || secret.certificate.chain.kind !== 'inline')
    throw new Error('no certificate');
  return secret.certificate.chain.bytes.reveal().toString();
}
