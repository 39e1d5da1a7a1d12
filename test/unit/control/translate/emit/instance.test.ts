import { expect, it } from 'vitest';
import { readObjects } from '../../../../../src/control/source/files/yaml.ts';
import { DecodedStore } from '../../../../../src/control/translate/decode.ts';
import { InboundIndex } from '../../../../../src/control/translate/emit/inbound.ts';
import { instanceOf } from '../../../../../src/control/translate/emit/instance.ts';
import { Scope } from '../../../../../src/control/translate/emit/scope.ts';
import { translate } from '../../../../../src/control/translate/istio/mesh.ts';
import { type Any, decode, Problems, unpack } from '../../../../../src/xds/proto/codec.ts';
import { Cluster } from '../../../../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { VirtualHost } from '../../../../../src/xds/proto/gen/envoy/config/route/v3.ts';
import { UpstreamTlsContext } from '../../../../../src/xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';

/** A web service of two accounts and a database that only its namespace sees; one pod is in no service. */
const MESH = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { clusterIP: 10.96.0.10, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
apiVersion: v1
kind: Service
metadata: { name: db, namespace: shop, annotations: { networking.istio.io/exportTo: "." } }
spec: { clusterIP: None, ports: [{ name: tcp-mysql, port: 3306 }] }
---
${slice('web', 'http', 8080, ['10.1.0.7', 'web-a'], ['10.1.0.8', 'web-b'])}
---
${slice('db', 'tcp-mysql', 3306, ['fd00:1::9', 'db-0'])}
---
${pod('web-a', 'fast', '10.1.0.7')}
---
${pod('web-b', 'slow', '10.1.0.8')}
---
${pod('db-0', 'db', 'fd00:1::9')}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: queue, namespace: shop }
spec: { hosts: [queue.example.com], ports: [{ name: amqp, number: 5672, protocol: TCP }], resolution: DNS }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: web, namespace: shop }
spec:
  host: web
  trafficPolicy: { connectionPool: { tcp: { connectTimeout: 2s } }, outlierDetection: { consecutive5xxErrors: 1 } }
`;

function slice(service: string, name: string, port: number, ...endpoints: [string, string][]): string {
  return JSON.stringify({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: service, namespace: 'shop', labels: { 'kubernetes.io/service-name': service } },
    addressType: endpoints[0]![0].includes(':') ? 'IPv6' : 'IPv4',
    ports: [{ name, port }],
    endpoints: endpoints.map(([address, pod]) => ({
      addresses: [address],
      conditions: { ready: false },
      targetRef: { kind: 'Pod', name: pod, namespace: 'shop' },
    })),
  });
}

function pod(name: string, serviceAccountName: string, podIP: string): string {
  const labels = { 'security.istio.io/tlsMode': 'istio' };
  const status = { phase: 'Running', podIP };
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', labels },
    spec: { serviceAccountName },
    status,
  });
}

const objects = readObjects(MESH, 'mesh.yaml').objects;
const { mesh } = translate(new DecodedStore().update(objects).objects);
const index = new InboundIndex(mesh);

function ask(asked: string, namespace = 'shop', allocates = false) {
  const known = {
    http2: false,
    detects: true,
    captured: '46',
    trustDomain: 'cluster.local',
    onDemand: true,
  } as const;
  const options = { ...known, allocates };
  const found = instanceOf(asked, new Scope(mesh, namespace, new Map(), options), index);
  if (found === null) return null;
  const read = <T>(type: Parameters<typeof decode<T>>[0], any: Any): T => decode(type, any.value!, new Problems());
  return { host: read(VirtualHost, found.host.any), cluster: read(Cluster, found.clusters[0]!.any), found };
}

it('an address is of the service whose instance has it, and the instance is known by who it is', () => {
  const { host, cluster, found } = ask('8080/10.1.0.7:8080')!;
  const name = 'outbound|80||web.shop.svc.cluster.local|10.1.0.7:8080';
  expect(host).toMatchObject({
    name: '8080/10.1.0.7:8080',
    domains: ['10.1.0.7:8080'],
    routes: [{ match: { prefix: '/' }, route: { cluster: name } }],
    metadata: { filter_metadata: { remora: { bytes_cluster: name } } },
  });
  expect(found.host.references.map((one) => one.name)).toEqual([name]);
  expect(cluster).toMatchObject({ name, type: 'STATIC', connect_timeout: 2000 });
  // One that answers badly is called all the same: the caller means it.
  expect(cluster.outlier_detection).toBeUndefined();
  const [endpoint, ...more] = cluster.load_assignment!.endpoints![0]!.lb_endpoints!;
  expect(more).toEqual([]);
  expect(endpoint).toMatchObject({
    endpoint: { address: { socket_address: { address: '10.1.0.7', port_value: 8080 } } },
    health_status: 'HEALTHY',
    metadata: { filter_metadata: { 'envoy.transport_socket_match': { tlsMode: 'istio' } } },
  });
  const socket = cluster.transport_socket_matches![0]!.transport_socket!;
  const tls = unpack(socket.typed_config!, UpstreamTlsContext, new Problems(), '')!;
  const names = tls.common_tls_context?.combined_validation_context?.default_validation_context;
  expect(names?.match_typed_subject_alt_names?.map(({ matcher }) => matcher)).toEqual([
    { exact: 'spiffe://cluster.local/ns/shop/sa/fast' },
  ]);
});

it('bytes and IPv6, and HTTP that leaves the port out', () => {
  const db = ask('instances/[fd00:1::9]:3306')!;
  expect(db.host.domains).toEqual(['[fd00:1::9]:3306']);
  expect(db.cluster.name).toBe('outbound|3306||db.shop.svc.cluster.local|[fd00:1::9]:3306');
  expect(db.cluster.type).toBe('STATIC');
  expect(ask('8080/10.1.0.8')!.host.domains).toEqual(['10.1.0.8']);
});

it('nobody’s: another port, another address, a name, a service that is not to be seen', () => {
  for (const asked of ['80/10.1.0.7:80', '80/10.1.0.7', '8080/10.1.0.70:8080', '80/web:8080', '10.1.0.7:8080', 'x/'])
    expect(ask(asked), asked).toBeNull();
  expect(ask('instances/[fd00:1::9]:3306', 'other')).toBeNull();
  expect(ask('8080/10.1.0.7:8080', 'other')).not.toBeNull();
});

// pains.md row 26
it('a port that nobody declares, of a host with an address of ours, is the host’s by real DNS', () => {
  const [four = '', six = ''] = mesh.services.get('queue.example.com')!.autoAddresses!;
  const found = ask(`instances/${four}:15672`, 'shop', true)!;
  expect(found.host.domains).toEqual([`${four}:15672`]);
  expect(found.cluster).toMatchObject({ name: 'outbound|15672||queue.example.com', type: 'STRICT_DNS' });
  expect(found.cluster.transport_socket_matches).toBeUndefined();
  expect(found.cluster.load_assignment!.endpoints![0]!.lb_endpoints![0]!.endpoint!.address).toEqual({
    socket_address: { address: 'queue.example.com', port_value: 15672 },
  });
  expect(ask(`instances/[${six}]:15672`, 'shop', true)!.cluster.name).toBe(found.cluster.name);
  // Its own listener has it; and these are nobody's.
  expect(ask(`instances/${four}:5672`, 'shop', true)).toBeNull();
  expect(ask('instances/240.240.255.1:15672', 'shop', true)).toBeNull();
});

it('what did not change is the very same', () => {
  expect(ask('8080/10.1.0.7:8080')!.found).toBe(ask('8080/10.1.0.7:8080')!.found);
  expect(ask('8080/10.1.0.7:8080', 'other')!.found).not.toBe(ask('8080/10.1.0.7:8080')!.found);
});
