import type { KeepAlive } from '../../mesh/settings.ts';
import type {
  ClientTls,
  ConnectionPool,
  Outlier,
  PortPolicy,
  Subset,
  TrafficPolicy,
  TrafficPolicyRule,
} from '../../mesh/traffic-policy.ts';
import { type Finding, objectName } from '../../source/collection.ts';
import { findingAt, placeOf } from '../../source/finding.ts';
import type { Decoded } from '../decoded.ts';
import { compareAge, compareHosts, exportedTo, fullHost } from '../names.ts';
import type {
  PortTrafficPolicySpec,
  SubsetSpec,
  TcpKeepaliveSpec,
  TrafficPolicySpec,
} from './fields/destination-rule.ts';

type DestinationRule = Decoded<'DestinationRule'>;

/**
 * Traffic policies, most specific host first. Rules of one namespace for the same host with the same selector and
 * visibility are one, as in Istio: the first rule's policy counts (the next one's where it has none), subsets
 * are added up, and a subset given twice is the first one's.
 */
export function trafficPolicies(rules: readonly DestinationRule[]): {
  readonly policies: readonly TrafficPolicyRule[];
  readonly findings: readonly Finding[];
} {
  const groups = new Map<string, DestinationRule[]>();
  for (const rule of rules.toSorted((a, b) => compareAge(a.object, b.object))) {
    const { namespace } = rule.object;
    const selector = Object.entries(rule.value.workloadSelector?.matchLabels ?? {}).sort();
    const key = JSON.stringify([
      fullHost(rule.value.host, namespace),
      namespace,
      exportedTo(rule.value.exportTo, namespace),
      selector,
    ]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [rule]);
    else group.push(rule);
  }
  const findings: Finding[] = [];
  const policies = [...groups.values()].map((group) => mergeRules(group, findings));
  policies.sort(
    (a, b) => compareHosts(a.host, b.host) || (a.namespace < b.namespace ? -1 : a.namespace > b.namespace ? 1 : 0),
  );
  return { policies, findings };
}

function mergeRules(group: readonly DestinationRule[], findings: Finding[]): TrafficPolicyRule {
  const [first] = group;
  if (first === undefined) throw new Error('an empty group of DestinationRules');
  const policyOwner = group.find((rule) => rule.value.trafficPolicy !== undefined) ?? first;
  const policy = policyOwner.value.trafficPolicy;
  const subsets = new Map<string, { spec: SubsetSpec; owner: DestinationRule }>();
  for (const rule of group) {
    if (rule !== policyOwner && rule.value.trafficPolicy !== undefined) {
      findings.push(
        findingAt(
          rule.object,
          'warning',
          'conflicting-policy',
          ['spec', 'trafficPolicy'],
          `has no effect: ${where(policyOwner)} comes first and has one for the same host`,
        ),
      );
    }
    for (const [i, spec] of (rule.value.subsets ?? []).entries()) {
      const other = subsets.get(spec.name);
      if (other === undefined) subsets.set(spec.name, { spec, owner: rule });
      else
        findings.push(
          findingAt(
            rule.object,
            'warning',
            'duplicate-subset',
            ['spec', 'subsets', i],
            `the subset ${spec.name} of ${where(other.owner)} comes first and counts`,
          ),
        );
    }
  }
  return {
    host: fullHost(first.value.host, first.object.namespace),
    namespace: first.object.namespace,
    exportTo: exportedTo(first.value.exportTo, first.object.namespace),
    workloadSelector: first.value.workloadSelector?.matchLabels ?? {},
    policy: trafficPolicy(policy),
    subsets: [...subsets.values()].map(({ spec }) => meshSubset(spec, policy)),
    written: { object: objectName(first.object), place: placeOf(first.object) },
  };
}

function where(rule: DestinationRule): string {
  return `${objectName(rule.object)} (${placeOf(rule.object)})`;
}

function trafficPolicy(spec: TrafficPolicySpec | undefined): TrafficPolicy {
  const ports = (spec?.portLevelSettings ?? []).map((port) => [port.port.number ?? 0, portPolicy(port)] as const);
  return { base: portPolicy(spec ?? {}), ports: new Map(ports) };
}

/**
 * A subset's policy over its host's, section by section. Settings for a port replace all of the host's for that port
 * (Istio's rule, odd as it is); the retry budget has no port level and is inherited.
 */
function meshSubset(spec: SubsetSpec, hostSpec: TrafficPolicySpec | undefined): Subset {
  const host = trafficPolicy(hostSpec);
  const own = trafficPolicy(spec.trafficPolicy);
  const ports = new Map<number, PortPolicy>();
  for (const port of new Set([...host.ports.keys(), ...own.ports.keys()])) {
    const below = host.ports.get(port) ?? host.base;
    const above = own.ports.get(port);
    ports.set(port, above === undefined ? override(below, own.base) : { ...above, retryBudget: below.retryBudget });
  }
  return { name: spec.name, labels: spec.labels ?? {}, policy: { base: override(host.base, own.base), ports } };
}

function override(below: PortPolicy, above: PortPolicy): PortPolicy {
  return {
    loadBalancer: above.loadBalancer ?? below.loadBalancer,
    connectionPool: above.connectionPool ?? below.connectionPool,
    outlierDetection: above.outlierDetection ?? below.outlierDetection,
    tls: above.tls ?? below.tls,
    retryBudget: above.retryBudget ?? below.retryBudget,
  };
}

function portPolicy(spec: TrafficPolicySpec | Omit<PortTrafficPolicySpec, 'port'>): PortPolicy {
  const budget = 'retryBudget' in spec ? spec.retryBudget : undefined;
  return {
    loadBalancer: loadBalancer(spec.loadBalancer?.simple),
    connectionPool: connectionPool(spec.connectionPool),
    outlierDetection: outlier(spec.outlierDetection),
    tls: clientTls(spec.tls),
    retryBudget:
      budget === undefined
        ? null
        : { percent: budget.percent ?? 20, minRetryConcurrency: budget.minRetryConcurrency ?? 3 },
  };
}

function clientTls(spec: TrafficPolicySpec['tls']): ClientTls | null {
  if (spec === undefined) return null;
  const { mode = 'DISABLE' } = spec;
  return {
    mode: mode === 'SIMPLE' || mode === 'MUTUAL' || mode === 'ISTIO_MUTUAL' ? mode : 'DISABLE',
    clientCertificate: spec.clientCertificate ?? '',
    privateKey: spec.privateKey ?? '',
    caCertificates: spec.caCertificates ?? '',
    caCrl: spec.caCrl ?? '',
    sni: spec.sni ?? '',
    subjectAltNames: spec.subjectAltNames ?? [],
    insecureSkipVerify: spec.insecureSkipVerify ?? false,
  };
}

function loadBalancer(simple: string | undefined): PortPolicy['loadBalancer'] {
  // LEAST_CONN is the older name.
  if (simple === 'LEAST_CONN' || simple === 'LEAST_REQUEST') return 'LEAST_REQUEST';
  if (simple === 'ROUND_ROBIN' || simple === 'RANDOM' || simple === 'PASSTHROUGH') return simple;
  return null;
}

function connectionPool(spec: TrafficPolicySpec['connectionPool']): ConnectionPool | null {
  if (spec === undefined) return null;
  const { tcp, http } = spec;
  return {
    maxConnections: limit(tcp?.maxConnections),
    connectTimeoutMs: tcp?.connectTimeout ?? null,
    tcpIdleTimeoutMs: tcp?.idleTimeout ?? null,
    keepAlive: keepAlive(tcp?.tcpKeepalive),
    maxPendingRequests: limit(http?.http1MaxPendingRequests),
    maxRequests: limit(http?.http2MaxRequests),
    maxRequestsPerConnection: limit(http?.maxRequestsPerConnection),
    maxRetries: limit(http?.maxRetries),
    httpIdleTimeoutMs: http?.idleTimeout ?? null,
  };
}

/** Times and numbers of 0 are the system's, as in Istio. */
export function keepAlive(spec: TcpKeepaliveSpec | undefined): KeepAlive | null {
  if (spec === undefined) return null;
  return { probes: limit(spec.probes), timeMs: limit(spec.time), intervalMs: limit(spec.interval) };
}

/** These are plain integers in the proto: 0 is "not given". */
function limit(value: number | undefined): number | null {
  return value === undefined || value === 0 ? null : value;
}

function outlier(spec: TrafficPolicySpec['outlierDetection']): Outlier | null {
  if (spec === undefined) return null;
  return {
    consecutive5xx: spec.consecutive5xxErrors ?? null,
    // The field before it was deprecated counted gateway errors.
    consecutiveGatewayErrors: spec.consecutiveGatewayErrors ?? (spec.consecutiveErrors || null),
    consecutiveLocalOriginFailures: spec.consecutiveLocalOriginFailures ?? null,
    splitExternalLocalOriginErrors: spec.splitExternalLocalOriginErrors ?? false,
    intervalMs: spec.interval ?? 10_000,
    baseEjectionTimeMs: spec.baseEjectionTime ?? 30_000,
    maxEjectionPercent: spec.maxEjectionPercent || 10,
    minHealthPercent: spec.minHealthPercent ?? 0,
  };
}
