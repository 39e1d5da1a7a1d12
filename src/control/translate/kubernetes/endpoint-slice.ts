import type { ServiceEndpoint, ServicePort, Workload } from '../../mesh/service.ts';
import type { Finding } from '../../source/collection.ts';
import { findingAt } from '../../source/finding.ts';
import { show } from '../../source/schema/type.ts';
import type { Decoded } from '../decoded.ts';
import { compareText, isAddress } from '../names.ts';
import { type MtlsPolicies, portMtls } from '../peer-authentication.ts';
import type { EndpointSliceValue } from './fields.ts';
import type { NodeIndex } from './node.ts';
import { localityOf, type PodIndex, podWorkload } from './pod.ts';

type EndpointSlice = Decoded<'EndpointSlice'>;
type Endpoints = Decoded<'Endpoints'>;

/** The label that ties a slice to its Service. */
export const SERVICE_NAME = 'kubernetes.io/service-name';

/** What stands beside the slices. */
interface Surroundings {
  readonly pods: PodIndex;
  readonly nodes: NodeIndex;
  readonly mtls: MtlsPolicies;
  readonly publishNotReady: boolean;
  /** The Service's first family is IPv6. */
  readonly preferIpv6: boolean;
}

interface Context extends Surroundings {
  readonly ports: readonly ServicePort[];
  readonly findings: Finding[];
  readonly found: Map<string, Found>;
}

interface Found {
  readonly endpoint: ServiceEndpoint;
  /** The pod (or what else is named) with its ports: by that one in two slices is known; '' nothing is named. */
  readonly instance: string;
}

/** The endpoints of a Service. Each slice has its own ports, so several may share an address with different ports. */
export function sliceEndpoints(
  slices: readonly EndpointSlice[],
  ports: readonly ServicePort[],
  surroundings: Surroundings,
): { readonly endpoints: readonly ServiceEndpoint[]; readonly findings: readonly Finding[] } {
  const found = new Map<string, Found>();
  const context: Context = { ...surroundings, ports, findings: [], found };
  const ordered = slices.toSorted((a, b) => compareText(a.object.name, b.object.name));
  for (const slice of ordered) {
    if (slice.value.addressType === 'FQDN') {
      context.findings.push(
        findingAt(
          slice.object,
          'warning',
          'no-effect',
          ['addressType'],
          'FQDN endpoints are not resolved: write a ServiceEntry with resolution: DNS',
        ),
      );
      continue;
    }
    const portMap = matchPorts(slice, context);
    for (const [i, endpoint] of (slice.value.endpoints ?? []).entries()) {
      const [address] = endpoint.addresses;
      if (address === undefined || isAddress(address)) addEndpoint(endpoint, portMap, slice.object.namespace, context);
      // A proxy would refuse all of the Service's endpoints for it.
      else {
        context.findings.push(
          findingAt(
            slice.object,
            'error',
            'wrong-value',
            ['endpoints', i, 'addresses', 0],
            `expected an IP address, got ${show(address)}`,
          ),
        );
      }
    }
  }
  const endpoints = withLastResort(joinFamilies([...found.values()], surroundings.preferIpv6));
  return { endpoints, findings: context.findings };
}

/** From better to worse. */
const HEALTH = ['healthy', 'draining', 'unhealthy'] as const;

/**
 * A pod of a dual-stack Service is in a slice of each family, and one endpoint. Where the slices do not agree, as long
 * as one of them is not written yet, the worse counts: a pod that leaves should get nothing new.
 */
function joinFamilies(found: readonly Found[], preferIpv6: boolean): readonly ServiceEndpoint[] {
  const all = found.map(({ endpoint }) => endpoint);
  if (new Set(all.map(isIpv6)).size < 2) return all;
  const joined = new Map<string, ServiceEndpoint>();
  for (const [i, { endpoint, instance }] of found.entries()) {
    const other = joined.get(instance);
    if (other === undefined) joined.set(instance === '' ? `#${i}` : instance, endpoint);
    else if (isIpv6(other) === isIpv6(endpoint)) joined.set(`#${i}`, endpoint);
    else {
      const [first, second] = isIpv6(endpoint) === preferIpv6 ? [endpoint, other] : [other, endpoint];
      const health = HEALTH[Math.max(HEALTH.indexOf(first.health), HEALTH.indexOf(second.health))]!;
      joined.set(instance, { ...first, health, moreAddresses: [second.address] });
    }
  }
  return [...joined.values()];
}

function isIpv6({ address }: ServiceEndpoint): boolean {
  return address.includes(':');
}

/**
 * Endpoints that end but still serve take what nobody else is ready for, port by port, as kube-proxy has it (KEP-1669);
 * where one is ready they finish what they have and get nothing new.
 */
function withLastResort(endpoints: readonly ServiceEndpoint[]): readonly ServiceEndpoint[] {
  if (!endpoints.some(({ health }) => health === 'draining')) return endpoints;
  const ready = new Set(endpoints.flatMap(({ health, ports }) => (health === 'healthy' ? [...ports.keys()] : [])));
  return endpoints.map((endpoint) =>
    endpoint.health === 'draining' && ![...endpoint.ports.keys()].some((port) => ready.has(port))
      ? { ...endpoint, health: 'healthy' }
      : endpoint,
  );
}

/** Endpoint port by service port: matched by name, as Kubernetes does; a port without a name serves an only port. */
function matchPorts(slice: EndpointSlice, { ports, findings }: Context): ReadonlyMap<number, number> {
  const map = new Map<number, number>();
  for (const [i, port] of (slice.value.ports ?? []).entries()) {
    if (port.port === undefined || port.protocol === 'UDP' || port.protocol === 'SCTP') continue;
    const name = port.name ?? '';
    const only = ports.length === 1 && (name === '' || ports[0]?.name === '') ? ports[0] : undefined;
    const served = ports.find((candidate) => candidate.name === name) ?? only;
    if (served !== undefined) map.set(served.number, port.port);
    else
      findings.push(
        findingAt(
          slice.object,
          'warning',
          'unknown-port',
          ['ports', i],
          `the Service has no port named ${JSON.stringify(name)}${names(ports)}`,
        ),
      );
  }
  return map;
}

function names(ports: readonly ServicePort[]): string {
  return ports.length === 0 ? '' : `: it has ${ports.map((port) => port.name || port.number).join(', ')}`;
}

function addEndpoint(
  endpoint: NonNullable<EndpointSliceValue['endpoints']>[number],
  ports: ReadonlyMap<number, number>,
  namespace: string,
  { pods, nodes, mtls, publishNotReady, found }: Context,
): void {
  // All addresses of an endpoint are the same instance; the first is used, as Kubernetes' own proxy does.
  const [address] = endpoint.addresses;
  if (address === undefined || ports.size === 0) return;
  const health = endpointHealth(endpoint.conditions, publishNotReady);
  if (health === null) return;
  const { targetRef } = endpoint;
  const named = targetRef?.kind === 'Pod' || (targetRef !== undefined && targetRef.kind === undefined);
  const pod = named ? pods.named(targetRef?.namespace || namespace, targetRef?.name ?? '') : pods.at(address);
  const zones = (endpoint.hints?.forZones ?? []).flatMap(({ name }) => (name ? [name] : []));
  const own = [...ports.values()].join(',');
  const key = `${address}|${own}`;
  if (found.get(key)?.endpoint.health === 'healthy') return;
  const name = targetRef?.name ?? '';
  const instance = name === '' ? '' : `${targetRef?.kind ?? 'Pod'} ${targetRef?.namespace || namespace}/${name} ${own}`;
  const made: ServiceEndpoint = {
    address,
    ports,
    labels: pod?.object.labels ?? {},
    health,
    weight: 1,
    locality: localityOf(
      pod?.object.labels ?? {},
      endpoint.zone,
      nodes.labels(endpoint.nodeName ?? pod?.value.spec?.nodeName),
    ),
    ...(endpoint.nodeName ? { node: endpoint.nodeName } : {}),
    ...(zones.length === 0 ? {} : { zones }),
    ...(endpoint.hostname ? { hostname: endpoint.hostname } : {}),
    workload:
      pod === undefined
        ? named
          ? `${targetRef?.name ?? ''}.${targetRef?.namespace || namespace}`
          : ''
        : `${pod.object.name}.${pod.object.namespace}`,
    ...(pod === undefined ? {} : mutualTls(podWorkload(pod), [...ports.values()], mtls)),
  };
  found.set(key, { endpoint: made, instance });
}

/** The label that injection gives to pods whose proxy speaks mutual TLS; Istio's. */
const TLS_MODE = 'security.istio.io/tlsMode';

/** Who answers at an endpoint, where it is called by mutual TLS. `ports` are its own. */
export function mutualTls(
  workload: Workload | null,
  ports: readonly number[],
  mtls: MtlsPolicies,
): Pick<ServiceEndpoint, 'identity' | 'plainPorts'> {
  if (workload === null || workload.labels[TLS_MODE] !== 'istio') return {};
  const { namespace, labels, serviceAccount } = workload;
  const accepted = mtls.of(namespace, labels);
  const plain = ports.filter((port) => portMtls(accepted, port) === 'DISABLE');
  if (plain.length === ports.length) return {};
  return { identity: `${namespace}/${serviceAccount}`, ...(plain.length === 0 ? {} : { plainPorts: new Set(plain) }) };
}

/** null: the endpoint is gone. Conditions that are not given count as fulfilled, as Kubernetes asks of its readers. */
function endpointHealth(
  conditions: NonNullable<EndpointSliceValue['endpoints']>[number]['conditions'],
  publishNotReady: boolean,
): ServiceEndpoint['health'] | null {
  const ready = conditions?.ready ?? true;
  if (conditions?.terminating === true) return (conditions.serving ?? ready) ? 'draining' : null;
  return ready || publishNotReady ? 'healthy' : 'unhealthy';
}

/** The older Endpoints object, as the slices that Kubernetes would mirror it into: one for each subset. */
export function mirrorEndpoints({ object, value }: Endpoints): readonly EndpointSlice[] {
  return (value.subsets ?? []).map((subset) => {
    const endpoint = (ready: boolean) => (entry: NonNullable<typeof subset.addresses>[number]) => ({
      addresses: [entry.ip],
      conditions: { ready },
      ...(entry.nodeName === undefined ? {} : { nodeName: entry.nodeName }),
      ...(entry.hostname === undefined ? {} : { hostname: entry.hostname }),
      ...(entry.targetRef === undefined ? {} : { targetRef: entry.targetRef }),
    });
    const endpoints = [
      ...(subset.addresses ?? []).map(endpoint(true)),
      ...(subset.notReadyAddresses ?? []).map(endpoint(false)),
    ];
    return { kind: 'EndpointSlice', object, value: { endpoints, ports: subset.ports ?? [] } };
  });
}
