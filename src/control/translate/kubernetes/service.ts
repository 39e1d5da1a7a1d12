import type { MeshService, ServiceEndpoint, ServicePort } from '../../mesh/service.ts';
import { objectName } from '../../source/collection.ts';
import { placeOf } from '../../source/finding.ts';
import type { Decoded } from '../decoded.ts';
import { DOMAIN, exportedTo } from '../names.ts';
import { portProtocol } from '../protocol.ts';

type Service = Decoded<'Service'>;

/** Istio's annotation for Services, which have no field for it. */
/** Who sees a Service, with commas. */
export const EXPORT_TO = 'networking.istio.io/exportTo';
/** Istio's, before Kubernetes had its field. */
const DISTRIBUTION = 'networking.istio.io/traffic-distribution';
const NEAR: Readonly<Record<string, 'zone' | 'node'>> = {
  PreferClose: 'zone',
  PreferSameZone: 'zone',
  PreferSameNode: 'node',
};

export function servicePorts({ value }: Service): readonly ServicePort[] {
  const ports: ServicePort[] = [];
  for (const port of value.spec.ports ?? []) {
    const protocol = portProtocol(port.port, port.name ?? '', port.protocol ?? 'TCP', port.appProtocol);
    if (protocol !== null) ports.push({ number: port.port, name: port.name ?? '', protocol });
  }
  return ports;
}

export function serviceHost({ object }: Service): string {
  return `${object.name}.${object.namespace}.svc.${DOMAIN}`.toLowerCase();
}

/** Whether its first family is IPv6. A file may leave the families out that an API server fills in. */
export function prefersIpv6({ value: { spec } }: Service): boolean {
  const [family] = spec.ipFamilies ?? [];
  return family === undefined ? (spec.clusterIP ?? '').includes(':') : family === 'IPv6';
}

/** A Service with its endpoints; an ExternalName is a name to resolve. */
export function meshService(service: Service, endpoints: readonly ServiceEndpoint[]): MeshService {
  const { object } = service;
  const { spec } = service.value;
  const external = spec.type === 'ExternalName';
  const ports = servicePorts(service);
  const addresses = [...new Set([spec.clusterIP ?? '', ...(spec.clusterIPs ?? [])])].filter(
    (address) => address !== '' && address !== 'None',
  );
  const near = nearOf(service, endpoints);
  const written = object.annotations[EXPORT_TO];
  return {
    host: serviceHost(service),
    name: object.name,
    namespace: object.namespace,
    ports,
    resolution: external ? 'dns' : 'endpoints',
    external,
    ...(near === undefined ? {} : { near }),
    addresses: external ? [] : addresses,
    endpoints: external ? externalEndpoint(spec.externalName ?? '', ports) : endpoints,
    exportTo: exportedTo(
      written
        ?.split(',')
        .map((space) => space.trim())
        .filter(Boolean),
      object.namespace,
    ),
    written: { object: objectName(object), place: placeOf(object) },
  };
}

/** As the Service says, or Kubernetes by hints for every endpoint (`topology-mode: Auto`). */
function nearOf({ object, value }: Service, endpoints: readonly ServiceEndpoint[]): 'zone' | 'node' | undefined {
  const asked = value.spec.trafficDistribution ?? object.annotations[DISTRIBUTION] ?? '';
  if (Object.hasOwn(NEAR, asked)) return NEAR[asked];
  return endpoints.length > 0 && endpoints.every(({ zones }) => zones !== undefined) ? 'zone' : undefined;
}

function externalEndpoint(name: string, ports: readonly ServicePort[]): readonly ServiceEndpoint[] {
  const address = name.toLowerCase().replace(/\.$/, '');
  if (address === '') return [];
  const same = new Map(ports.map((port) => [port.number, port.number]));
  return [{ address, ports: same, labels: {}, health: 'healthy', weight: 1, locality: '', workload: '' }];
}
