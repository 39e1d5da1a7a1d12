import type { SocketAddress } from '../../model/address.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { Listener } from '../../model/listener.ts';
import type { OverloadConfig } from '../../model/overload.ts';
import type { TlsSecret } from '../../model/tls.ts';
import { fromJson, Problems } from '../proto/codec.ts';
import * as wire from '../proto/gen/envoy/config/bootstrap/v3.ts';
import { decodeAddress } from '../resources/address.ts';
import { decodeCluster } from '../resources/cluster.ts';
import type { DecodeContext, RuntimeMap } from '../resources/context.ts';
import { Decoding } from '../resources/decoding.ts';
import { decodeListener } from '../resources/listener.ts';
import { type Dependencies, dependenciesOf } from '../resources/resource-type.ts';
import { decodeSecret } from '../resources/secret.ts';
import { type ConfigDocument, type LocatedProblem, locateAll, readDocument } from './document.ts';
import { type AdsSource, type DynamicResources, decodeDynamic, type ResourceSource } from './dynamic-resources.ts';
import { decodeNode, type NodeConfig } from './node.ts';
import { decodeOverload } from './overload.ts';
import { decodeRuntime } from './runtime-layers.ts';
import { decodeStats, type StatsConfig } from './stats-config.ts';

export type { AdsSource } from './dynamic-resources.ts';

/** envoy.config.bootstrap.v3.Bootstrap, resolved. */
export interface Bootstrap {
  readonly node: NodeConfig;
  /** null: no admin port. */
  readonly admin: SocketAddress | null;
  readonly listeners: readonly Listener[];
  readonly clusters: readonly Cluster[];
  readonly secrets: readonly TlsSecret[];
  readonly ads: AdsSource | null;
  /** Where more listeners and clusters come from. */
  readonly listenerSource: ResourceSource | null;
  readonly clusterSource: ResourceSource | null;
  readonly runtime: RuntimeMap;
  readonly stats: StatsConfig;
  /** What is shed when a resource runs short; null: only the limit of connections, by the descriptors. */
  readonly overload: OverloadConfig | null;
  /** The cluster this proxy belongs to; '' unknown. */
  readonly localCluster: string;
  /** File of ejection events; '' none. */
  readonly outlierLogPath: string;
  /** What the static listeners and clusters wait for from discovery. */
  readonly dependencies: Dependencies;
}

export type BootstrapResult =
  | { readonly ok: true; readonly bootstrap: Bootstrap; readonly warnings: readonly LocatedProblem[] }
  | { readonly ok: false; readonly problems: readonly LocatedProblem[]; readonly warnings: readonly LocatedProblem[] };

/** Reads a bootstrap text, YAML or JSON. Never throws: all that is wrong with it comes back, with its places. */
export function readBootstrap(text: string, context: DecodeContext): BootstrapResult {
  const unreadable: LocatedProblem[] = [];
  const document = readDocument(text, unreadable);
  if (document === undefined) return { ok: false, problems: unreadable, warnings: [] };
  const problems = new Problems();
  const message = fromJson(wire.Bootstrap, document.value, problems);
  if (!problems.ok) forgetOptional(problems, document);
  // A message that does not keep the protos' rules is not decoded further.
  if (!problems.ok) return { ok: false, problems: locateAll(problems, document), warnings: [] };
  const s = new Decoding({ ...context, runtime: decodeRuntime(message.layered_runtime) }, problems);
  const bootstrap = decodeBootstrap(message, s);
  const warnings = locateAll(s.warnings, document);
  return problems.ok
    ? { ok: true, bootstrap, warnings }
    : { ok: false, problems: locateAll(problems, document), warnings };
}

const OPTIONAL_FILTER = /^(.*\.http_filters\[\d+\])\.typed_config$/;

/** A filter of unknown type that is marked `is_optional` is no problem; its decoder reports that it is skipped. */
function forgetOptional(problems: Problems, document: ConfigDocument): void {
  const kept = problems.list.filter(({ path, reason }) => {
    const filter = OPTIONAL_FILTER.exec(path)?.[1];
    if (filter === undefined || !reason.startsWith('unknown extension type')) return true;
    const raw = document.get(filter) as { is_optional?: unknown; isOptional?: unknown } | undefined;
    return raw?.is_optional !== true && raw?.isOptional !== true;
  });
  problems.list.splice(0, Number.POSITIVE_INFINITY, ...kept);
}

function decodeBootstrap(message: wire.Bootstrap, s: Decoding): Bootstrap {
  s.check(wire.Bootstrap, message, '');
  const dynamic = decodeDynamic(message.dynamic_resources, 'dynamic_resources', s);
  const resources = message.static_resources ?? {};
  const clusters = decodeClusters(resources, dynamic, s);
  const listeners = (resources.listeners ?? []).map((one, i) =>
    decodeListener(one, `static_resources.listeners[${i}]`, s),
  );
  checkListeners(listeners, s);
  checkReferences(clusters, dynamic, s);
  const secrets = (resources.secrets ?? []).flatMap(
    (one, i) => decodeSecret(one, `static_resources.secrets[${i}]`, s) ?? [],
  );
  checkSecrets(resources.secrets ?? [], dynamic, s);
  return {
    node: decodeNode(message.node),
    admin: message.admin?.address === undefined ? null : decodeAddress(message.admin.address, 'admin.address', s),
    listeners,
    clusters,
    secrets,
    ads: dynamic.ads,
    listenerSource: dynamic.listeners,
    clusterSource: dynamic.clusters,
    runtime: s.context.runtime,
    stats: decodeStats(message.stats_config, 'stats_config', s),
    overload: decodeOverload(message.overload_manager, 'overload_manager', s),
    localCluster: message.cluster_manager?.local_cluster_name ?? '',
    outlierLogPath: message.cluster_manager?.outlier_detection?.event_log_path ?? '',
    dependencies: dependenciesOf(s),
  };
}

function decodeClusters(resources: wire.Bootstrap_StaticResources, dynamic: DynamicResources, s: Decoding): Cluster[] {
  const target = dynamic.ads?.target;
  const control = target?.kind === 'cluster' ? target.name : undefined;
  const seen = new Map<string, number>();
  return (resources.clusters ?? []).map((cluster, i) => {
    const path = `static_resources.clusters[${i}]`;
    const name = cluster.name ?? '';
    const first = seen.get(name);
    if (first !== undefined) s.error(`${path}.name`, `${JSON.stringify(name)} is the name of clusters[${first}] too`);
    else seen.set(name, i);
    return decodeCluster(cluster, path, s, name === control);
  });
}

function checkListeners(listeners: readonly Listener[], s: Decoding): void {
  const names = new Map<string, number>();
  const bound = new Map<string, number>();
  const claim = (seen: Map<string, number>, key: string, i: number, path: string, what: string): void => {
    const first = seen.get(key);
    if (first !== undefined) s.error(path, `${what} of listeners[${first}] too`);
    else seen.set(key, i);
  };
  for (const [i, listener] of listeners.entries()) {
    const path = `static_resources.listeners[${i}]`;
    claim(names, listener.name, i, `${path}.name`, `${JSON.stringify(listener.name)} is the name`);
    for (const { host, port } of listener.bindToPort ? listener.addresses : []) {
      if (port !== 0) claim(bound, `${host} ${port}`, i, `${path}.address`, `${host} port ${port} is an address`);
    }
  }
}

/** A cluster that nothing here defines and no discovery can bring. */
function checkReferences(clusters: readonly Cluster[], dynamic: DynamicResources, s: Decoding): void {
  const names = new Set(clusters.map((cluster) => cluster.name));
  const target = dynamic.ads?.target;
  if (target?.kind === 'cluster' && !names.has(target.name)) {
    s.error(
      'dynamic_resources.ads_config.grpc_services[0].envoy_grpc.cluster_name',
      `there is no cluster ${JSON.stringify(target.name)} among static_resources.clusters`,
    );
  }
  if (dynamic.clusters === null) {
    for (const { name, path, required } of s.clusters) {
      if (names.has(name)) continue;
      const reason = `there is no cluster ${JSON.stringify(name)} among static_resources.clusters`;
      if (required) s.error(path, reason);
      else s.warnings.add(path, `${reason}: requests to it fail`);
    }
  }
  if (dynamic.ads !== null) return;
  for (const [name, path] of s.routes) s.error(path, `routes ${JSON.stringify(name)} come over ADS, ${NO_ADS}`);
  for (const [name, path] of s.endpoints)
    s.error(path, `endpoints of ${JSON.stringify(name)} come over ADS, ${NO_ADS}`);
}

/** Secrets that nothing here defines and no discovery can bring. */
function checkSecrets(given: readonly { name?: string | undefined }[], dynamic: DynamicResources, s: Decoding): void {
  const names = new Set(given.map(({ name }) => name));
  for (const { name, from, path } of s.secrets) {
    if (from === 'ads' && dynamic.ads === null)
      s.error(path, `secret ${JSON.stringify(name)} comes over ADS, ${NO_ADS}`);
    if (from === 'bootstrap' && !names.has(name)) {
      s.error(
        path,
        `there is no secret ${JSON.stringify(name)} among static_resources.secrets: add it, or an sds_config`,
      );
    }
  }
}

const NO_ADS = 'but dynamic_resources.ads_config is not given';
