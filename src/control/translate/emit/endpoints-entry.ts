import { ClusterLoadAssignment } from '../../../xds/proto/gen/envoy/config/endpoint/v3.ts';
import type { MeshService } from '../../mesh/service.ts';
import type { TrafficPolicyRule } from '../../mesh/traffic-policy.ts';
import { type ResourceEntry, resourceEntry } from '../../serve/snapshot.ts';
import { loadAssignment } from './endpoint.ts';
import { parseOutbound } from './names.ts';
import { subsetOf } from './scope.ts';

/** The endpoints of an outbound cluster, by its name. */
export function endpointsEntry(name: string, service: MeshService, policy: TrafficPolicyRule | null): ResourceEntry {
  const parts = parseOutbound(name);
  const labels = subsetOf(policy, parts?.subset ?? '')?.labels ?? {};
  return resourceEntry(ClusterLoadAssignment, loadAssignment(name, service, parts?.port ?? 0, labels));
}
