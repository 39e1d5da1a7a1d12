// Pains rows 23 and 25 between a real control server and the client of a captured sidecar on demand: what it gets for an
// address, also where a Sidecar scopes it. What a proxy does with it is in proxy/protocol-detection.test.ts, and both by iptables in test/system.
import { expect, it } from 'vitest';
import { proxyDecodeContext } from '../../../src/proxy/runtime/extensions.ts';
import { decodersOf } from '../../../src/xds/client/resource-decoder.ts';
import { standardResourceTypes } from '../../../src/xds/resources/standard.ts';
import { mesh, until } from '../../support/mesh.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { adsClient } from '../ads-client.ts';

function files(...pods: string[]): string {
  const slice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'db', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'db' } },
    addressType: 'IPv4',
    ports: [
      { name: 'http', port: 8080 },
      { name: 'tcp', port: 5432 },
    ],
    endpoints: pods.map((address) => ({ addresses: [address] })),
  };
  const spec = {
    clusterIP: '10.96.0.10',
    ports: [
      { name: 'http', port: 80, targetPort: 8080 },
      { name: 'tcp', port: 5432 },
    ],
  };
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'db', namespace: 'shop' }, spec };
  return [service, slice].map((one) => JSON.stringify(one)).join('\n---\n');
}

/** A captured sidecar's client; `dns`: hosts without an address have one. */
function sidecar(port: number, dns = {}) {
  const { config } = adsClient(`127.0.0.1:${port}`, 'delta', {
    decoders: decodersOf(standardResourceTypes, proxyDecodeContext()),
    node: {
      id: 'sidecar~10.1.0.7~a.shop~shop.svc.cluster.local',
      user_agent_name: 'remora',
      user_agent_version: '1.0.0',
      metadata: { NAMESPACE: 'shop', INTERCEPTION_MODE: 'REDIRECT', INSTANCE_IPS: '10.1.0.7', ...dns },
      client_features: ['remora.virtual_hosts', 'remora.on_demand'],
    },
  });
  const absent: string[] = [];
  config.onHosts({ absent: (names) => void absent.push(...names), restored: () => {} });
  const host = (routes: string, domain: string) =>
    config.snapshot.value.routes.get(routes)?.virtualHosts.find(({ domains }) => domains.includes(domain)) ?? null;
  const clusters = (): string[] =>
    [...config.snapshot.value.clusters.keys()].filter((one) => one.startsWith('outbound|'));
  return { config, absent, host, clusters };
}

it('is the cluster of a service for its address, and one of the instance for an instance’s, as long as it is there', async () => {
  const it = ends(await mesh().yaml('db.yaml', files('10.1.0.8')).start());
  const { config, absent, host, clusters } = sidecar(it.control.xdsAddress.port);
  await until('the first config', () => config.ready.value);
  const before = clusters();
  expect(before.filter((name) => name.startsWith('outbound|80|'))).toEqual([]);
  expect(config.snapshot.value.routes.get('instances')?.virtualHosts).toEqual([]);
  const asked = ['80/10.96.0.10:80', '80/10.1.0.9:80', 'instances/10.1.0.8:5432', 'instances/10.1.0.8:8080'];
  config.store.askForHosts(new Set(asked));

  const service = await until('the service', () => host('80', '10.96.0.10:80'));
  expect(service.bytesTo).toBe('outbound|80||db.shop.svc.cluster.local');
  const instance = await until('the instance', () => host('instances', '10.1.0.8:5432'));
  const name = 'outbound|5432||db.shop.svc.cluster.local|10.1.0.8:5432';
  expect(instance.bytesTo).toBe(name);
  await until('another port of it', () => host('instances', '10.1.0.8:8080'));
  const { discovery } = config.snapshot.value.clusters.get(name)!;
  expect(discovery).toMatchObject({ kind: 'STATIC' });
  await until('that nobody is there', () => absent.includes('80/10.1.0.9:80'));

  // The pod is replaced: its address is nobody's, and the new one's is known to whoever asks.
  it.config.replace('db.yaml', files('10.1.0.10'));
  await until('it to be gone', () => host('instances', '10.1.0.8:5432') === null && !clusters().includes(name));
  config.store.askForHosts(new Set([...asked, 'instances/10.1.0.10:5432']));
  await until('the next one', () => host('instances', '10.1.0.10:5432'));
  await config.close();
});

const OTHERS = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: queue, namespace: shop }
spec: { hosts: [queue.example.com], ports: [{ name: amqp, number: 5672, protocol: TCP }], resolution: DNS }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: hidden, namespace: other }
spec:
  hosts: [hidden.example.com]
  ports: [{ name: tcp, number: 9000, protocol: TCP }]
  resolution: STATIC
  endpoints: [{ address: 10.1.0.20 }]
`;
const scope = (policy: string): string => `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: default, namespace: shop }
spec: { egress: [{ hosts: [./*] }], outboundTrafficPolicy: { mode: ${policy} } }
`;
/** Istio gives out such addresses from the first on; the host's own listener has it. */
const autoAddress = (listeners: Iterable<string>): string =>
  [...listeners].find((name) => name.endsWith('_5672'))!.slice(0, -'_5672'.length);

it('within a Sidecar: instances of what it names, undeclared ports of its hosts, and nothing of others', async () => {
  const it = ends(
    await mesh()
      .yaml('db.yaml', files('10.1.0.8'))
      .yaml('others.yaml', OTHERS)
      .yaml('scope.yaml', scope('ALLOW_ANY'))
      .start(),
  );
  const { config, absent, host, clusters } = sidecar(it.control.xdsAddress.port, {
    DNS_CAPTURE: 'true',
    DNS_AUTO_ALLOCATE: 'true',
  });
  await until('the first config', () => config.ready.value);
  // What it may call it has, and nothing else.
  const whole = clusters();
  expect(whole).toContain('outbound|80||db.shop.svc.cluster.local');
  expect(whole.join()).not.toContain('hidden');
  const own = autoAddress(config.snapshot.value.listeners.keys());
  const asked = ['instances/10.1.0.8:8080', '80/10.1.0.8:8080', `instances/${own}:15672`, 'instances/10.1.0.20:9000'];
  config.store.askForHosts(new Set(asked));

  const instance = await until('the instance', () => host('instances', '10.1.0.8:8080'));
  const name = 'outbound|80||db.shop.svc.cluster.local|10.1.0.8:8080';
  expect(instance.bytesTo).toBe(name);
  await until('HTTP to it', () => host('80', '10.1.0.8:8080'));
  const queue = await until('the port nobody declares', () => host('instances', `${own}:15672`));
  expect(config.snapshot.value.clusters.get(queue.bytesTo!)!.discovery).toMatchObject({ kind: 'STRICT_DNS' });
  await until('what it does not name', () => absent.includes('instances/10.1.0.20:9000'));
  expect(new Set(absent)).toEqual(new Set(['instances/10.1.0.20:9000']));
  expect(clusters().toSorted()).toEqual([...whole, name, queue.bytesTo].toSorted());

  // A policy of the service is one of its instances, though none of them moved.
  const policy = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: db, namespace: shop }
spec: { host: db, trafficPolicy: { connectionPool: { tcp: { connectTimeout: 2s } } } }
`;
  it.config.replace('policy.yaml', policy);
  await until('the policy', () => config.snapshot.value.clusters.get(name)?.connectTimeoutMs === 2000);

  // Where unknown hosts are refused, so are addresses: nobody asks.
  it.config.replace('scope.yaml', scope('REGISTRY_ONLY'));
  await until('nobody to ask', () => !config.snapshot.value.routes.has('instances'));
  await config.close();
});
