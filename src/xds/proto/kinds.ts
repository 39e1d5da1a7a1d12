/**
 * Field kinds as they stand in the generated tables. Scalars, messages and enums have the numbers
 * of google.protobuf.FieldDescriptorProto.Type; the well-known types whose run-time shape is not a
 * message of their own (a Duration is a number of ms) follow from 30, wrappers from 40.
 */
export const DOUBLE = 1;
export const FLOAT = 2;
export const INT64 = 3;
export const UINT64 = 4;
export const INT32 = 5;
export const FIXED64 = 6;
export const FIXED32 = 7;
export const BOOL = 8;
export const STRING = 9;
export const MESSAGE = 11;
export const BYTES = 12;
export const UINT32 = 13;
export const ENUM = 14;
export const SFIXED32 = 15;
export const SFIXED64 = 16;
export const SINT32 = 17;
export const SINT64 = 18;
export const ANY = 30;
export const DURATION = 31;
export const TIMESTAMP = 32;
export const STRUCT = 33;
export const VALUE = 34;
export const LIST_VALUE = 35;
export const FIELD_MASK = 36;
/** A wrapper's kind is WRAPPER + the kind of the scalar it wraps. */
export const WRAPPER = 40;

/** The cardinality column: one value, a list, or (MAP + kind of the key) a map. */
export const SINGULAR = 0;
export const REPEATED = 1;
export const MAP = 100;

/** The oneof column: 0 for none, -1 for a proto3 `optional` field, else 1 + index of the oneof. */
export const IMPLICIT = 0;
export const OPTIONAL = -1;

/** Kinds of the scalar types by their name in a .proto file. */
export const SCALAR_KINDS: ReadonlyMap<string, number> = new Map([
  ['double', DOUBLE],
  ['float', FLOAT],
  ['int64', INT64],
  ['uint64', UINT64],
  ['int32', INT32],
  ['fixed64', FIXED64],
  ['fixed32', FIXED32],
  ['bool', BOOL],
  ['string', STRING],
  ['bytes', BYTES],
  ['uint32', UINT32],
  ['sfixed32', SFIXED32],
  ['sfixed64', SFIXED64],
  ['sint32', SINT32],
  ['sint64', SINT64],
]);

/** Kinds of the well-known types by full name; other google.protobuf types are plain messages. */
export const WELL_KNOWN_KINDS: ReadonlyMap<string, number> = new Map([
  ['google.protobuf.Any', ANY],
  ['google.protobuf.Duration', DURATION],
  ['google.protobuf.Timestamp', TIMESTAMP],
  ['google.protobuf.Struct', STRUCT],
  ['google.protobuf.Value', VALUE],
  ['google.protobuf.ListValue', LIST_VALUE],
  ['google.protobuf.FieldMask', FIELD_MASK],
  ['google.protobuf.DoubleValue', WRAPPER + DOUBLE],
  ['google.protobuf.FloatValue', WRAPPER + FLOAT],
  ['google.protobuf.Int64Value', WRAPPER + INT64],
  ['google.protobuf.UInt64Value', WRAPPER + UINT64],
  ['google.protobuf.Int32Value', WRAPPER + INT32],
  ['google.protobuf.UInt32Value', WRAPPER + UINT32],
  ['google.protobuf.BoolValue', WRAPPER + BOOL],
  ['google.protobuf.StringValue', WRAPPER + STRING],
  ['google.protobuf.BytesValue', WRAPPER + BYTES],
]);
