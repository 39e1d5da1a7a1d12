import type { Path, Sink } from '../../source/schema/type.ts';
import { isAddress } from '../names.ts';
import { checkExportTo, checkPort, checkRange, isLabel, isWildcardHost } from './check.ts';
import type { DestinationRuleSpec, PortTrafficPolicySpec, TrafficPolicySpec } from './fields/destination-rule.ts';

/** What Istio's own validation asks of a DestinationRule beyond the types. */
export function checkDestinationRule(spec: DestinationRuleSpec, sink: Sink): void {
  if (!isWildcardHost(spec.host) && !isAddress(spec.host)) {
    sink.error(
      'invalid-host',
      ['spec', 'host'],
      `${JSON.stringify(spec.host)} is not a host: write a name, *.name or *`,
    );
  }
  checkExportTo(spec.exportTo, ['spec', 'exportTo'], sink);
  checkPolicy(spec.trafficPolicy, ['spec', 'trafficPolicy'], sink);
  const names = new Set<string>();
  for (const [i, subset] of (spec.subsets ?? []).entries()) {
    const path = ['spec', 'subsets', i];
    if (!isLabel(subset.name)) {
      sink.error(
        'invalid-value',
        [...path, 'name'],
        `${JSON.stringify(subset.name)} is not a subset's name: lower case letters, digits and -`,
      );
    }
    if (names.has(subset.name))
      sink.error('duplicate-subset', [...path, 'name'], `the subset ${subset.name} is given twice`);
    names.add(subset.name);
    checkPolicy(subset.trafficPolicy, [...path, 'trafficPolicy'], sink);
  }
}

function checkPolicy(policy: TrafficPolicySpec | undefined, path: Path, sink: Sink): void {
  if (policy === undefined) return;
  checkSections(policy, path, sink);
  checkRange(policy.retryBudget?.percent, 0, 100, [...path, 'retryBudget', 'percent'], sink);
  const ports = new Set<number>();
  for (const [i, settings] of (policy.portLevelSettings ?? []).entries()) {
    const at = [...path, 'portLevelSettings', i];
    const number = settings.port.number ?? 0;
    checkPort(number, [...at, 'port', 'number'], sink);
    if (ports.has(number)) sink.error('duplicate-port', [...at, 'port', 'number'], `port ${number} is given twice`);
    ports.add(number);
    checkSections(settings, at, sink);
  }
}

function checkSections(policy: TrafficPolicySpec | PortTrafficPolicySpec, path: Path, sink: Sink): void {
  const pool = policy.connectionPool;
  if (pool !== undefined) {
    if (pool.tcp === undefined && pool.http === undefined)
      sink.error('missing-field', [...path, 'connectionPool'], 'one of tcp and http is required');
    checkPositive(pool.tcp, ['maxConnections'], [...path, 'connectionPool', 'tcp'], sink);
    checkPositive(
      pool.http,
      ['http1MaxPendingRequests', 'http2MaxRequests', 'maxRequestsPerConnection', 'maxRetries'],
      [...path, 'connectionPool', 'http'],
      sink,
    );
    if (pool.tcp?.connectTimeout === 0)
      sink.error(
        'out-of-range',
        [...path, 'connectionPool', 'tcp', 'connectTimeout'],
        'expected a duration of at least 1ms',
      );
  }
  checkTls(policy.tls, [...path, 'tls'], sink);
  const outlier = policy.outlierDetection;
  if (outlier !== undefined) {
    const at = [...path, 'outlierDetection'];
    checkRange(outlier.maxEjectionPercent, 0, 100, [...at, 'maxEjectionPercent'], sink);
    checkRange(outlier.minHealthPercent, 0, 100, [...at, 'minHealthPercent'], sink);
    if (outlier.interval === 0) sink.error('out-of-range', [...at, 'interval'], 'expected a duration of at least 1ms');
    if (outlier.baseEjectionTime === 0)
      sink.error('out-of-range', [...at, 'baseEjectionTime'], 'expected a duration of at least 1ms');
    checkPositive(outlier, ['consecutiveErrors'], at, sink);
    if (outlier.splitExternalLocalOriginErrors !== true && (outlier.consecutiveLocalOriginFailures ?? 0) > 0) {
      sink.error(
        'conflicting-fields',
        [...at, 'consecutiveLocalOriginFailures'],
        'it counts only with splitExternalLocalOriginErrors: true',
      );
    }
  }
}

/** Istio's rules of files and modes; a key or a root that nobody reads would look as if it protected something. */
function checkTls(tls: TrafficPolicySpec['tls'], path: Path, sink: Sink): void {
  if (tls === undefined) return;
  if (Buffer.byteLength(tls.sni ?? '') > 255)
    sink.error('invalid-value', [...path, 'sni'], 'a name in a handshake has 255 bytes at most');
  const { mode = 'DISABLE', clientCertificate = '', privateKey = '', caCertificates = '' } = tls;
  const given = Object.entries({ clientCertificate, privateKey, caCertificates }).filter(([, text]) => text !== '');
  if (mode === 'MUTUAL') {
    for (const name of ['clientCertificate', 'privateKey'] as const) {
      if (!tls[name]) sink.error('missing-field', path, `${name} is required for mode MUTUAL: a file of the proxy's`);
    }
  } else if (mode === 'ISTIO_MUTUAL') {
    for (const [name] of given) {
      sink.error(
        'conflicting-fields',
        [...path, name],
        'mode ISTIO_MUTUAL takes its certificates from the mesh: leave it out, or write MUTUAL',
      );
    }
  } else if (clientCertificate !== '' || privateKey !== '') {
    sink.error('conflicting-fields', path, `a client certificate is for mode MUTUAL, not ${mode}`);
  }
  if (tls.insecureSkipVerify === true && caCertificates !== '') {
    sink.error(
      'conflicting-fields',
      [...path, 'caCertificates'],
      'nothing is verified with insecureSkipVerify: leave one of them out',
    );
  }
}

function checkPositive<K extends string>(
  section: { readonly [P in K]?: number } | undefined,
  keys: readonly K[],
  path: Path,
  sink: Sink,
): void {
  for (const key of keys) {
    const value = section?.[key];
    if (value !== undefined && value < 0)
      sink.error('out-of-range', [...path, key], `expected a number of at least 0, got ${value}`);
  }
}
