import { type ResourceEntry, type Resources, replaceEntries } from '../../serve/snapshot.ts';
import { Generations } from './cache.ts';

/**
 * Of one map in another's place: what stands there. Keeps neither: the map before has its own note of the one before
 * that, and so on to the first there ever was. Proxies keep what they have.
 */
interface Kept {
  readonly before: WeakRef<Resources>;
  readonly result: WeakRef<Resources>;
}

/**
 * The maps that proxies have. One that is made anew with the content of the one before does not take its place, and one
 * with the same names is derived from it: who compares the two sees what differs without looking at each entry.
 */
export class KeptMaps {
  readonly #maps = new Generations<Resources>();
  /** By the map made anew: proxies of one scope have the same maps, so one comparison does for all. */
  readonly #kept = new WeakMap<Resources, Kept>();

  turn(): void {
    this.#maps.turn();
  }

  set(key: string, map: Resources): void {
    this.#maps.set(key, map);
  }

  keep(key: string, map: Resources): Resources {
    const before = this.#maps.peek(key);
    const result = before === undefined || before === map ? map : this.#follow(before, map);
    this.#maps.set(key, result);
    return result;
  }

  #follow(before: Resources, map: Resources): Resources {
    const kept = this.#kept.get(map);
    const known = kept?.result.deref();
    if (known !== undefined && (known === before || kept?.before.deref() === before)) return known;
    const changed = changedEntries(before, map);
    const result = changed === null ? map : replaceEntries(before, changed);
    this.#kept.set(map, { before: new WeakRef(before), result: new WeakRef(result) });
    return result;
  }
}

/** Null when the names differ. */
function changedEntries(before: Resources, now: Resources): ResourceEntry[] | null {
  if (before.size !== now.size) return null;
  const changed: ResourceEntry[] = [];
  for (const [name, entry] of now) {
    const old = before.get(name);
    if (old === undefined) return null;
    if (old.version !== entry.version) changed.push(entry);
  }
  return changed;
}
