import type { MtlsMode, PeerAuthenticationRule } from '../../mesh/authentication.ts';
import { DEFAULT_SETTINGS } from '../../mesh/settings.ts';
import { type ConfigObject, type Finding, objectName } from '../../source/collection.ts';
import { findingAt, placeOf } from '../../source/finding.ts';
import type { Sink } from '../../source/schema/type.ts';
import type { Decoded } from '../decoded.ts';
import type { PeerAuthenticationSpec } from './fields/peer-authentication.ts';

export function checkPeerAuthentication(spec: PeerAuthenticationSpec, sink: Sink, object: ConfigObject): void {
  const selects = Object.keys(spec.selector?.matchLabels ?? {}).length > 0;
  if (selects && object.namespace === DEFAULT_SETTINGS.rootNamespace) {
    sink.warning(
      'no-effect',
      ['spec', 'selector'],
      `a policy of ${object.namespace} that selects workloads is for nobody: write it in their namespace`,
    );
  }
  const ports = Object.keys(spec.portLevelMtls ?? {});
  for (const port of ports) {
    if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65535) {
      sink.error(
        'out-of-range',
        ['spec', 'portLevelMtls', port],
        `expected a port from 1 to 65535, got ${JSON.stringify(port)}`,
      );
    }
  }
  // Istio refuses it too: ports are those of the workload, and there is none.
  if (ports.length > 0 && !selects) {
    sink.error('missing-field', ['spec'], 'portLevelMtls needs a selector: it names ports of the workloads selected');
  }
}

/** Policies in order of age, and those that an older one of the same reach makes moot. */
export function peerAuthentications(objects: readonly Decoded<'PeerAuthentication'>[]): {
  readonly rules: readonly PeerAuthenticationRule[];
  readonly findings: readonly Finding[];
} {
  const findings: Finding[] = [];
  const general = new Map<string, Decoded<'PeerAuthentication'>>();
  const rules = objects.map((one): PeerAuthenticationRule => {
    const { object, value } = one;
    const selector = value.selector?.matchLabels ?? {};
    const older = Object.keys(selector).length > 0 ? undefined : general.get(object.namespace);
    if (older !== undefined) {
      const message = `has no effect: ${objectName(older.object)} (${placeOf(older.object)}) is older and for the same workloads`;
      findings.push(findingAt(object, 'warning', 'conflicting-policy', ['spec'], message));
    } else if (Object.keys(selector).length === 0) general.set(object.namespace, one);
    const ports = Object.entries(value.portLevelMtls ?? {}).map(
      ([port, { mode }]) => [Number(port), modeOf(mode)] as const,
    );
    return {
      namespace: object.namespace,
      selector,
      mode: modeOf(value.mtls?.mode),
      ports: new Map(ports),
      written: { object: objectName(object), place: placeOf(object) },
    };
  });
  return { rules, findings };
}

function modeOf(mode: string | undefined): MtlsMode | null {
  return mode === 'DISABLE' || mode === 'PERMISSIVE' || mode === 'STRICT' ? mode : null;
}
