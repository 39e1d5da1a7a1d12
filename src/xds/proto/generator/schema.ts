import protobuf from 'protobufjs';
import * as kind from '../kinds.ts';
import type { Rules } from '../rules.ts';
import { readRules } from './read-rules.ts';

/** A field as both emitters need it. */
export interface FieldSchema {
  number: number;
  name: string;
  kind: number;
  /** Full name of the message or enum. */
  ref?: string;
  card: number;
  oneof: number;
  rules?: Rules;
}

export interface MessageSchema {
  name: string;
  fields: FieldSchema[];
  oneofs: { name: string; required: boolean }[];
  /** `(validate.disabled)` or `(validate.ignored)`. */
  unchecked: boolean;
}

export interface EnumSchema {
  name: string;
  values: Record<string, number>;
}

export interface PackageSchema {
  name: string;
  messages: MessageSchema[];
  enums: EnumSchema[];
}

export interface Schema {
  packages: PackageSchema[];
}

/** Turns protobufjs reflection into the plain tree that the emitters walk. */
export function readSchema(root: protobuf.Root): Schema {
  const schema: Schema = { packages: [] };
  readNamespace(root, schema);
  schema.packages.sort((a, b) => (a.name < b.name ? -1 : 1));
  return schema;
}

function readNamespace(space: protobuf.NamespaceBase, schema: Schema): void {
  const into: PackageSchema = { name: fullName(space), messages: [], enums: [] };
  for (const child of space.nestedArray) {
    if (child instanceof protobuf.Type || child instanceof protobuf.Enum) readType(child, into);
    else if (child instanceof protobuf.Namespace && !(child instanceof protobuf.Service)) readNamespace(child, schema);
  }
  if (into.messages.length + into.enums.length > 0) schema.packages.push(into);
}

function readType(type: protobuf.Type | protobuf.Enum, into: PackageSchema): void {
  const name = fullName(type);
  if (kind.WELL_KNOWN_KINDS.has(name)) return;
  const local = name.slice(into.name.length + 1);
  if (type instanceof protobuf.Enum) {
    into.enums.push({ name: local, values: { ...type.values } });
    return;
  }
  const oneofs = type.oneofsArray.filter((oneof) => !oneof.isProto3Optional);
  into.messages.push({
    name: local,
    fields: type.fieldsArray.map((field) => readField(field, oneofs)),
    oneofs: oneofs.map((oneof) => ({ name: oneof.name, required: oneof.options?.['(validate.required)'] === true })),
    unchecked: type.options?.['(validate.disabled)'] === true || type.options?.['(validate.ignored)'] === true,
  });
  for (const child of type.nestedArray) {
    if (child instanceof protobuf.Type || child instanceof protobuf.Enum) readType(child, into);
  }
}

function readField(field: protobuf.Field, oneofs: protobuf.OneOf[]): FieldSchema {
  const rules = readRules(field, fullName(field));
  const oneof = field.partOf === null ? -1 : oneofs.indexOf(field.partOf);
  const optional = field.partOf?.isProto3Optional === true;
  return {
    number: field.id,
    name: field.name,
    ...readTypeOf(field),
    card: cardinality(field),
    oneof: optional ? kind.OPTIONAL : oneof + 1,
    ...(rules && { rules }),
  };
}

function cardinality(field: protobuf.Field): number {
  if (field instanceof protobuf.MapField) return kind.MAP + (kind.SCALAR_KINDS.get(field.keyType) ?? kind.STRING);
  return field.repeated ? kind.REPEATED : kind.SINGULAR;
}

function readTypeOf(field: protobuf.Field): { kind: number; ref?: string } {
  const scalar = kind.SCALAR_KINDS.get(field.type);
  if (scalar !== undefined) return { kind: scalar };
  const found = field.parent?.lookup(field.type, [protobuf.Type, protobuf.Enum]);
  if (!found) throw new Error(`${fullName(field)}: no type ${field.type}`);
  const ref = fullName(found);
  const known = kind.WELL_KNOWN_KINDS.get(ref);
  if (known !== undefined) return { kind: known };
  return { kind: found instanceof protobuf.Enum ? kind.ENUM : kind.MESSAGE, ref };
}

function fullName(object: protobuf.ReflectionObject): string {
  return object.fullName.replace(/^\./, '');
}
