import { tables } from './gen/tables.ts';
import * as kind from './kinds.ts';
import type { Rules } from './rules.ts';

/** A message at run time, seen without its type. */
export type Fields = Record<string, unknown>;

/** A field, hydrated from its row of the table. */
export interface Field {
  readonly number: number;
  readonly name: string;
  readonly kind: number;
  /** Full name of the message or enum; '' for any other kind. */
  readonly ref: string;
  readonly repeated: boolean;
  /** Kind of the key when the field is a map, else 0. */
  readonly mapKey: number;
  /** Index of the oneof, or -1. */
  readonly oneof: number;
  /** Presence is known by the wire: zero is not the same as absent. */
  readonly explicit: boolean;
  readonly rules: Rules | undefined;
  /** What `ref` names, filled in at first use by `messageOf` and `enumOf`. */
  message: Message | undefined;
  enum: Enum | undefined;
}

/** A message type, hydrated at its first use. */
export interface Message {
  readonly name: string;
  readonly fields: readonly Field[];
  readonly byNumber: ReadonlyMap<number, Field>;
  readonly oneofs: readonly Oneof[];
  /** The fields that validation has to look at. */
  readonly checked: readonly Field[];
  /** The protos ask for no validation. */
  readonly unchecked: boolean;
  /** Fields under both their names, for JSON; made by `fieldsByName`. */
  byName: ReadonlyMap<string, Field> | undefined;
}

export interface Oneof {
  readonly name: string;
  readonly required: boolean;
  readonly fields: readonly Field[];
}

export interface Enum {
  readonly name: string;
  readonly numbers: ReadonlyMap<string, number>;
  readonly names: ReadonlyMap<number, string>;
}

/** What a full type name stands for: a kind, and its message when the kind is MESSAGE. */
export interface Resolved {
  readonly kind: number;
  readonly message: Message | undefined;
}

type FieldRow = [number, string, number, (string | 0)?, number?, number?, (Rules | 0)?];
type MessageRow = [FieldRow[], string[]?, 1?];

const sources = new Map(tables);
const packages = new Map<string, ReadonlyMap<string, string>>();
const messages = new Map<string, Message>();
const enums = new Map<string, Enum>();

/** Finds a message type or well-known type by full name; undefined when no proto of ours has it. */
export function resolve(name: string): Resolved | undefined {
  const wellKnown = kind.WELL_KNOWN_KINDS.get(name);
  if (wellKnown !== undefined) return { kind: wellKnown, message: undefined };
  const message = messages.get(name) ?? hydrateMessage(name);
  return message && { kind: kind.MESSAGE, message };
}

/** The message type of a field of kind MESSAGE. */
export function messageOf(field: Field): Message {
  field.message ??= messages.get(field.ref) ?? hydrateMessage(field.ref) ?? missing(field.ref);
  return field.message;
}

/** The enum of a field of kind ENUM. */
export function enumOf(field: Field): Enum {
  field.enum ??= enums.get(field.ref) ?? hydrateEnum(field.ref);
  return field.enum;
}

/** Fields under their proto names and their lowerCamelCase names. */
export function fieldsByName(message: Message): ReadonlyMap<string, Field> {
  if (message.byName === undefined) {
    const byName = new Map<string, Field>();
    for (const field of message.fields) byName.set(camelCase(field.name), field);
    for (const field of message.fields) byName.set(field.name, field);
    message.byName = byName;
  }
  return message.byName;
}

function camelCase(name: string): string {
  return name.replace(/_+([^_])/g, (_, next: string) => next.toUpperCase());
}

function hydrateMessage(name: string): Message | undefined {
  const found = lookUp(name, '');
  if (found === undefined) return undefined;
  const [rows, oneofNames = [], unchecked] = JSON.parse(found.row) as MessageRow;
  const fields = rows.map((row) => hydrateField(row, found.pkg));
  const message: Message = {
    name,
    fields,
    byNumber: new Map(fields.map((field) => [field.number, field])),
    oneofs: oneofNames.map((oneof, index) => ({
      name: oneof.replace('!', ''),
      required: oneof.endsWith('!'),
      fields: fields.filter((field) => field.oneof === index),
    })),
    checked: fields.filter(
      ({ rules, kind: of }) => rules || of === kind.MESSAGE || of === kind.ANY || of === kind.DURATION,
    ),
    unchecked: unchecked === 1,
    byName: undefined,
  };
  messages.set(name, message);
  return message;
}

function hydrateField([number, name, of, ref, card = 0, oneof = 0, rules]: FieldRow, pkg: string): Field {
  return {
    number,
    name,
    kind: of,
    ref: ref ? absolute(ref, pkg) : '',
    repeated: card === kind.REPEATED,
    mapKey: card > kind.MAP ? card - kind.MAP : 0,
    oneof: Math.max(oneof - 1, -1),
    explicit: oneof !== kind.IMPLICIT || of === kind.MESSAGE || of >= kind.ANY,
    rules: rules || undefined,
    message: undefined,
    enum: undefined,
  };
}

function hydrateEnum(name: string): Enum {
  const found = lookUp(name, '=') ?? missing(name);
  const values = Object.entries(JSON.parse(found.row) as Record<string, number>);
  const names = new Map<number, string>();
  for (const [value, number] of values) if (!names.has(number)) names.set(number, value);
  const hydrated = { name, numbers: new Map(values), names };
  enums.set(name, hydrated);
  return hydrated;
}

/** `Name` is in the same package; `7:Name` in the seventh. */
function absolute(ref: string, pkg: string): string {
  const colon = ref.indexOf(':');
  return colon < 0 ? `${pkg}.${ref}` : `${tables[Number(ref.slice(0, colon))]?.[0]}.${ref.slice(colon + 1)}`;
}

const LONGEST_NAME = 300;

/** Finds a row by full name: the package is the longest prefix that is one. Names may be anybody's, and long. */
function lookUp(name: string, mark: '' | '='): { pkg: string; row: string } | undefined {
  if (name.length > LONGEST_NAME) return undefined;
  for (let dot = name.lastIndexOf('.'); dot > 0; dot = name.lastIndexOf('.', dot - 1)) {
    const pkg = name.slice(0, dot);
    const source = sources.get(pkg);
    if (source === undefined) continue;
    const row = rowsOf(pkg, source).get(mark + name.slice(dot + 1));
    return row === undefined ? undefined : { pkg, row };
  }
  return undefined;
}

function rowsOf(pkg: string, source: string): ReadonlyMap<string, string> {
  let rows = packages.get(pkg);
  if (rows === undefined) {
    rows = new Map(source.split('\n').map((line) => splitOnce(line)));
    packages.set(pkg, rows);
  }
  return rows;
}

function splitOnce(line: string): [string, string] {
  const tab = line.indexOf('\t');
  return [line.slice(0, tab), line.slice(tab + 1)];
}

function missing(name: string): never {
  throw new Error(`xds/proto: the tables do not hold ${name}`);
}
