import type { NameTable, NameTable_NameInfo } from '../../../xds/proto/gen/istio/networking/nds/v1.ts';
import type { MeshService } from '../../mesh/service.ts';
import { isAddress } from '../names.ts';
import type { Families } from './capture.ts';
import { addressesOf } from './endpoint.ts';
import { isHeadless, type Scope } from './scope.ts';

type Table = NonNullable<NameTable['table']>;

/**
 * The names that a service answers to, for the DNS proxy beside a sidecar (Istio's NDS): its own with its addresses; for
 * a headless one those of its ready instances, and each instance that has a name under it, as a StatefulSet's pods do. An
 * ExternalName that is another service of the mesh has that one's addresses. Null: others know it better.
 */
export function nameTable(service: MeshService, scope: Scope, families: Families): NameTable | null {
  const meant = service.aliasOf === undefined ? service : scope.services.get(service.aliasOf);
  if (meant === undefined) return null;
  const table: Table = {};
  if (isHeadless(meant)) addInstances(service, meant, families, table);
  else addName(service.host, service, meant.addresses, families, table);
  return Object.keys(table).length === 0 ? null : { table };
}

/** One table of all, for clients that take a table for all there is. */
export function wholeNameTable(tables: Iterable<NameTable>): NameTable {
  const table: Table = {};
  for (const one of tables) for (const host in one.table) table[host] ??= one.table[host] ?? {};
  return { table };
}

function addInstances(service: MeshService, { endpoints }: MeshService, families: Families, table: Table): void {
  const ready = endpoints.filter(({ health }) => health === 'healthy').sort((a, b) => (a.address < b.address ? -1 : 1));
  const all = ready.flatMap(addressesOf);
  addName(service.host, service, all, families, table);
  const named = Map.groupBy(ready, ({ hostname = '' }) => hostname);
  named.delete('');
  for (const [hostname, instances] of [...named].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const own = instances.flatMap(addressesOf);
    addName(`${hostname}.${service.host}`, { ...service, name: `${hostname}.${service.name}` }, own, families, table);
  }
}

function addName(
  host: string,
  { name, namespace, written }: MeshService,
  addresses: readonly string[],
  families: Families,
  table: Table,
): void {
  const ips = [...new Set(addresses.filter((address) => isAddress(address) && isOf(address, families)))];
  if (ips.length === 0) return;
  const kubernetes = written.object.startsWith('Service ');
  const info: NameTable_NameInfo = kubernetes
    ? { ips, registry: 'Kubernetes', shortname: name, namespace }
    : { ips, registry: 'External' };
  table[host] = info;
}

/** An address of a family that the pod does not have would be called in vain. */
function isOf(address: string, families: Families): boolean {
  return families.includes(address.includes(':') ? '6' : '4');
}
