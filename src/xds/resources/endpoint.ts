import { isIP } from '../../base/ip.ts';
import type { SocketAddress } from '../../model/address.ts';
import type { Endpoint, LoadAssignment, LocalityEndpoints } from '../../model/endpoint.ts';
import type * as wire from '../proto/gen/envoy/config/endpoint/v3.ts';
import { decodeAddress } from './address.ts';
import type { Decoding } from './decoding.ts';
import { partsPerMillion } from './matcher.ts';
import { matchValues, workloadOf } from './origin.ts';

const UINT32_MAX = 0xffff_ffff;

/** `names`: DNS names are allowed as addresses. */
export function decodeAssignment(
  assignment: wire.ClusterLoadAssignment,
  path: string,
  s: Decoding,
  names: 'ip' | 'names' = 'ip',
): LoadAssignment {
  const at = path === '' ? '' : `${path}.`;
  const localities = (assignment.endpoints ?? []).map((one, i) =>
    decodeLocality(one, `${at}endpoints[${i}]`, s, names),
  );
  checkWeights(localities, `${at}endpoints`, s);
  return {
    clusterName: assignment.cluster_name ?? '',
    localities,
    overprovisioningFactor: assignment.policy?.overprovisioning_factor ?? 140,
    dropOverloads: (assignment.policy?.drop_overloads ?? []).map((drop) => ({
      category: drop.category ?? '',
      partsPerMillion: partsPerMillion(drop.drop_percentage),
    })),
  };
}

function decodeLocality(
  one: wire.LocalityLbEndpoints,
  path: string,
  s: Decoding,
  names: 'ip' | 'names',
): LocalityEndpoints {
  const { region = '', zone = '', sub_zone = '' } = one.locality ?? {};
  return {
    locality: { region, zone, subZone: sub_zone },
    weight: one.load_balancing_weight ?? 0,
    priority: one.priority ?? 0,
    endpoints: (one.lb_endpoints ?? []).map((endpoint, i) =>
      decodeEndpoint(endpoint, `${path}.lb_endpoints[${i}]`, s, names),
    ),
  };
}

function decodeEndpoint(one: wire.LbEndpoint, path: string, s: Decoding, names: 'ip' | 'names'): Endpoint {
  const socketMatch = one.metadata?.filter_metadata?.['envoy.transport_socket_match'];
  const address = decodeAddress(one.endpoint?.address, `${path}.endpoint.address`, s, names);
  const moreAddresses = decodeMore(one.endpoint?.additional_addresses, address, `${path}.endpoint`, s);
  return {
    address,
    ...(moreAddresses.length === 0 ? {} : { moreAddresses }),
    hostname: one.endpoint?.hostname ?? '',
    weight: one.load_balancing_weight ?? 1,
    health: one.health_status ?? 'UNKNOWN',
    workload: workloadOf(one.metadata),
    ...(socketMatch === undefined ? {} : { socketMatch: matchValues(socketMatch) }),
  };
}

/** Envoy has them for STATIC and EDS clusters; a name has as many addresses as DNS says. */
function decodeMore(
  more: readonly wire.Endpoint_AdditionalAddress[] | undefined,
  first: SocketAddress,
  path: string,
  s: Decoding,
): readonly SocketAddress[] {
  return (more ?? []).flatMap((one, i) => {
    const at = `${path}.additional_addresses[${i}].address`;
    const address = decodeAddress(one.address, at, s);
    if (first.host !== '' && isIP(first.host) === 0) {
      s.error(at, 'an endpoint that is a name has no other addresses: what its name resolves to is used');
      return [];
    }
    if (address.port !== first.port) {
      s.error(`${at}.socket_address.port_value`, `all addresses of an endpoint have one port here: ${first.port}`);
    }
    return [address];
  });
}

function checkWeights(localities: readonly LocalityEndpoints[], path: string, s: Decoding): void {
  const sums = new Map<number, number>();
  for (const [i, locality] of localities.entries()) {
    const sum = (sums.get(locality.priority) ?? 0) + locality.weight;
    sums.set(locality.priority, sum);
    if (sum > UINT32_MAX) {
      s.error(
        `${path}[${i}].load_balancing_weight`,
        `the weights of priority ${locality.priority} sum to more than ${UINT32_MAX}`,
      );
    }
    const endpoints = locality.endpoints.reduce((total, endpoint) => total + endpoint.weight, 0);
    if (endpoints > UINT32_MAX)
      s.error(`${path}[${i}].lb_endpoints`, `the weights sum to ${endpoints}, which is more than ${UINT32_MAX}`);
  }
}
