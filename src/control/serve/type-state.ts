import { changedSince, type ResourceEntry, type Resources } from './snapshot.ts';
import { VIRTUAL_HOST, WHOLE_WORLD } from './type-urls.ts';

export const WILDCARD = '*';

/** A client may not name more resources of a type than this. */
export const MAX_NAMES = 100_000;

/** A push that waits for its ACK or NACK. */
export interface Push {
  readonly nonce: string;
  readonly version: string;
  readonly at: number;
  readonly names: readonly string[];
}

/** What one client has of a resource. */
export interface Sent {
  readonly version: string;
  /** As sent last; null when an earlier stream brought it and only the version is known. */
  readonly entry: ResourceEntry | null;
  /** As it is in force there; null when that is not known. */
  readonly accepted: ResourceEntry | null;
  /** `entry` was NACKed. */
  readonly refused: boolean;
}

/** What most clients have of an entry, the same object for all of them: there are clients times resources of it. */
interface Common {
  readonly sent: Sent;
  readonly accepted: Sent;
}

const common = new WeakMap<ResourceEntry, Common>();

function commonOf(entry: ResourceEntry): Common {
  let found = common.get(entry);
  if (found === undefined) {
    const { version } = entry;
    found = {
      sent: { version, entry, accepted: null, refused: false },
      accepted: { version, entry, accepted: entry, refused: false },
    };
    common.set(entry, found);
  }
  return found;
}

/** How one client stands with one type: what it subscribes to, what it has, what is in flight. */
export class TypeState {
  readonly typeUrl: string;
  readonly names = new Set<string>();
  wildcard = false;
  /** By name, what was sent last, whether the client took it or not. */
  readonly sent = new Map<string, Sent>();
  /** Names to be sent whatever the client has. */
  readonly asked = new Set<string>();
  /** The client waits for an answer, even an empty one. */
  mustRespond = false;
  inFlight: Push | null = null;
  lastNonce = '';
  acked: { readonly version: string; readonly at: number } | null = null;
  /** Stands until something is ACKed. */
  nacked: { readonly version: string; readonly at: number; readonly reason: string } | null = null;
  /** Something was NACKed some time: `sent` may have refused entries. */
  everRefused = false;
  /** The map that `sent` was last brought level with; nothing is to be compared while it is the present one. */
  #levelWith: Resources | null = null;

  /** Names stand for others, and the client's view has chosen already: it is to have all of the map. */
  readonly #chosen: boolean;

  constructor(typeUrl: string) {
    this.typeUrl = typeUrl;
    this.#chosen = typeUrl === VIRTUAL_HOST;
  }

  subscribes(name: string): boolean {
    return this.wildcard || this.#chosen || this.names.has(name);
  }

  /** Sets all names, as SotW requests do. Returns whether anything changed. */
  replaceNames(names: readonly string[], first: boolean): boolean {
    const wanted = new Set(names);
    const legacyWildcard = names.length === 0 && WHOLE_WORLD.has(this.typeUrl) && (first || this.#legacy);
    const wildcard = legacyWildcard || wanted.delete(WILDCARD);
    this.#legacy = legacyWildcard;
    let changed = wildcard !== this.wildcard;
    this.wildcard = wildcard;
    for (const name of this.names) {
      if (wanted.has(name)) continue;
      this.names.delete(name);
      changed = true;
    }
    for (const name of wanted) {
      if (this.names.has(name)) continue;
      this.names.add(name);
      changed = true;
    }
    if (changed) this.#forgetUnsubscribed();
    return changed;
  }
  /** All requests so far named nothing, which means everything. */
  #legacy = false;

  /** Adds and takes away names, as delta requests do. */
  editNames(add: readonly string[], remove: readonly string[], first: boolean, known?: Resources): void {
    // Envoy's first request for virtual hosts names none either, whatever route configurations it has.
    if (first && add.length === 0 && (this.#chosen || WHOLE_WORLD.has(this.typeUrl))) this.wildcard = true;
    for (const name of add) {
      if (name === WILDCARD) this.wildcard = true;
      // The text that everybody else has of it too.
      else this.names.add(known?.get(name)?.name ?? name);
    }
    for (const name of remove) {
      if (name === WILDCARD) this.wildcard = false;
      else this.names.delete(name);
    }
    if (remove.length > 0) this.#forgetUnsubscribed();
    // An ACK names nothing, and is no reason to compare everything again.
    if (first || add.length > 0) this.touch();
  }

  #forgetUnsubscribed(): void {
    for (const name of this.sent.keys()) if (!this.subscribes(name)) this.sent.delete(name);
    for (const name of this.asked) if (!this.subscribes(name)) this.asked.delete(name);
    this.touch();
  }

  /** `name` is to be sent again, changed or not. */
  ask(name: string): void {
    this.asked.add(name);
    this.touch();
  }

  touch(): void {
    this.#levelWith = null;
    this.revision++;
  }
  /** Counts up with every change of what is subscribed to. */
  revision = 0;

  /** Everything the client subscribes to that there is. */
  subscribed(resources: Resources): ResourceEntry[] {
    if (this.wildcard || this.#chosen) return [...resources.values()];
    const entries: ResourceEntry[] = [];
    for (const name of this.names) {
      const entry = resources.get(name);
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  }

  /** What the client does not have yet, or has otherwise. */
  additions(resources: Resources): ResourceEntry[] {
    const changed = this.#changed(resources);
    if (changed?.length === 0) return [];
    const lacking = (entry: ResourceEntry): boolean =>
      this.asked.has(entry.name) || this.sent.get(entry.name)?.version !== entry.version;
    if (changed === null) return this.subscribed(resources).filter(lacking);
    return [...new Set(changed)].flatMap((name) => {
      const entry = this.subscribes(name) ? resources.get(name) : undefined;
      return entry !== undefined && lacking(entry) ? [entry] : [];
    });
  }

  /** Names that may differ from what was last level; null when everything is to be looked at. */
  #changed(resources: Resources): readonly string[] | null {
    return this.#levelWith === null ? null : changedSince(resources, this.#levelWith);
  }

  /** Names the client asked for that do not exist; it need not wait for them. */
  missing(resources: Resources): string[] {
    return [...this.asked].filter((name) => !resources.has(name));
  }

  /** What the client has that is no more. */
  removals(resources: Resources): string[] {
    // Maps that are derived from one another have the same names.
    if (this.#changed(resources) !== null) return [];
    return [...this.sent.keys()].filter((name) => !resources.has(name));
  }

  /** Notes what goes out now. */
  pushed(push: Push, updated: readonly ResourceEntry[], removed: readonly string[]): void {
    for (const entry of updated) {
      const accepted = this.sent.get(entry.name)?.accepted ?? null;
      const first = accepted === null ? commonOf(entry).sent : undefined;
      this.sent.set(entry.name, first ?? { version: entry.version, entry, accepted, refused: false });
    }
    for (const name of removed) this.sent.delete(name);
    this.asked.clear();
    this.mustRespond = false;
    this.lastNonce = push.nonce;
    this.inFlight = push;
  }

  acknowledge(push: Push, at: number): void {
    this.inFlight = null;
    this.acked = { version: push.version, at };
    this.nacked = null;
    for (const name of push.names) this.#accept(name);
    if (WHOLE_WORLD.has(this.typeUrl) && this.everRefused)
      for (const [name, { refused }] of this.sent) if (refused) this.#accept(name);
  }

  /** A NACK concerns the resources that its reason names, as Envoy's and Remora's do; if it names none, all that were sent. */
  refuse(push: Push, reason: string, at: number): void {
    this.inFlight = null;
    this.nacked = { version: push.version, at, reason };
    this.everRefused = true;
    const named = [...this.sent.keys()].filter((name) => reason.includes(JSON.stringify(name)));
    const pushed = new Set(push.names);
    const refused = new Set(named.length > 0 ? named : push.names);
    for (const name of refused) {
      const sent = this.sent.get(name);
      if (sent !== undefined && (pushed.has(name) || sent.refused)) this.sent.set(name, { ...sent, refused: true });
    }
    for (const name of push.names) if (!refused.has(name)) this.#accept(name);
  }

  #accept(name: string): void {
    const sent = this.sent.get(name);
    if (sent === undefined) return;
    const { entry, version } = sent;
    this.sent.set(name, entry === null ? { version, entry, accepted: null, refused: false } : commonOf(entry).accepted);
  }

  /** What the client has that is no more, in the form in force there. */
  retained(resources: Resources): ResourceEntry[] {
    const retained: ResourceEntry[] = [];
    for (const [name, sent] of this.sent) {
      const entry = sent.refused ? sent.accepted : sent.entry;
      if (entry !== null && !resources.has(name)) retained.push(entry);
    }
    return retained;
  }

  /** Remembers that nothing separates the client from these resources. */
  level(resources: Resources): void {
    this.#levelWith = resources;
  }
}
