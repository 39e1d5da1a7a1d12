import type { RuleDestination } from '../../mesh/route-rule.ts';
import type { TlsRouteRule } from '../../mesh/tls-route.ts';
import type { Finding } from '../../source/collection.ts';
import { findingAt } from '../../source/finding.ts';
import type { Decoded } from '../decoded.ts';
import { exportedTo, fullHost, gatewayName } from '../names.ts';
import { writtenAt } from './virtual-service.ts';
import { effectiveDestinations } from './weights.ts';

/** The TLS routes of VirtualServices, oldest first: of two for one name the first counts. */
export function tlsRoutes(
  services: readonly Decoded<'VirtualService'>[],
  hasSubset: (host: string, subset: string, namespace: string) => boolean,
): { readonly routes: readonly TlsRouteRule[]; readonly findings: readonly Finding[] } {
  const findings: Finding[] = [];
  const routes = services.flatMap(({ object, value }): TlsRouteRule[] => {
    const { namespace } = object;
    const gateways = value.gateways?.length ? value.gateways.map((name) => gatewayName(name, namespace)) : ['mesh'];
    if (value.tls !== undefined && gateways.includes('mesh')) {
      const message = 'TLS routes have an effect at gateways alone yet: in the mesh TLS goes to the service called';
      findings.push(findingAt(object, 'warning', 'no-effect', ['spec', 'tls'], message));
    }
    return (value.tls ?? []).map((route, i): TlsRouteRule => {
      const path = ['spec', 'tls', i];
      const written = route.route.map(({ destination, weight }): RuleDestination => {
        return {
          host: fullHost(destination.host, namespace),
          subset: destination.subset ?? '',
          port: destination.port?.number ?? 0,
          weight: weight ?? (route.route.length === 1 ? 1 : 0),
          headers: null,
        };
      });
      const { destinations, problems } = effectiveDestinations(written, (host, subset) =>
        hasSubset(host, subset, namespace),
      );
      for (const index of problems.missing) {
        const { host = '', subset = '' } = written[index] ?? {};
        const at = [...path, 'route', index, 'destination', 'subset'];
        const message = `no DestinationRule defines subset ${JSON.stringify(subset)} of ${host}`;
        findings.push(findingAt(object, 'error', 'missing-subset', at, message));
      }
      return {
        namespace,
        gateways,
        exportTo: exportedTo(value.exportTo, namespace),
        matches: route.match.map((match) => ({
          serverNames: match.sniHosts.map((name) => name.toLowerCase()),
          port: match.port ?? 0,
          gateways: (match.gateways ?? []).map((name) => gatewayName(name, namespace)),
          sourceLabels: match.sourceLabels ?? {},
          sourceNamespace: match.sourceNamespace ?? '',
        })),
        destinations,
        written: writtenAt(object, path),
      };
    });
  });
  return { routes, findings };
}
