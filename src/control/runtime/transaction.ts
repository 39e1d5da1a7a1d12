import { type Finding, objectName } from '../source/collection.ts';
import { findingAt } from '../source/finding.ts';
import type { Decoded, DecodedChange } from '../translate/decoded.ts';
import { followEndpoints, type MovedEndpoints } from '../translate/istio/endpoints.ts';
import { type Translation, translate } from '../translate/istio/mesh.ts';

type Objects = ReadonlyMap<string, Decoded>;

/** Holding one object may show that another is needed; this deep and no deeper. */
const MOST_ROUNDS = 4;

/**
 * VirtualServices and the DestinationRules whose subsets they name take effect together, in whatever order they are
 * written (pains row 37): one that names a subset which nobody defines yet waits in its former version, and so does a
 * rule whose subsets are still named. After a start there is no former version, and everything is in force as written.
 */
export class Transaction {
  #inForce: Map<string, Decoded> | null = null;
  /** Named subsets that are not there, and did so without a former version. */
  #orphans: ReadonlySet<string> = new Set();

  /** The translation of what is to be in force; its findings are about what is written. */
  apply(written: readonly Decoded[], previous: Translation | undefined): Translation {
    const asWritten = translate(written, previous);
    let now = byName(written);
    let result = asWritten;
    const notes = new Map<string, Finding>();
    for (let round = 0; round < MOST_ROUNDS && this.#inForce !== null; round++) {
      const held = this.#hold(now, this.#inForce, orphansOf(result), notes);
      if (held === null) break;
      now = held;
      result = translate([...now.values()], previous);
    }
    this.#inForce = now;
    this.#orphans = orphansOf(result);
    return notes.size === 0 ? result : { ...result, findings: [...asWritten.findings, ...notes.values()] };
  }

  /** The same after changes of slices and pods, which wait for nothing; null: `apply` everything. */
  follow(changes: readonly DecodedChange[], previous: Translation): MovedEndpoints | null {
    if (this.#inForce === null) return null;
    for (const { before, after } of changes) {
      if (before !== null) this.#inForce.delete(objectName(before.object));
      if (after !== null) this.#inForce.set(objectName(after.object), after);
    }
    return followEndpoints(previous, changes);
  }

  /** Null when nothing more is to be held. */
  #hold(
    now: Objects,
    before: Objects,
    orphans: ReadonlySet<string>,
    notes: Map<string, Finding>,
  ): Map<string, Decoded> | null {
    const held = new Map(now);
    for (const name of orphans) {
      const former = before.get(name);
      const orphan = now.get(name);
      if (orphan === undefined || this.#orphans.has(name)) continue;
      if (holdRules(orphan, now, before, held, notes) || orphan === former) continue;
      if (former === undefined) held.delete(name);
      else held.set(name, former);
      const message = former === undefined ? 'it is not in force' : 'its former version stays in force';
      note(orphan, `until its subsets are defined, ${message}`, notes);
    }
    const same = held.size === now.size && [...held].every(([name, object]) => now.get(name) === object);
    return same ? null : held;
  }
}

/** Holds the former versions of rules that no longer define what `orphan` names; false when there are none. */
function holdRules(
  orphan: Decoded,
  now: Objects,
  before: Objects,
  held: Map<string, Decoded>,
  notes: Map<string, Finding>,
): boolean {
  const named = subsetsNamed(orphan.value);
  let found = false;
  for (const [name, rule] of before) {
    const next = now.get(name);
    if (rule.kind !== 'DestinationRule' || next === rule) continue;
    const kept = subsetsOf(next);
    if (!subsetsOf(rule).some((subset) => named.has(subset) && !kept.includes(subset))) continue;
    held.set(name, rule);
    found = true;
    const user = objectName(orphan.object);
    note(next ?? rule, `while ${user} names its subsets, its former version stays in force`, notes);
  }
  return found;
}

function subsetsOf(rule: Decoded | undefined): readonly string[] {
  if (rule?.kind !== 'DestinationRule') return [];
  return ((rule as Decoded<'DestinationRule'>).value.subsets ?? []).map(({ name }) => name ?? '');
}

function byName(objects: readonly Decoded[]): Map<string, Decoded> {
  return new Map(objects.map((one) => [objectName(one.object), one]));
}

function orphansOf({ findings }: Translation): ReadonlySet<string> {
  return new Set(findings.filter(({ code }) => code === 'missing-subset').map(({ object }) => object));
}

/** Every `subset: name` in a VirtualService, wherever it stands. */
function subsetsNamed(value: unknown, names = new Set<string>()): ReadonlySet<string> {
  if (typeof value !== 'object' || value === null) return names;
  for (const [key, part] of Object.entries(value)) {
    if (key === 'subset' && typeof part === 'string') names.add(part);
    else subsetsNamed(part, names);
  }
  return names;
}

function note({ object }: Decoded, message: string, notes: Map<string, Finding>): void {
  notes.set(objectName(object), findingAt(object, 'warning', 'waits-for-subset', [], message));
}
