import { type ConfigObject, type Finding, type ObjectChange, objectKey } from '../source/collection.ts';
import { Findings, findingAt } from '../source/finding.ts';
import { nearest } from '../source/schema/suggest.ts';
import type { Decoded, DecodedChange, KindName } from './decoded.ts';
import { KINDS, OUR_GROUPS, UNREAD_KINDS } from './kinds.ts';

/** The objects that are in force, by kind, and what was wrong with others. */
export interface DecodedState {
  readonly objects: readonly Decoded[];
  readonly findings: readonly Finding[];
}

interface Entry {
  object: ConfigObject;
  /** The last version without errors, null if there was none. */
  good: Decoded | null;
  findings: readonly Finding[];
}

/** Reads one object; null (with the reasons) when it has an error or is of a kind that is not read. */
export function decodeObject(object: ConfigObject): { decoded: Decoded | null; findings: readonly Finding[] } {
  const slash = object.apiVersion.indexOf('/');
  const group = slash < 0 ? '' : object.apiVersion.slice(0, slash);
  const version = object.apiVersion.slice(slash + 1);
  const kind = Object.hasOwn(KINDS, object.kind) ? (object.kind as KindName) : undefined;
  const known = kind === undefined ? undefined : KINDS[kind];
  if (kind === undefined || known === undefined || known.group !== group) {
    return { decoded: null, findings: unreadKind(object, group) };
  }
  const findings = new Findings(object);
  if (!known.versions.includes(version)) {
    const versions = known.versions.map((v) => (group === '' ? v : `${group}/${v}`)).join(', ');
    findings.error('unknown-version', ['apiVersion'], `${object.apiVersion} is not known: write one of ${versions}`);
    return { decoded: null, findings: findings.list };
  }
  const root = known.root.read(object.raw, [], findings) as { spec?: unknown } | undefined;
  const value = known.inSpec ? root?.spec : root;
  if (!findings.failed && value !== undefined) known.check(value as never, findings, object);
  if (findings.failed || value === undefined) return { decoded: null, findings: findings.list };
  return { decoded: { kind, object, value: value as never }, findings: findings.list };
}

function unreadKind(object: ConfigObject, group: string): readonly Finding[] {
  if (!OUR_GROUPS.includes(group)) return [];
  const known = UNREAD_KINDS[`${group}/${object.kind}`];
  if (known !== undefined) {
    return [
      findingAt(object, known.severity, 'unread-kind', ['kind'], `${object.kind} is not enforced: ${known.reason}`),
    ];
  }
  const kinds = Object.entries(KINDS).filter(([, kind]) => kind.group === group);
  const near = nearest(
    object.kind,
    kinds.map(([name]) => name),
  );
  if (near !== undefined) {
    const message = `${object.kind} is no kind of ${group}: did you mean ${JSON.stringify(near)}?`;
    return [findingAt(object, 'error', 'unknown-kind', ['kind'], message)];
  }
  return [findingAt(object, 'warning', 'unread-kind', ['kind'], `${object.kind} is not read yet and has no effect`)];
}

/**
 * Reads objects as they change. An object that is refused leaves its last good version in force for as long as the
 * object exists; an object that did not change (the same ConfigObject) is not read again.
 */
export class DecodedStore {
  #entries = new Map<string, Entry>();

  update(objects: readonly ConfigObject[]): DecodedState {
    const entries = new Map<string, Entry>();
    const inForce: Decoded[] = [];
    const findings: Finding[] = [];
    for (const object of objects) {
      const key = objectKey(object);
      if (entries.has(key)) continue;
      const entry = this.#read(object, this.#entries.get(key));
      entries.set(key, entry);
      if (entry.good !== null) inForce.push(entry.good);
      findings.push(...entry.findings);
    }
    this.#entries = entries;
    return { objects: inForce, findings };
  }

  /** The same for a few objects; what is in force otherwise now. null when there is something to say about them. */
  follow(changes: readonly ObjectChange[]): readonly DecodedChange[] | null {
    const decoded: DecodedChange[] = [];
    let silent = true;
    for (const { before, after } of changes) {
      const object = after ?? before;
      if (object === null) continue;
      const key = objectKey(object);
      const old = this.#entries.get(key);
      const entry = after === null ? undefined : this.#read(after, old);
      if (entry === undefined) this.#entries.delete(key);
      else this.#entries.set(key, entry);
      silent &&= (old?.findings.length ?? 0) === 0 && (entry?.findings.length ?? 0) === 0;
      const [was, is] = [old?.good ?? null, entry?.good ?? null];
      if (was !== is) decoded.push({ before: was, after: is });
    }
    return silent ? decoded : null;
  }

  #read(object: ConfigObject, before: Entry | undefined): Entry {
    if (before?.object === object) return before;
    const { decoded, findings } = decodeObject(object);
    if (decoded !== null) return { object, good: decoded, findings };
    const good = before?.good ?? null;
    return { object, good, findings: good === null ? findings : withLastGood(object, findings) };
  }
}

function withLastGood(object: ConfigObject, findings: readonly Finding[]): readonly Finding[] {
  return [...findings, findingAt(object, 'warning', 'last-good-in-force', [], 'its last good version stays in force')];
}
