import { afterEach, describe, expect, test } from 'vitest';
import type { DynamicConfig } from '../../../../src/xds/client/dynamic-config.ts';
import { CLUSTER, ENDPOINT, LISTENER } from '../../../../src/xds/client/type-urls.ts';
import { encode, type MessageType, typeUrl } from '../../../../src/xds/proto/codec.ts';
import { Cluster } from '../../../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { ClusterLoadAssignment } from '../../../../src/xds/proto/gen/envoy/config/endpoint/v3.ts';
import { Listener } from '../../../../src/xds/proto/gen/envoy/config/listener/v3.ts';
import { certPath } from '../../../support/certs/index.ts';
import { fileCertificate, inlineCertificate, trusting } from '../../../support/tls.ts';
import { type RunningProxy, startProxy } from '../admin/support.ts';

const BOOTSTRAP = `
node: { id: n1, cluster: c1 }
static_resources:
  secrets:
    - name: s1
      tls_certificate: ${JSON.stringify(inlineCertificate('server'))}
  clusters:
    - name: local
      type: STATIC
      load_assignment:
        cluster_name: local
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 9 } } } }] }]
`;

/** The same, with TLS towards the cluster. */
const secure = (...roots: string[]): string =>
  BOOTSTRAP.replace(
    '    - name: local\n',
    `    - name: local
      transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
          common_tls_context: ${JSON.stringify({
            tls_certificates: [fileCertificate('client-chain')],
            validation_context: trusting(...roots),
          })}
`,
  );

let proxy: RunningProxy;
afterEach(() => proxy.close());

/** A resource as it comes over the wire. */
function held<T>(type: MessageType<T>, name: string, version: string, message: T) {
  return { name, version, any: { type_url: typeUrl(type), value: encode(type, message) }, resource: null };
}

const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const HELD: Record<string, ReturnType<typeof held>[]> = {
  [CLUSTER]: [
    held(Cluster, 'reviews', 'v1', { name: 'reviews', connect_timeout: 1500 }),
    held(Cluster, 'slow', 'v2', { name: 'slow' }),
  ],
  [ENDPOINT]: [held(ClusterLoadAssignment, 'reviews', 'v3', { cluster_name: 'reviews' })],
  [LISTENER]: [
    held(Listener, '80', 'v4', {
      name: '80',
      filter_chains: [
        {
          filters: [
            {
              name: 'hcm',
              typed_config: { type_url: HCM, message: { stat_prefix: 'x', route_config: { name: 'inside' } } },
            },
          ],
        },
      ],
    }),
  ],
};

/** As much of discovery as the view asks. */
function discovery(state = 'connected', waitsFor = ['EDS "slow"']): DynamicConfig {
  return {
    staleMs: state === 'connected' ? 0 : 90_500,
    client: {
      connected: state === 'connected',
      held: (type: string) => ({ version: 'v9', resources: new Map((HELD[type] ?? []).map((one) => [one.name, one])) }),
    },
    status: {
      source: 'server',
      asOf: 0,
      ads: {
        mode: 'delta',
        state,
        since: 0,
        lastError: state === 'connected' ? '' : 'connection refused',
        failures: 0,
        types: [
          {
            typeUrl: CLUSTER,
            subscribed: [],
            resources: 2,
            version: 'v9',
            lastAck: { version: 'v9', at: 5000 },
            lastNack: null,
          },
        ],
      },
      warming: [{ typeUrl: CLUSTER, name: 'slow', waitsFor }],
    },
  } as unknown as DynamicConfig;
}

describe('config source', () => {
  test('what the bootstrap holds is static', async () => {
    proxy = await startProxy(BOOTSTRAP);
    const { config } = proxy.view;
    expect(config.bootstrap().json).toMatchObject({ node: { id: 'n1', user_agent_name: 'remora' } });
    expect(config.resources('cluster').items).toMatchObject([
      { name: 'local', origin: 'static', json: { '@type': typeUrl(Cluster), name: 'local', type: 'STATIC' } },
    ]);
    expect(config.resources('secret').items).toMatchObject([{ name: 's1', origin: 'static' }]);
    expect(config.resources('endpoint').items).toMatchObject([
      {
        name: 'local',
        json: {
          endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { port_value: 9 } } } }] }],
          policy: { overprovisioning_factor: 140 },
        },
      },
    ]);
  });

  test('what discovery brought is active, or warming until it is in force', async () => {
    proxy = await startProxy(BOOTSTRAP, { discovery: () => discovery() });
    const clusters = proxy.view.config.resources('cluster');
    expect(clusters.version).toBe('v9');
    expect(clusters.items.slice(1)).toMatchObject([
      {
        name: 'reviews',
        origin: 'active',
        version: 'v1',
        lastUpdated: 5000,
        json: { '@type': CLUSTER, name: 'reviews', connect_timeout: '1.5s' },
      },
      { name: 'slow', origin: 'warming', version: 'v2' },
    ]);
    expect(proxy.view.config.resources('endpoint').items.map(({ name, origin }) => [name, origin])).toEqual([
      ['local', 'static'],
      ['reviews', 'active'],
    ]);
  });

  test('routes inside of a listener are static routes, as in Envoy', async () => {
    proxy = await startProxy(BOOTSTRAP, { discovery: () => discovery() });
    expect(proxy.view.config.resources('route').items).toMatchObject([
      {
        name: 'inside',
        origin: 'static',
        json: { '@type': expect.stringContaining('RouteConfiguration'), name: 'inside' },
      },
    ]);
  });

  test('without a text there is still the node', async () => {
    proxy = await startProxy(BOOTSTRAP, { bootstrapText: '' });
    expect(proxy.view.config.bootstrap().json).toMatchObject({ node: { id: 'n1' } });
    expect(proxy.view.config.resources('cluster').items).toEqual([]);
  });
});

describe('what is awaited', () => {
  test.each([
    [
      'the control server',
      discovery('waiting'),
      'No configuration yet: the control server is not connected (connection refused).',
    ],
    ['endpoints', discovery(), 'Waits for EDS "slow".'],
  ])('%s', async (_, found, reason) => {
    proxy = await startProxy(BOOTSTRAP, { ready: () => false, discovery: () => found });
    expect(proxy.view.stateReason()).toBe(reason);
  });

  test('how old config may be, and how late a certificate is, are gauges', async () => {
    const identity = () => ({ notBefore: -100_000, notAfter: 300_000, trouble: '' });
    proxy = await startProxy(BOOTSTRAP, { discovery: () => discovery('waiting'), identity });
    proxy.view.sample();
    const value = (name: string) =>
      [...proxy!.view.stats.series()].filter((one) => one.name === name).map(({ id }) => proxy!.view.stats.value(id));
    expect(value('remora_config_staleness_seconds')).toEqual([90]);
    expect(value('remora_certificate_life_used_percent')).toHaveLength(1);
    expect(value('istio_agent_cert_expiry_seconds')).toHaveLength(1);
  });

  test('a certificate, where all config is there', async () => {
    const identity = () => ({ notBefore: 0, notAfter: 0, trouble: 'the CA is away' });
    proxy = await startProxy(BOOTSTRAP, { ready: () => false, discovery: () => discovery('connected', []), identity });
    expect(proxy.view.stateReason()).toBe('Waits for a certificate: the CA is away.');
  });
});

test('clusters that did not come from the bootstrap were added by API', async () => {
  proxy = await startProxy(BOOTSTRAP);
  expect(proxy.view.clusters()).toMatchObject([
    { addedViaApi: false, edsServiceName: '', outlierDetection: false, description: { name: 'local' } },
  ]);
});

describe('certificates in force', () => {
  test('are listed as Envoy lists them', async () => {
    proxy = await startProxy(secure('root-a', 'client-expired'));
    const [context] = proxy.view.certificates();
    expect(context!.roots.map(({ path, certificate, daysLeft }) => [path, certificate.subject, daysLeft > 0])).toEqual([
      ['<inline>', 'CN=Root A,O=Remora Test', true],
      ['<inline>', 'CN=client-expired', false],
    ]);
    expect(context!.chain.map(({ path, certificate }) => [path, certificate.subject])).toEqual([
      [certPath('client-chain.pem'), expect.stringMatching(/^CN=client,/)],
      [certPath('client-chain.pem'), 'CN=Intermediate A,O=Remora Test'],
    ]);
  });

  test('and the days until the first expires', async () => {
    const days = (): number => {
      proxy.view.sample();
      for (const { name, id } of proxy.env.stats.series())
        if (name === 'envoy_server_days_until_first_cert_expiring') return proxy.env.stats.value(id);
      return -1;
    };
    proxy = await startProxy(secure('root-a', 'client-expired'));
    expect(days()).toBe(0);
    await proxy.close();
    proxy = await startProxy(secure('root-a'));
    expect(days()).toBeGreaterThan(30_000);
    await proxy.close();
    proxy = await startProxy(BOOTSTRAP);
    expect(days()).toBe(4_294_967_295);
  });
});
