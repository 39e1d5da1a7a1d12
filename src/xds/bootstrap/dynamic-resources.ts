import type { Bootstrap_DynamicResources } from '../proto/gen/envoy/config/bootstrap/v3.ts';
import type * as core from '../proto/gen/envoy/config/core/v3.ts';
import type { Decoding } from '../resources/decoding.ts';

/** The server that all discovery goes through. */
export interface AdsSource {
  /** Incremental xDS. */
  readonly delta: boolean;
  readonly target: { readonly kind: 'cluster'; readonly name: string } | { readonly kind: 'uri'; readonly uri: string };
  /** `:authority` of the stream; '' for the target's own. */
  readonly authority: string;
  readonly initialMetadata: readonly { readonly name: string; readonly value: string }[];
}

/** Where listeners or clusters come from, besides the bootstrap itself. */
export type ResourceSource = { readonly kind: 'ads' } | { readonly kind: 'file'; readonly path: string };

export interface DynamicResources {
  readonly ads: AdsSource | null;
  readonly listeners: ResourceSource | null;
  readonly clusters: ResourceSource | null;
}

export function decodeDynamic(
  dynamic: Bootstrap_DynamicResources | undefined,
  path: string,
  s: Decoding,
): DynamicResources {
  const ads = dynamic?.ads_config === undefined ? null : decodeAds(dynamic.ads_config, `${path}.ads_config`, s);
  const source = (name: 'lds_config' | 'cds_config'): ResourceSource | null =>
    dynamic?.[name] === undefined ? null : decodeSource(dynamic[name], `${path}.${name}`, s, ads !== null);
  return { ads, listeners: source('lds_config'), clusters: source('cds_config') };
}

function decodeSource(source: core.ConfigSource, path: string, s: Decoding, hasAds: boolean): ResourceSource | null {
  const file = source.path_config_source?.path ?? source.path;
  if (file !== undefined) return { kind: 'file', path: file };
  if (source.ads === undefined && source.self === undefined) return null;
  if (!hasAds) s.error(path, 'asks for ADS, but dynamic_resources.ads_config is not given');
  return { kind: 'ads' };
}

function decodeAds(config: core.ApiConfigSource, path: string, s: Decoding): AdsSource | null {
  const services = config.grpc_services ?? [];
  const service = services[0];
  if (service === undefined) {
    s.error(
      `${path}.grpc_services`,
      'is needed: envoy_grpc with the cluster_name of the control server, or google_grpc with its target_uri',
    );
    return null;
  }
  if (services.length > 1) s.noEffect(`${path}.grpc_services`, 'only the first server is used');
  const { cluster_name: name = '', authority = '' } = service.envoy_grpc ?? {};
  return {
    delta: config.api_type === 'DELTA_GRPC',
    target:
      service.google_grpc === undefined
        ? { kind: 'cluster', name }
        : { kind: 'uri', uri: service.google_grpc.target_uri ?? '' },
    authority,
    initialMetadata: (service.initial_metadata ?? []).map(({ key = '', value = '' }) => ({
      name: key.toLowerCase(),
      value,
    })),
  };
}
