import type { Path, Sink } from '../../source/schema/type.ts';
import { hostMatches } from '../names.ts';
import { checkPort, isWildcardHost } from './check.ts';
import type { TlsRouteSpec } from './fields/virtual-service.ts';

/** What Istio asks of TLS routes beyond the types. `hosts`: those of the VirtualService. */
export function checkTlsRoute(route: TlsRouteSpec, hosts: readonly string[], path: Path, sink: Sink): void {
  if (route.match.length === 0) sink.error('missing-field', [...path, 'match'], 'at least one match is required');
  if (route.route.length === 0) sink.error('missing-field', [...path, 'route'], 'at least one destination is required');
  for (const [i, match] of route.match.entries()) {
    const at = [...path, 'match', i];
    if (match.port !== undefined) checkPort(match.port, [...at, 'port'], sink);
    if (match.sniHosts.length === 0) {
      sink.error('missing-field', [...at, 'sniHosts'], 'at least one name of the handshake is required');
    }
    for (const [j, name] of match.sniHosts.entries()) {
      const where = [...at, 'sniHosts', j];
      if (!isWildcardHost(name)) {
        sink.error('invalid-host', where, `${JSON.stringify(name)} is not a host: write a name, *.name or *`);
      } else if (!hosts.some((host) => hostMatches(host.toLowerCase(), name.toLowerCase()))) {
        sink.error('invalid-host', where, `${name} is none of the hosts of the VirtualService: ${hosts.join(', ')}`);
      }
    }
  }
  for (const [i, { weight = 0 }] of route.route.entries()) {
    if (weight < 0 || weight > 1_000_000) {
      sink.error('out-of-range', [...path, 'route', i, 'weight'], `expected 0 to 1000000, got ${weight}`);
    }
  }
}
