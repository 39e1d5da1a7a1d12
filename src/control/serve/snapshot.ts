import { createHash } from 'node:crypto';
import { type Any, encode, type MessageType, typeUrl } from '../../xds/proto/codec.ts';
import type { Cluster } from '../../xds/proto/gen/envoy/config/cluster/v3.ts';
import type { ClusterLoadAssignment } from '../../xds/proto/gen/envoy/config/endpoint/v3.ts';
import type { Listener } from '../../xds/proto/gen/envoy/config/listener/v3.ts';
import type { RouteConfiguration } from '../../xds/proto/gen/envoy/config/route/v3.ts';
import type { Secret } from '../../xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import { type Reference, referencesOf } from './references.ts';
import { ENDPOINT, shortName } from './type-urls.ts';

/** A resource as it is sent: encoded once, however many proxies get it. Immutable. */
export interface ResourceEntry {
  readonly name: string;
  /** Hash of the bytes: the same resource has the same version in every process. */
  readonly version: string;
  readonly any: Any;
  readonly references: readonly Reference[];
}

/** Resources of one type by name. Never changed once published; an unchanged type keeps its map. */
export type Resources = ReadonlyMap<string, ResourceEntry>;

/** What one proxy is to run by. */
export interface ProxySnapshot {
  /** The source's own; two snapshots with the same version are the same. */
  readonly version: string;
  readonly resources: ReadonlyMap<string, Resources>;
}

const NONE: Resources = new Map();

export function resourcesOf(snapshot: ProxySnapshot, url: string): Resources {
  return snapshot.resources.get(url) ?? NONE;
}

type ResourceMessage = Listener | RouteConfiguration | Cluster | ClusterLoadAssignment | Secret;

/** Encodes a resource; its version and its references come from it. */
export function resourceEntry<T extends ResourceMessage>(type: MessageType<T>, message: T): ResourceEntry {
  const url = typeUrl(type);
  const value = encode(type, message);
  return {
    name: nameOf(url, message),
    version: createHash('sha256').update(value).digest('base64url').slice(0, 16),
    any: { type_url: url, value },
    references: referencesOf(url, message),
  };
}

function nameOf(url: string, message: ResourceMessage): string {
  const name = url === ENDPOINT ? (message as ClusterLoadAssignment).cluster_name : (message as Cluster).name;
  if (name === undefined || name === '') throw new TypeError(`a ${shortName(url)} resource without a name`);
  return name;
}

/** Groups entries by type; of two with the same name the later one counts. */
export function proxySnapshot(version: string, entries: Iterable<ResourceEntry>): ProxySnapshot {
  const resources = new Map<string, Map<string, ResourceEntry>>();
  for (const entry of entries) {
    let ofType = resources.get(entry.any.type_url);
    if (ofType === undefined) {
      ofType = new Map();
      resources.set(entry.any.type_url, ofType);
    }
    ofType.set(entry.name, entry);
  }
  return { version, resources };
}

/** References that lead nowhere, one sentence each. A consistent snapshot has none. */
export function inconsistencies(snapshot: ProxySnapshot): string[] {
  const problems: string[] = [];
  for (const [url, resources] of snapshot.resources) {
    for (const entry of resources.values()) {
      for (const reference of entry.references) {
        if (resourcesOf(snapshot, reference.typeUrl).has(reference.name)) continue;
        problems.push(
          `${shortName(url)} ${JSON.stringify(entry.name)} refers to ${shortName(reference.typeUrl)} ${JSON.stringify(reference.name)}, which is not there`,
        );
      }
    }
  }
  return problems;
}

const versions = new WeakMap<Resources, string>();

/** A version for a type as a whole, the same in every process for the same resources. */
export function versionOf(resources: Resources): string {
  let version = versions.get(resources);
  if (version === undefined) {
    const hash = createHash('sha256');
    for (const name of [...resources.keys()].sort()) hash.update(`${name}\0${resources.get(name)?.version}\0`);
    version = hash.digest('base64url').slice(0, 16);
    versions.set(resources, version);
  }
  return version;
}
