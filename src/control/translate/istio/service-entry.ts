import type { MeshService, ServiceEndpoint, ServicePort, Workload } from '../../mesh/service.ts';
import { objectName } from '../../source/collection.ts';
import { placeOf } from '../../source/finding.ts';
import type { Path, Sink } from '../../source/schema/type.ts';
import type { Decoded } from '../decoded.ts';
import { mutualTls } from '../kubernetes/endpoint-slice.ts';
import { localityOf, podWorkload } from '../kubernetes/pod.ts';
import { exportedTo, isAddress, labelsMatch } from '../names.ts';
import type { MtlsPolicies } from '../peer-authentication.ts';
import { portProtocol } from '../protocol.ts';
import { checkExportTo, checkPort, isLabel, isWildcardHost } from './check.ts';
import type { ServiceEntrySpec, WorkloadEntrySpec } from './fields/service-entry.ts';

type Resolution = NonNullable<ServiceEntrySpec['resolution']>;
const RESOLUTIONS: Readonly<Record<Resolution, MeshService['resolution']>> = {
  NONE: 'passthrough',
  STATIC: 'endpoints',
  DNS: 'dns',
  DNS_ROUND_ROBIN: 'dns-round-robin',
  DYNAMIC_DNS: 'dynamic',
};
const PROTOCOLS = ['HTTP', 'HTTPS', 'HTTP2', 'GRPC', 'GRPC-WEB', 'TLS', 'TCP', 'MONGO', 'MYSQL', 'REDIS', 'UDP'];

export function checkServiceEntry(spec: ServiceEntrySpec, sink: Sink): void {
  const path = ['spec'];
  if (spec.hosts.length === 0) sink.error('missing-field', ['spec', 'hosts'], 'at least one host is required');
  for (const [i, host] of spec.hosts.entries()) {
    if (host === '*' || !isWildcardHost(host))
      sink.error(
        'invalid-host',
        [...path, 'hosts', i],
        `${JSON.stringify(host)} is not a host: write a name or *.name`,
      );
  }
  if (spec.workloadSelector !== undefined && (spec.endpoints ?? []).length > 0) {
    sink.error(
      'conflicting-fields',
      ['spec', 'workloadSelector'],
      'only one of endpoints and workloadSelector may be given',
    );
  }
  checkExportTo(spec.exportTo, ['spec', 'exportTo'], sink);
  checkPorts(spec, sink);
  checkResolution(spec, sink);
  for (const [i, address] of (spec.addresses ?? []).entries()) {
    const [ip = '', bits] = address.split('/', 2);
    if (!isAddress(ip) || (bits !== undefined && !/^\d{1,3}$/.test(bits)))
      sink.error(
        'invalid-value',
        ['spec', 'addresses', i],
        `expected an IP address or a CIDR, got ${JSON.stringify(address)}`,
      );
  }
}

function checkPorts(spec: ServiceEntrySpec, sink: Sink): void {
  const names = new Set<string>();
  const numbers = new Set<number>();
  for (const [i, port] of (spec.ports ?? []).entries()) {
    const path = ['spec', 'ports', i];
    if (!isLabel(port.name))
      sink.error(
        'invalid-value',
        [...path, 'name'],
        `${JSON.stringify(port.name)} is not a port's name: lower case letters, digits and -`,
      );
    if (names.has(port.name))
      sink.error('duplicate-port', [...path, 'name'], `the port name ${port.name} is given twice`);
    if (numbers.has(port.number))
      sink.error('duplicate-port', [...path, 'number'], `port ${port.number} is given twice`);
    names.add(port.name);
    numbers.add(port.number);
    checkPort(port.number, [...path, 'number'], sink);
    if (port.targetPort !== 0) checkPort(port.targetPort, [...path, 'targetPort'], sink);
    if (port.protocol && !PROTOCOLS.includes(port.protocol.toUpperCase()))
      sink.error(
        'invalid-value',
        [...path, 'protocol'],
        `expected one of ${PROTOCOLS.join(', ')}, got ${JSON.stringify(port.protocol)}`,
      );
    if (port.protocol?.toUpperCase() === 'UDP')
      sink.warning('no-effect', [...path, 'protocol'], 'UDP is not forwarded');
  }
  for (const [i, endpoint] of (spec.endpoints ?? []).entries()) {
    checkEndpoint(endpoint, ['spec', 'endpoints', i], sink);
    for (const name of Object.keys(endpoint.ports ?? {})) {
      if (!names.has(name))
        sink.error(
          'unknown-port',
          ['spec', 'endpoints', i, 'ports', name],
          `the ServiceEntry has no port named ${JSON.stringify(name)}`,
        );
    }
  }
}

function checkResolution(spec: ServiceEntrySpec, sink: Sink): void {
  const resolution = spec.resolution ?? 'NONE';
  const endpoints = spec.endpoints ?? [];
  const path = ['spec', 'resolution'];
  if (resolution === 'NONE') {
    if (endpoints.length > 0)
      sink.error(
        'conflicting-fields',
        path,
        'resolution NONE calls the original address: endpoints need STATIC or DNS',
      );
    if (spec.workloadSelector !== undefined)
      sink.warning('no-effect', ['spec', 'workloadSelector'], 'it has no effect with resolution NONE');
  } else if (resolution === 'STATIC') {
    for (const [i, endpoint] of endpoints.entries()) {
      if (!isAddress(endpoint.address ?? ''))
        sink.error(
          'invalid-value',
          ['spec', 'endpoints', i, 'address'],
          `resolution STATIC needs an IP address, got ${JSON.stringify(endpoint.address ?? '')}: for a name write resolution: DNS`,
        );
    }
  } else if (resolution === 'DYNAMIC_DNS') checkDynamic(spec, sink);
  else {
    const wildcard = spec.hosts.find((host) => host.startsWith('*'));
    if (endpoints.length === 0 && spec.workloadSelector === undefined && wildcard !== undefined) {
      sink.error('conflicting-fields', path, `${wildcard} cannot be resolved: give endpoints, or name the hosts`);
    }
    if (resolution === 'DNS_ROUND_ROBIN' && endpoints.length > 1)
      sink.error('conflicting-fields', ['spec', 'endpoints'], 'resolution DNS_ROUND_ROBIN takes at most one endpoint');
  }
  if (
    (spec.addresses ?? []).some((address) => address.includes('/')) &&
    resolution !== 'NONE' &&
    resolution !== 'STATIC'
  ) {
    sink.error('conflicting-fields', ['spec', 'addresses'], 'a CIDR needs resolution NONE or STATIC');
  }
}

/** Each request's own host is looked up: there has to be one to read, and nothing else to go to. */
function checkDynamic(spec: ServiceEntrySpec, sink: Sink): void {
  if ((spec.endpoints ?? []).length > 0 || spec.workloadSelector !== undefined)
    sink.error(
      'conflicting-fields',
      ['spec', 'resolution'],
      'resolution DYNAMIC_DNS calls the host that a request names: endpoints and workloadSelector need STATIC or DNS',
    );
  for (const [i, port] of (spec.ports ?? []).entries()) {
    if (portProtocol(port.number, port.protocol ?? '', '', undefined) !== 'http')
      sink.error(
        'refused-value',
        ['spec', 'ports', i, 'protocol'],
        `resolution DYNAMIC_DNS reads the host of HTTP requests, and of nothing else yet: for ${port.protocol || 'this port'} write another ServiceEntry with resolution: NONE`,
      );
  }
}

function checkEndpoint(endpoint: WorkloadEntrySpec, path: Path, sink: Sink): void {
  const address = endpoint.address ?? '';
  if (address === '') sink.error('missing-field', path, 'address is required');
  else if (address.startsWith('unix://'))
    sink.error('refused-value', [...path, 'address'], 'Unix sockets are not called yet');
  else if (!isAddress(address) && (!isWildcardHost(address) || address.includes('*')))
    sink.error(
      'invalid-value',
      [...path, 'address'],
      `expected an IP address or a name, got ${JSON.stringify(address)}`,
    );
  for (const [name, port] of Object.entries(endpoint.ports ?? {})) checkPort(port, [...path, 'ports', name], sink);
}

export function checkWorkloadEntry(spec: WorkloadEntrySpec, sink: Sink): void {
  checkEndpoint(spec, ['spec'], sink);
}

/** A WorkloadEntry is a pod that Kubernetes does not know. Labels are those of the spec and of the object. */
export function entryWorkload({ object, value }: Decoded<'WorkloadEntry'>): Workload {
  return {
    name: object.name,
    namespace: object.namespace,
    addresses: value.address === undefined ? [] : [value.address],
    labels: { ...value.labels, ...object.labels },
    serviceAccount: value.serviceAccount || 'default',
  };
}

/** One service for each host. */
export function serviceEntryServices(
  { object, value }: Decoded<'ServiceEntry'>,
  pods: readonly Decoded<'Pod'>[],
  entries: readonly Decoded<'WorkloadEntry'>[],
  mtls: MtlsPolicies,
): readonly MeshService[] {
  const resolution = RESOLUTIONS[value.resolution ?? 'NONE'];
  const ports: ServicePort[] = [];
  const targets = new Map<number, { name: string; target: number }>();
  for (const port of value.ports ?? []) {
    const protocol = portProtocol(port.number, port.protocol ?? '', '', undefined);
    if (protocol === null) continue;
    ports.push({ number: port.number, name: port.name, protocol });
    targets.set(port.number, { name: port.name, target: port.targetPort || port.number });
  }
  const endpoints = entryEndpoints(value, object.namespace, targets, pods, entries, mtls);
  return value.hosts.map((text) => {
    const host = text.toLowerCase();
    const itself = resolution.startsWith('dns') && value.workloadSelector === undefined;
    return {
      host,
      name: host,
      namespace: object.namespace,
      ports,
      resolution,
      external: (value.location ?? 'MESH_EXTERNAL') === 'MESH_EXTERNAL',
      addresses: (value.addresses ?? []).map((address) => address.replace(/(^[\d.]+)\/32$|(^.*:.*)\/128$/, '$1$2')),
      endpoints: endpoints.length === 0 && itself ? [endpointAt(host, targets, {}, undefined, '')] : endpoints,
      exportTo: exportedTo(value.exportTo, object.namespace),
      written: { object: objectName(object), place: placeOf(object) },
    };
  });
}

/** WorkloadEntries that a ServiceEntry selects and cannot call. */
export function uncallable(
  { object, value }: Decoded<'ServiceEntry'>,
  entries: readonly Decoded<'WorkloadEntry'>[],
): readonly Decoded<'WorkloadEntry'>[] {
  if (value.resolution !== 'STATIC') return [];
  return entries.filter((entry) => {
    const workload = entryWorkload(entry);
    return selects(value, object.namespace, workload) && workload.addresses.some((one) => !isCallable(one, value));
  });
}

function selects({ workloadSelector }: ServiceEntrySpec, namespace: string, workload: Workload): boolean {
  const labels = workloadSelector?.labels;
  return labels !== undefined && workload.namespace === namespace && labelsMatch(labels, workload.labels);
}

/** Names are looked up for resolution DNS alone. */
function isCallable(address: string, { resolution }: ServiceEntrySpec): boolean {
  return resolution !== 'STATIC' || isAddress(address);
}

type Targets = ReadonlyMap<number, { readonly name: string; readonly target: number }>;

function entryEndpoints(
  spec: ServiceEntrySpec,
  namespace: string,
  targets: Targets,
  pods: readonly Decoded<'Pod'>[],
  entries: readonly Decoded<'WorkloadEntry'>[],
  mtls: MtlsPolicies,
): readonly ServiceEndpoint[] {
  if ((spec.resolution ?? 'NONE') === 'NONE') return [];
  if (spec.workloadSelector?.labels === undefined) {
    return (spec.endpoints ?? []).map((entry) =>
      endpointAt(entry.address ?? '', targets, entry.labels ?? {}, entry, ''),
    );
  }
  const found: ServiceEndpoint[] = [];
  const called = (workload: Workload, endpoint: ServiceEndpoint): ServiceEndpoint => ({
    ...endpoint,
    ...mutualTls(workload, [...endpoint.ports.values()], mtls),
  });
  for (const entry of entries) {
    const workload = entryWorkload(entry);
    if (!selects(spec, namespace, workload)) continue;
    for (const address of workload.addresses) {
      if (!isCallable(address, spec)) continue;
      const endpoint = endpointAt(address, targets, workload.labels, entry.value, `${workload.name}.${namespace}`);
      found.push(called(workload, endpoint));
    }
  }
  for (const pod of pods) {
    const workload = podWorkload(pod);
    if (workload === null || !selects(spec, namespace, workload)) continue;
    const [address] = workload.addresses;
    if (address === undefined) continue;
    const endpoint = endpointAt(address, targets, workload.labels, undefined, `${workload.name}.${namespace}`);
    found.push(called(workload, endpoint));
  }
  return found;
}

/** The entry's own port of that name comes first, then the ServiceEntry's targetPort, then the port itself. */
function endpointAt(
  address: string,
  targets: Targets,
  labels: Readonly<Record<string, string>>,
  entry: WorkloadEntrySpec | undefined,
  workload: string,
): ServiceEndpoint {
  const ports = [...targets].map(([number, { name, target }]) => [number, entry?.ports?.[name] ?? target] as const);
  return {
    address: isAddress(address) ? address : address.toLowerCase(),
    ports: new Map(ports),
    labels,
    health: 'healthy',
    weight: entry?.weight || 1,
    locality: entry?.locality ?? localityOf(labels),
    workload,
  };
}
