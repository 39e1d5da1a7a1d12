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

/** Maps of so few entries are compared each time. */
const SMALL = 8;

/**
 * The maps that proxies have. One that is made anew with the content of the one before does not take its place, and one
 * with the same names is derived from it: who compares the two sees what differs without looking at each entry.
 */
export class KeptMaps {
  readonly #maps = new Map<string, Generations<Resources>>();
  /** By the map made anew: proxies of one scope have the same maps, so one comparison does for all. */
  readonly #kept = new WeakMap<Resources, Kept>();

  turn(): void {
    for (const maps of this.#maps.values()) maps.turn();
  }

  set(type: string, key: string, map: Resources): void {
    this.#of(type).set(key, map);
  }

  /** `type` is one of a few; `key` may be long, and is the same text each time. */
  keep(type: string, key: string, map: Resources): Resources {
    const maps = this.#of(type);
    const before = maps.peek(key);
    const result = before === undefined || before === map ? map : this.#follow(before, map);
    if (result !== before) maps.set(key, result);
    return result;
  }

  #of(type: string): Generations<Resources> {
    let maps = this.#maps.get(type);
    if (maps === undefined) {
      maps = new Generations();
      this.#maps.set(type, maps);
    }
    return maps;
  }

  #follow(before: Resources, map: Resources): Resources {
    // Not worth a note.
    if (map.size <= SMALL && changedEntries(before, map)?.length === 0) return before;
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
