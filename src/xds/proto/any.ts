/**
 * google.protobuf.Any. From binary it has `value`, decoded by `unpack` when somebody needs it; from
 * JSON and from `pack` it has `message`. At least one of the two is present, and both mean the same.
 */
export interface Any {
  type_url: string;
  value?: Uint8Array | undefined;
  message?: unknown;
}

/** google.protobuf.Value and its parts: plain JSON. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;

/** google.protobuf.Struct: a plain object, with a null prototype when it comes from a decoder. */
export interface JsonObject {
  [key: string]: JsonValue;
}
