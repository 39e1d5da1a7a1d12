import type { MessageType } from '../proto/codec.ts';

/**
 * What becomes of a field that is set. Nothing is silently ignored: each field of every message we read
 * has a row, and a test compares the tables with the protos.
 */
export type FieldState =
  /** It lands in the model; a message is walked into by its own table. */
  | 'effective'
  /** As effective, but the message is walked into by the table of this variant. */
  | { readonly as: string }
  /** What it asks for happens anyway, or it is only a label; the text says why. */
  | { readonly moot: string }
  /** Accepted with a warning that says what will not happen. */
  | { readonly reported: string }
  /** An error with the reason and, where there is one, the remedy. */
  | { readonly refused: string }
  /** By the value of an enum or a boolean; a value without a row is effective. */
  | { readonly values: { readonly [value: string]: FieldState } };

export interface FieldTable {
  readonly typeName: string;
  /** '' or what tells two uses of a message apart, such as `upstream` for protocol options of a cluster. */
  readonly variant: string;
  readonly rows: { readonly [field: string]: FieldState };
}

/** One message's table; the compiler asks for a row for every field of the generated type. */
export function table<T>(
  of: MessageType<T>,
  rows: { readonly [K in keyof Required<T>]: FieldState },
  variant = '',
): FieldTable {
  return { typeName: of.typeName, variant, rows };
}

export const effective = 'effective';

export function reported(why: string): FieldState {
  return { reported: why };
}

export function refused(why: string): FieldState {
  return { refused: why };
}

export function moot(why: string): FieldState {
  return { moot: why };
}

/** A boolean that only matters when it is true. */
export function whenTrue(state: FieldState): FieldState {
  return { values: { true: state, false: { moot: 'off is what happens' } } };
}

/** The reasons that many rows share. */
export const label = moot('a label');
export const perf = reported('a tuning of Envoy that has no counterpart here');
export const http2 = reported('this version speaks HTTP/1.1 only');
export const http3 = reported('HTTP/3 is not spoken');
export const tracing = reported('there is no tracing yet');
export const metadata = reported('metadata here is read by no filter of this version');
export const mirror = reported('requests are not mirrored yet');
export const ecds = refused('extension discovery (ECDS) comes later: put the config into typed_config');
export const socketOptions = reported('Node sets no raw socket options');
