import { NameTable } from '../../../xds/proto/gen/istio/networking/nds/v1.ts';
import type { MeshService } from '../../mesh/service.ts';
import { type ResourceEntry, type Resources, resourceEntry } from '../../serve/snapshot.ts';
import type { Families } from './capture.ts';
import { nameTable, wholeNameTable } from './name-table.ts';
import type { EmitNode, Scope } from './scope.ts';

/** A resource a host, or for clients that take one for all there is, one alone. */
export interface Names {
  readonly each: Resources;
  readonly whole: Resources;
}

interface Made {
  /** Whose addresses they are. */
  readonly meant: MeshService | undefined;
  readonly table: NameTable;
  readonly entry: ResourceEntry;
}

const WHOLE = 'nametable';

/** Makes the names of scopes; those of a service that did not change are not made again. */
export class NameTables {
  readonly #made: Readonly<Record<Families, WeakMap<MeshService, Made | null>>> = {
    4: new WeakMap(),
    6: new WeakMap(),
    46: new WeakMap(),
  };

  of(scope: Scope, families: Families): Names {
    const each = new Map<string, ResourceEntry>();
    const tables: NameTable[] = [];
    for (const service of scope.services.values()) {
      const made = this.#service(service, scope, families);
      if (made === null) continue;
      each.set(service.host, made.entry);
      tables.push(made.table);
    }
    return { each, whole: new Map([[WHOLE, resourceEntry(NameTable, wholeNameTable(tables), WHOLE)]]) };
  }

  #service(service: MeshService, scope: Scope, families: Families): Made | null {
    const known = this.#made[families].get(service);
    const meant = service.aliasOf === undefined ? undefined : scope.services.get(service.aliasOf);
    if (known !== undefined && (known === null ? meant === undefined : known.meant === meant)) return known;
    const table = nameTable(service, scope, families);
    const made = table === null ? null : { meant, table, entry: resourceEntry(NameTable, table, service.host) };
    this.#made[families].set(service, made);
    return made;
  }
}

/** Our own proxy keeps tables by their names; Istio's agent takes each for all there is. */
export function takesEach({ userAgent }: EmitNode): boolean {
  return userAgent.startsWith('remora/');
}
