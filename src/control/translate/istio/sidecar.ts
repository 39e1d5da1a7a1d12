import type { EgressHost, SidecarScope } from '../../mesh/sidecar-scope.ts';
import { objectName } from '../../source/collection.ts';
import { placeOf } from '../../source/finding.ts';
import type { Sink } from '../../source/schema/type.ts';
import type { Decoded } from '../decoded.ts';
import { isAddress } from '../names.ts';
import { isLabel, isWildcardHost } from './check.ts';
import type { SidecarSpec } from './fields/sidecar.ts';

export function checkSidecar(spec: SidecarSpec, sink: Sink): void {
  for (const [i, { hosts = [] }] of (spec.egress ?? []).entries()) {
    const path = ['spec', 'egress', i, 'hosts'];
    if (hosts.length === 0) sink.error('missing-field', path, 'at least one host is required, such as ./* or */*');
    for (const [j, text] of hosts.entries()) checkHost(text, [...path, j], sink);
  }
}

/** Istio: `namespace/dnsName`, the namespace being a name, `.` for the own, `*` for any, `~` for none. */
function checkHost(text: string, path: readonly (string | number)[], sink: Sink): void {
  const [namespace = '', host, ...more] = text.split('/');
  if (host === undefined || more.length > 0) {
    sink.error(
      'invalid-host',
      path,
      `expected namespace/host, such as ./* or prod/*.example.com, got ${JSON.stringify(text)}`,
    );
    return;
  }
  if (!['*', '.', '~'].includes(namespace) && !isLabel(namespace)) {
    sink.error(
      'invalid-host',
      path,
      `expected ".", "*", "~" or a namespace before "/", got ${JSON.stringify(namespace)}`,
    );
  }
  if (!isWildcardHost(host) && !isAddress(host)) {
    sink.error('invalid-host', path, `${JSON.stringify(host)} is not a host: write a name, *.name or *`);
  }
}

export function sidecarScope({ object, value }: Decoded<'Sidecar'>): SidecarScope {
  const { namespace } = object;
  const listeners = value.egress ?? [];
  return {
    namespace,
    selector: value.workloadSelector?.labels ?? {},
    egress: listeners.length === 0 ? null : listeners.map(({ hosts }) => (hosts ?? []).flatMap(egressHost)),
    outbound: value.outboundTrafficPolicy?.mode ?? null,
    written: { object: objectName(object), place: placeOf(object, ['spec']) },
  };
}

function egressHost(text: string): EgressHost[] {
  const slash = text.indexOf('/');
  const namespace = text.slice(0, slash);
  // None.
  if (namespace === '~') return [];
  return [{ namespace, host: text.slice(slash + 1).toLowerCase() }];
}
