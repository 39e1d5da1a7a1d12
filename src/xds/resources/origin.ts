import type { JsonObject, JsonValue } from '../proto/codec.ts';
import type { Metadata } from '../proto/gen/envoy/config/core/v3.ts';

/** Where an object came from: our control server says it in `remora`, istiod in `istio`. */
export function originOf(metadata: Metadata | undefined): string {
  const ours = text(metadata?.filter_metadata?.remora?.origin);
  return ours !== '' ? ours : istioOrigin(text(metadata?.filter_metadata?.istio?.config));
}

/** `/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews` → `VirtualService default/reviews` */
function istioOrigin(config: string): string {
  const parts = /\/namespaces\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(config);
  if (parts === null) return config;
  const kind = parts[2]!.replace(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return `${kind} ${parts[1]}/${parts[3]}`;
}

/** The destination service of a cluster, `services[0]` of istio's metadata. */
export function serviceOf(metadata: Metadata | undefined): { host: string; name: string; namespace: string } | null {
  const services = metadata?.filter_metadata?.istio?.services;
  const first = Array.isArray(services) ? services[0] : undefined;
  if (!isObject(first)) return null;
  return { host: text(first.host), name: text(first.name), namespace: text(first.namespace) };
}

export function workloadOf(metadata: Metadata | undefined): string {
  return text(metadata?.filter_metadata?.istio?.workload);
}

/** The values of a struct as JSON, for comparing them. */
export function matchValues(struct: JsonObject | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(struct ?? {}).map(([key, value]) => [key, JSON.stringify(value)]));
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : '';
}
