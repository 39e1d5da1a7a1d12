/**
 * The types that a field of an object may have. Each knows its name in the API's own words and reads an untrusted
 * value into a typed one, telling the sink what is wrong with it; it never throws.
 */

export type Path = readonly (string | number)[];

/** Where readers and checks put what they find. Paths are those of the whole object (`['spec','hosts',0]`). */
export interface Sink {
  error(code: string, path: Path, message: string): void;
  warning(code: string, path: Path, message: string): void;
}

export interface Type<out T> {
  /** As the API's proto has it: `string`, `repeated HTTPRoute`, `map<string, string>`. */
  readonly name: string;
  /** The message inside (through lists and maps), so that a table of all fields can be walked. */
  readonly message: Message | null;
  /** The enum inside. */
  readonly enumeration: Enumeration | null;
  /** undefined after an error. */
  read(value: unknown, path: Path, sink: Sink): T | undefined;
}

/**
 * What happens with a field: `effective` (`required`: and the object is refused without it), `reported` (accepted,
 * with a warning that says what will not happen) or `refused` (ignoring it would be unsafe, so is the whole object).
 */
export type FieldState = 'effective' | 'required' | 'reported' | 'refused';

export interface Field<out T = unknown, S extends FieldState = FieldState> {
  readonly type: Type<T>;
  readonly state: S;
  /** Why it is reported or refused, and the remedy. */
  readonly reason: string;
  /** Advice where the field is deprecated; '' where it is not. */
  readonly deprecated: string;
  /** Fields of one message with the same name here exclude each other; '' none. */
  readonly oneof: string;
}

export type Fields = Readonly<Record<string, Field>>;

/** What reading a message gives: its effective fields only, so that a translator cannot read a field that has no effect. */
export type Infer<F extends Fields> = Simplify<
  {
    readonly [K in keyof F as F[K]['state'] extends 'required' ? K : never]: ValueOf<F[K]>;
  } & {
    readonly [K in keyof F as F[K]['state'] extends 'effective' ? K : never]?: ValueOf<F[K]>;
  }
>;
type Simplify<T> = { [K in keyof T]: T[K] } & {};
type ValueOf<F> = F extends Field<infer T> ? T : never;
/** The value a type reads to: `ValueOfType<typeof httpRoute>`. */
export type Read<T> = T extends Type<infer V> ? V : never;

export interface Message<F extends Fields = Fields> extends Type<Infer<F>> {
  readonly fields: F;
  /** Unknown fields are somebody else's business (Kubernetes' own objects) and not an error. */
  readonly open: boolean;
}

export interface Enumeration<V extends string = string> extends Type<V> {
  readonly values: Readonly<Record<string, EnumValue>>;
}
export interface EnumValue {
  readonly state: 'effective' | 'reported' | 'refused';
  readonly reason: string;
}

export interface FieldOptions {
  readonly oneof?: string;
  readonly deprecated?: string;
}

export function effective<T>(type: Type<T>, options: FieldOptions = {}): Field<T, 'effective'> {
  return field(type, 'effective', '', options);
}
export function required<T>(type: Type<T>, options: FieldOptions = {}): Field<T, 'required'> {
  return field(type, 'required', '', options);
}
export function reported<T>(type: Type<T>, reason: string, options: FieldOptions = {}): Field<T, 'reported'> {
  return field(type, 'reported', reason, options);
}
export function refused<T>(type: Type<T>, reason: string, options: FieldOptions = {}): Field<T, 'refused'> {
  return field(type, 'refused', reason, options);
}
function field<T, S extends FieldState>(type: Type<T>, state: S, reason: string, options: FieldOptions): Field<T, S> {
  return { type, state, reason, deprecated: options.deprecated ?? '', oneof: options.oneof ?? '' };
}

/** `spec.http[0].match`, as people write it. Keys that are not plain names are quoted. */
export function formatPath(path: Path): string {
  let out = '';
  for (const part of path) {
    if (typeof part === 'number') out += `[${part}]`;
    else if (/^[\w$-]+$/.test(part)) out += out === '' ? part : `.${part}`;
    else out += `[${JSON.stringify(part)}]`;
  }
  return out;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value in a message to people, cut to a length that fits a line. */
export function show(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (isRecord(value)) return 'an object';
  const text = typeof value === 'string' || typeof value === 'boolean' ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
