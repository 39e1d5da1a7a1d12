import type { Any } from '../proto/codec.ts';
import type { DecodeContext } from '../resources/context.ts';
import type { Decoded, ResourceType } from '../resources/resource-type.ts';

/** A resource type with its context: all the client needs. It never throws for bad input. */
export interface ResourceDecoder {
  readonly typeUrl: string;
  /** As {@link ResourceType} says. */
  readonly unnamed?: boolean;
  decode(any: Any): Decoded<unknown>;
}

/** Resource types bound to what this proxy is built with. */
export function decodersOf(types: Iterable<ResourceType<unknown>>, context: DecodeContext): ResourceDecoder[] {
  return Array.from(types, (type) => ({
    typeUrl: type.typeUrl,
    unnamed: type.unnamed ?? false,
    decode: (any) => type.decode(any, context),
  }));
}

/** A resource that was decoded and holds. */
export interface HeldResource {
  readonly name: string;
  /** The server's version: of the resource in delta, of the response it came by in SotW. */
  readonly version: string;
  readonly any: Any;
  readonly resource: unknown;
}

/** What there is to say of a resource: why it was refused (the last good one of its name stays), or what in it has no effect. */
export interface Remark {
  /** '' when not even the name could be read. */
  readonly name: string;
  readonly reasons: readonly string[];
}

/** What one response, or the last good file, brought for one type. */
export interface ResourceUpdate {
  readonly typeUrl: string;
  readonly updated: readonly HeldResource[];
  readonly removed: readonly string[];
  /** What was asked for and the server says it does not have (VHDS: names and aliases without a resource). */
  readonly absent?: readonly string[];
  readonly rejected: readonly Remark[];
  readonly warnings: readonly Remark[];
  /** Where it came from: `disk` is the last good file. */
  readonly source: 'server' | 'disk';
}
