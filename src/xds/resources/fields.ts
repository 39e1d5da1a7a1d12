import type { Problems } from '../proto/codec.ts';
import { enumOf, type Field, type Message, messageOf, resolve } from '../proto/descriptor.ts';
import { ENUM, MESSAGE } from '../proto/kinds.ts';
import type { FieldState, FieldTable } from './field-state.ts';
import { standardTables } from './fields/standard.ts';

const byName = new Map<string, FieldTable>();
for (const one of standardTables) {
  const key = keyOf(one.typeName, one.variant);
  if (byName.has(key)) throw new Error(`field table ${key} is listed twice`);
  byName.set(key, one);
}

export function tableOf(typeName: string, variant = ''): FieldTable | undefined {
  return byName.get(keyOf(typeName, variant));
}

function keyOf(typeName: string, variant: string): string {
  return variant === '' ? typeName : `${typeName}@${variant}`;
}

/** Walks a message and all it contains, up to each Any, and reports the set fields that are reported or refused. */
export function checkFields(
  typeName: string,
  message: object,
  path: string,
  problems: Problems,
  warnings: Problems,
  variant = '',
): void {
  const found = tableOf(typeName, variant);
  const descriptor = resolve(typeName)?.message;
  if (found === undefined || descriptor === undefined) throw new Error(`no field table ${keyOf(typeName, variant)}`);
  walk(found, descriptor, message as Record<string, unknown>, path, problems, warnings);
}

function walk(
  { rows }: FieldTable,
  descriptor: Message,
  message: Record<string, unknown>,
  path: string,
  problems: Problems,
  warnings: Problems,
): void {
  for (const field of descriptor.fields) {
    const value = message[field.name];
    if (!isSet(field, value)) continue;
    const at = path === '' ? field.name : `${path}.${field.name}`;
    const state = pick(rows[field.name] ?? { refused: 'this field is unknown to this version' }, value);
    if (typeof state === 'object' && 'reported' in state) {
      warnings.add(at, `accepted, no effect in this version: ${state.reported}`);
    } else if (typeof state === 'object' && 'refused' in state) {
      problems.add(at, `refused: ${state.refused}`);
    } else if (field.kind === MESSAGE && (typeof state !== 'object' || 'as' in state)) {
      const variant = typeof state === 'object' ? state.as : '';
      for (const [step, item] of itemsOf(field, value)) {
        checkFields(field.ref, item as object, at + step, problems, warnings, variant);
      }
    }
  }
}

function pick(state: FieldState, value: unknown): FieldState {
  if (typeof state !== 'object' || !('values' in state)) return state;
  return state.values[String(value)] ?? 'effective';
}

function itemsOf(field: Field, value: unknown): [step: string, item: unknown][] {
  if (field.repeated) return (value as unknown[]).map((item, index) => [`[${index}]`, item]);
  if (field.mapKey === 0) return [['', value]];
  return Object.entries(value as object).map(([key, item]) => [`["${key}"]`, item]);
}

/** A field without explicit presence counts as set only when it differs from the proto's default. */
function isSet(field: Field, value: unknown): boolean {
  if (value === undefined || value === null) return false;
  if (field.repeated) return (value as unknown[]).length > 0;
  if (field.mapKey !== 0) return Object.keys(value as object).length > 0;
  if (field.explicit) return true;
  if (field.kind === ENUM) return value !== enumOf(field).names.get(0);
  return value !== false && value !== 0 && value !== '' && !(value instanceof Uint8Array && value.length === 0);
}

/** For the test of completeness: what is missing from the tables, and what is in them without being in the protos. */
export function gapsInTables(): string[] {
  return [...byName].flatMap(([key, one]) => {
    const descriptor = resolve(one.typeName)?.message;
    if (descriptor === undefined) return [`${key}: no such message`];
    const names = new Set(descriptor.fields.map((field) => field.name));
    const missing = [...names].filter((name) => one.rows[name] === undefined).map((name) => `${key}.${name}: no row`);
    const extra = Object.keys(one.rows)
      .filter((name) => !names.has(name))
      .map((name) => `${key}.${name}: no such field`);
    const open = descriptor.fields.flatMap((field) =>
      unreached(one, field).map((gap) => `${key}.${field.name}: ${gap}`),
    );
    return [...missing, ...extra, ...open];
  });
}

function unreached(of: FieldTable, field: Field): string[] {
  const state = of.rows[field.name];
  if (state === undefined) return [];
  if (typeof state === 'object' && 'values' in state) {
    if (field.kind !== ENUM) return [];
    const known = enumOf(field).numbers;
    return Object.keys(state.values)
      .filter((value) => !known.has(value))
      .map((value) => `no value ${value}`);
  }
  if (field.kind !== MESSAGE || (typeof state === 'object' && !('as' in state))) return [];
  const variant = typeof state === 'object' ? state.as : '';
  return tableOf(messageOf(field).name, variant) === undefined ? [`no table for ${keyOf(field.ref, variant)}`] : [];
}

/** Every row of every table, for the reference docs. */
export function allTables(): readonly FieldTable[] {
  return [...byName.values()];
}
