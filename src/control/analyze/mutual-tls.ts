import type { Mesh } from '../mesh/mesh.ts';
import type { MeshService, ServiceEndpoint } from '../mesh/service.ts';
import type { Finding } from '../source/collection.ts';
import { findingAt } from '../source/finding.ts';
import type { Path } from '../source/schema/type.ts';
import type { Decoded } from '../translate/decoded.ts';
import { labelsMatch } from '../translate/names.ts';
import { portMtls, workloadMtls } from '../translate/peer-authentication.ts';

type Tls = { readonly mode?: string | undefined } | undefined;
type Labels = Readonly<Record<string, string>>;

/** TLS that a DestinationRule asks of its clients and the servers do not take, or the other way round. */
export function tlsConflicts(
  rule: Decoded<'DestinationRule'>,
  covered: readonly MeshService[],
  mesh: Mesh,
): readonly Finding[] {
  const { trafficPolicy, subsets = [] } = rule.value;
  const findings: Finding[] = [];
  const look = (tls: Tls, labels: Labels, port: number | null, except: ReadonlySet<number>, path: Path): void => {
    if (tls === undefined) return;
    const mode = tls.mode ?? 'DISABLE';
    for (const service of covered) {
      if (service.external) continue;
      const found = conflict(mode, service, labels, port, except, mesh);
      if (found === null) continue;
      findings.push(findingAt(rule.object, 'error', 'tls-conflict', [...path, 'tls'], found));
      return;
    }
  };
  const policies = [
    { policy: trafficPolicy, labels: {}, path: ['spec', 'trafficPolicy'] },
    ...subsets.map((subset, i) => ({
      policy: subset.trafficPolicy,
      labels: subset.labels ?? {},
      path: ['spec', 'subsets', i, 'trafficPolicy'],
    })),
  ];
  for (const { policy, labels, path } of policies) {
    const ports = policy?.portLevelSettings ?? [];
    look(policy?.tls, labels, null, new Set(ports.map(({ port }) => port.number ?? 0)), path);
    for (const [i, { port, tls }] of ports.entries()) {
      look(tls, labels, port.number ?? 0, new Set(), [...path, 'portLevelSettings', i]);
    }
  }
  return findings;
}

/** What goes wrong with the first endpoint that it goes wrong with; null: nothing. */
function conflict(
  mode: string,
  service: MeshService,
  labels: Labels,
  port: number | null,
  except: ReadonlySet<number>,
  mesh: Mesh,
): string | null {
  for (const endpoint of service.endpoints) {
    if (!labelsMatch(labels, endpoint.labels)) continue;
    for (const [number, own] of endpoint.ports) {
      if (port === null ? except.has(number) : port !== number) continue;
      const found = mode === 'ISTIO_MUTUAL' ? unspoken(endpoint, own, service) : refused(endpoint, own, service, mesh);
      if (found !== null) return found;
    }
  }
  return null;
}

function unspoken({ identity, plainPorts, workload, address }: ServiceEndpoint, port: number, { host }: MeshService) {
  if (identity !== undefined && plainPorts?.has(port) !== true) return null;
  const who = workload || address;
  const why =
    identity === undefined
      ? 'has no proxy with a certificate, or takes plain text alone'
      : `takes plain text on port ${port}`;
  return `calls to ${host} fail: ${who} ${why}; leave tls out, and each endpoint is called as it can be`;
}

function refused({ workload, labels, address }: ServiceEndpoint, port: number, { host }: MeshService, mesh: Mesh) {
  const namespace = workload.slice(workload.lastIndexOf('.') + 1);
  const taken = workloadMtls(mesh.peerAuthentications, namespace, labels, mesh.settings.rootNamespace);
  if (workload === '' || portMtls(taken, port) !== 'STRICT') return null;
  const policy = taken.written === '' ? 'its PeerAuthentication' : taken.written;
  return `calls to ${host} are refused: ${policy} makes ${workload || address} take mutual TLS alone; write ISTIO_MUTUAL, or leave tls out`;
}
