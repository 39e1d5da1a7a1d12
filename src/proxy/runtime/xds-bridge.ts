import { ConfigError } from '../../base/errors.ts';
import { formatAddress } from '../../model/address.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { AdsSource, Bootstrap } from '../../xds/bootstrap/bootstrap.ts';
import { encodeNode } from '../../xds/bootstrap/node.ts';
import type { Dial } from '../../xds/client/dial.ts';
import { DynamicConfig, type LastGoodPlace } from '../../xds/client/dynamic-config.ts';
import { GrpcTransport } from '../../xds/client/grpc-transport.ts';
import { secretsOf } from '../../xds/client/references.ts';
import { decodersOf } from '../../xds/client/resource-decoder.ts';
import { NAME_TABLE } from '../../xds/resources/name-table.ts';
import { standardResourceTypes } from '../../xds/resources/standard.ts';
import type { HostRequests, HostSource, HostTables, HostUsers } from '../http/host-requests.ts';
import type { ProxyEnvironment } from './environment.ts';
import { proxyDecodeContext } from './extensions.ts';

/** What not every proxy has. */
export interface DiscoveryOptions {
  readonly lastGood?: LastGoodPlace | undefined;
  /** How the server is reached; undefined: in plain text. */
  readonly dial?: Dial | undefined;
  /** It answers DNS, and asks for the names. */
  readonly names?: boolean;
  /** Requests will ask for their hosts, so that the server need not send those that nobody calls. */
  readonly onDemand?: boolean;
}

/** Starts discovery as the bootstrap says. Loaded only by a proxy that has an ADS server. */
export function startDiscovery(
  bootstrap: Bootstrap,
  ads: AdsSource,
  statics: Snapshot,
  env: ProxyEnvironment,
  version: string,
  { lastGood, dial, names = false, onDemand = false }: DiscoveryOptions = {},
): DynamicConfig {
  const types = names ? [...standardResourceTypes, NAME_TABLE] : standardResourceTypes;
  const log = env.log.child('xds');
  const dynamic = new DynamicConfig({
    transports: targetsOf(bootstrap, ads).map(
      (target) =>
        new GrpcTransport({
          target,
          clock: env.clock,
          log,
          ...(ads.authority === '' ? {} : { authority: ads.authority }),
          ...(dial === undefined ? {} : { dial }),
        }),
    ),
    mode: ads.delta ? 'delta' : 'sotw',
    node: { ...encodeNode(bootstrap.node, version), client_features: featuresOf(ads, onDemand) },
    decoders: decodersOf(types, { ...proxyDecodeContext(), runtime: bootstrap.runtime }),
    clock: env.clock,
    random: env.random,
    log,
    statics,
    names,
    secretsOf,
    dynamic: { listeners: bootstrap.listenerSource?.kind === 'ads', clusters: bootstrap.clusterSource?.kind === 'ads' },
    ...(lastGood === undefined ? {} : { lastGood }),
  });
  dynamic.start();
  return dynamic;
}

/** What a control server may do that others may not understand; ours knows these. */
function featuresOf({ delta }: AdsSource, onDemand: boolean): string[] {
  if (!delta) return [];
  return ['remora.virtual_hosts', ...(onDemand ? ['remora.on_demand'] : [])];
}

/** Requests for unknown hosts ask discovery, and hear what it answers. `users`: whose tables these are; null: this thread's. */
export function followHosts(
  discovery: DynamicConfig,
  hostRequests: HostRequests,
  tables: HostTables,
  users: HostUsers | null,
): void {
  const source: HostSource = {
    get connected() {
      return discovery.client.connected;
    },
    ask: (names) => discovery.store.askForHosts(names),
  };
  hostRequests.follow(source, tables, users);
  discovery.onHosts({
    absent: (names) => hostRequests.absent(names),
    restored: (names) => hostRequests.restore(names),
  });
}

/** Addresses of the ADS server: of a static cluster's endpoints, or the URI that the bootstrap names. */
function targetsOf(bootstrap: Bootstrap, { target }: AdsSource): string[] {
  if (target.kind === 'uri') return [target.uri];
  const cluster = bootstrap.clusters.find(({ name }) => name === target.name);
  const discovery = cluster?.discovery;
  if (discovery === undefined || !('assignment' in discovery)) {
    throw new ConfigError(`the ADS cluster ${JSON.stringify(target.name)} must name its endpoints in the bootstrap`);
  }
  const targets = discovery.assignment.localities.flatMap(({ endpoints }) =>
    endpoints.map(({ address }) => formatAddress(address)),
  );
  if (targets.length === 0) throw new ConfigError(`the ADS cluster ${JSON.stringify(target.name)} has no endpoint`);
  return targets;
}
