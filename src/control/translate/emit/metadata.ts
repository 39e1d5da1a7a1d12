import type { JsonObject } from '../../../xds/proto/codec.ts';
import type { Metadata } from '../../../xds/proto/gen/envoy/config/core/v3.ts';
import type { Written } from '../../mesh/mesh.ts';
import type { MeshService } from '../../mesh/service.ts';
import { configPath } from './names.ts';

/** `VirtualService default/reviews (reviews.yaml:12)`, with what part of it behind. */
export function originText(written: Written, part = ''): string {
  const place = written.place === '' ? '' : ` (${written.place})`;
  return `${written.object}${place}${part === '' ? '' : ` ${part}`}`;
}

/** Where a route or a cluster comes from: for `explain` under `remora`, and as Istio's tools read it under `istio`. */
export function originMetadata(origin: string, istio: JsonObject): Metadata {
  const filter_metadata: Record<string, JsonObject> = {};
  if (Object.keys(istio).length > 0) filter_metadata.istio = istio;
  filter_metadata.remora = { origin };
  return { filter_metadata };
}

export function istioConfig(object: string): JsonObject {
  const config = configPath(object);
  return config === '' ? {} : { config };
}

export function istioService(service: Pick<MeshService, 'host' | 'name' | 'namespace'>): JsonObject {
  return { host: service.host, name: service.name, namespace: service.namespace };
}

/** For our proxies: where what is called at the addresses of a virtual host, and is no HTTP, goes. */
export function bytesTo(bytes_cluster: string) {
  return { filter_metadata: { remora: { bytes_cluster } } } as const;
}
