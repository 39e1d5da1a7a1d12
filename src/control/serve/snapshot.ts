import { createHash } from 'node:crypto';
import { type Any, encode, type MessageType, typeUrl } from '../../xds/proto/codec.ts';
import type { Cluster } from '../../xds/proto/gen/envoy/config/cluster/v3.ts';
import type { ClusterLoadAssignment } from '../../xds/proto/gen/envoy/config/endpoint/v3.ts';
import type { Listener } from '../../xds/proto/gen/envoy/config/listener/v3.ts';
import type { RouteConfiguration, VirtualHost } from '../../xds/proto/gen/envoy/config/route/v3.ts';
import type { Secret } from '../../xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import type { NameTable } from '../../xds/proto/gen/istio/networking/nds/v1.ts';
import { type Reference, referencesOf } from './references.ts';
import { ENDPOINT, shortName, VIRTUAL_HOST } from './type-urls.ts';

/** A resource as it is sent: encoded once, however many proxies get it. Immutable. */
export interface ResourceEntry {
  readonly name: string;
  /** Hash of the bytes: the same resource has the same version in every process. */
  readonly version: string;
  readonly any: Any;
  readonly references: readonly Reference[];
  /** Of a virtual host: what requests name it by. */
  readonly domains?: readonly string[];
}

/** Resources of one type by name. Never changed once published; an unchanged type keeps its map. */
export type Resources = ReadonlyMap<string, ResourceEntry>;

/** What one proxy is to run by. */
export interface ProxySnapshot {
  /** The source's own; two snapshots with the same version are the same. */
  readonly version: string;
  readonly resources: ReadonlyMap<string, Resources>;
  /** Virtual hosts, and the clusters that they alone name, go to whoever asks for the host. */
  readonly onDemand?: boolean;
  /** What is made for whoever asks for a host that none of the virtual hosts is for; null: there is no such instance. */
  readonly instance?: (asked: string) => Instance | null;
}

/** One instance of a service by its own address. */
export interface Instance {
  /** Its name is what was asked for. */
  readonly host: ResourceEntry;
  readonly clusters: readonly ResourceEntry[];
}

const NONE: Resources = new Map();

export function resourcesOf(snapshot: ProxySnapshot, url: string): Resources {
  return snapshot.resources.get(url) ?? NONE;
}

type ResourceMessage =
  | Listener
  | RouteConfiguration
  | VirtualHost
  | Cluster
  | ClusterLoadAssignment
  | Secret
  | NameTable;

/** Encodes a resource; its version and its references come from it, and its name unless its type has none. */
export function resourceEntry<T extends ResourceMessage>(type: MessageType<T>, message: T, name = ''): ResourceEntry {
  const url = typeUrl(type);
  const value = encode(type, message);
  return {
    name: name || nameOf(url, message),
    version: createHash('sha256').update(value).digest('base64url').slice(0, 16),
    any: { type_url: url, value },
    references: referencesOf(url, message),
    ...(url === VIRTUAL_HOST ? { domains: (message as VirtualHost).domains ?? [] } : {}),
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

/** A version for a type as a whole, the same in every process for the same resources. */
export function versionOf(resources: Resources): string {
  return facts(resources).version;
}

/** Sums of the entries' hashes, so that a change of one entry costs one entry. */
const LANES = 4;
/** How many maps back a client's map is still known. */
const MOST_STEPS = 32;

/** What is known of a map beside its entries. */
interface Facts {
  readonly sum: Uint32Array;
  readonly version: string;
  /** The same for all maps that have the same names because one was derived from the other. */
  readonly names: object;
  /** The maps that this one was derived from, youngest last, each with the names that changed after it. */
  readonly steps: readonly { readonly from: object; readonly changed: readonly string[] }[];
  /** Stands for the map in `steps`, without keeping it. */
  readonly id: object;
}

const known = new WeakMap<Resources, Facts>();
const hashes = new WeakMap<ResourceEntry, Uint32Array>();

function facts(resources: Resources): Facts {
  let found = known.get(resources);
  if (found === undefined) {
    const sum = new Uint32Array(LANES);
    for (const entry of resources.values()) add(sum, hashOf(entry), 1);
    found = { sum, version: versionText(sum), names: {}, steps: [], id: {} };
    known.set(resources, found);
  }
  return found;
}

function hashOf(entry: ResourceEntry): Uint32Array {
  let hash = hashes.get(entry);
  if (hash === undefined) {
    const digest = createHash('sha256').update(`${entry.name}\0${entry.version}`).digest();
    hash = Uint32Array.from({ length: LANES }, (_, i) => digest.readUInt32LE(i * 4));
    hashes.set(entry, hash);
  }
  return hash;
}

function add(sum: Uint32Array, hash: Uint32Array, sign: 1 | -1): void {
  for (let i = 0; i < LANES; i++) sum[i] = (sum[i] ?? 0) + sign * (hash[i] ?? 0);
}

function versionText(sum: Uint32Array): string {
  return Buffer.from(sum.buffer).toString('base64url').slice(0, 16);
}

/**
 * The map with some entries in the place of those of the same name. Who had the map before need not compare the two:
 * `changedSince` knows what differs.
 */
export function replaceEntries(resources: Resources, entries: readonly ResourceEntry[]): Resources {
  const before = facts(resources);
  const replaced = new Map(resources);
  const sum = before.sum.slice();
  const changed: string[] = [];
  for (const entry of entries) {
    const old = resources.get(entry.name);
    if (old === undefined || old.version === entry.version) continue;
    replaced.set(entry.name, entry);
    add(sum, hashOf(old), -1);
    add(sum, hashOf(entry), 1);
    changed.push(entry.name);
  }
  if (changed.length === 0) return resources;
  const steps = [...before.steps.slice(1 - MOST_STEPS), { from: before.id, changed }];
  known.set(replaced, { sum, version: versionText(sum), names: before.names, steps, id: {} });
  return replaced;
}

/** Names of the entries in which `now` differs from the map that it was derived from; null when it was not, or long ago. */
export function changedSince(now: Resources, before: Resources): readonly string[] | null {
  if (now === before) return [];
  const steps = known.get(now)?.steps ?? [];
  const id = known.get(before)?.id;
  const at = id === undefined ? -1 : steps.findIndex(({ from }) => from === id);
  if (at < 0) return null;
  return at === steps.length - 1 ? (steps[at]?.changed ?? []) : steps.slice(at).flatMap(({ changed }) => changed);
}

/** The same object for as long as the names in a map stay the same, where that can be told. */
export function namesOf(resources: Resources): object {
  return facts(resources).names;
}
