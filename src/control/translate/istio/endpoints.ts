import type { Mesh } from '../../mesh/mesh.ts';
import type { MeshService, Workload } from '../../mesh/service.ts';
import type { DecodedChange } from '../decoded.ts';
import { type MadeService, sameService } from '../kubernetes/endpoint-index.ts';
import { podWorkload } from '../kubernetes/pod.ts';
import type { Translation } from './mesh.ts';

/** A translation of which only endpoints differ from the one before. */
export interface MovedEndpoints {
  readonly translation: Translation;
  /** The services that have others now. */
  readonly services: readonly MeshService[];
}

/**
 * What `translate` would give after changes of EndpointSlices and Pods, at the cost of the services behind them. null
 * when it takes a look at everything: then `previous` must not be followed any more, but translated anew.
 */
export function followEndpoints(previous: Translation, changes: readonly DecodedChange[]): MovedEndpoints | null {
  const pods = changes.some(({ before, after }) => (after ?? before)?.kind === 'Pod');
  if (pods && previous.selectsPods) return null;
  const { index, memo, mesh, aliased } = previous;
  const keys = index.follow(changes);
  if (keys === null) return null;
  const services: MeshService[] = [];
  for (const key of keys) {
    const parts = index.parts(key);
    if (parts === undefined) continue;
    const before = memo.peek(`service ${key}`) as MadeService | undefined;
    const made = parts.make();
    if (before === undefined || before.findings.length > 0 || made.findings.length > 0) return null;
    const same = sameService(before.service, made.service);
    memo.put(`service ${key}`, parts.inputs, same ? before : made);
    if (same) continue;
    // Somebody else has this host, or others share its endpoints.
    if (mesh.services.get(made.service.host) !== before.service || aliased.has(made.service.host)) return null;
    services.push(made.service);
  }
  if (services.length === 0 && !pods) return { translation: previous, services };
  const all = new Map(mesh.services);
  for (const service of services) all.set(service.host, service);
  return { translation: { ...previous, mesh: moved(previous, all) }, services };
}

function moved({ mesh, index, entryWorkloads }: Translation, services: ReadonlyMap<string, MeshService>): Mesh {
  return {
    services,
    places: mesh.places,
    routes: mesh.routes,
    tlsRoutes: mesh.tlsRoutes,
    policies: mesh.policies,
    gateways: mesh.gateways,
    secrets: mesh.secrets,
    peerAuthentications: mesh.peerAuthentications,
    rateLimits: mesh.rateLimits,
    sidecars: mesh.sidecars,
    settings: mesh.settings,
    domain: mesh.domain,
    // As many as there are pods, and not a part of what is emitted: made when somebody asks.
    get workloads(): readonly Workload[] {
      return [...index.pods.flatMap((pod) => podWorkload(pod) ?? []), ...entryWorkloads];
    },
  };
}
