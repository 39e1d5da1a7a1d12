import { didYouMean } from './suggest.ts';
import {
  type Field,
  type FieldState,
  type Fields,
  type Infer,
  isRecord,
  type Message,
  type Path,
  type Sink,
  show,
  type Type,
} from './type.ts';

export function list<T>(type: Type<T>): Type<readonly T[]> {
  return {
    name: `repeated ${type.name}`,
    message: type.message,
    enumeration: type.enumeration,
    read(value, path, sink) {
      if (!Array.isArray(value)) {
        sink.error('wrong-type', path, `expected a list, got ${show(value)}`);
        return undefined;
      }
      const out: T[] = [];
      for (const [i, item] of value.entries()) {
        const read = type.read(item, [...path, i], sink);
        if (read !== undefined) out.push(read);
      }
      return out;
    },
  };
}

/** `null` values stand for an empty message where the element is one (`headers: {x-user: {}}` and `{x-user: null}`). */
export function map<T>(type: Type<T>): Type<Readonly<Record<string, T>>> {
  return {
    name: `map<string, ${type.name}>`,
    message: type.message,
    enumeration: type.enumeration,
    read(value, path, sink) {
      if (!isRecord(value)) {
        sink.error('wrong-type', path, `expected an object, got ${show(value)}`);
        return undefined;
      }
      const out: [string, T][] = [];
      for (const [key, item] of Object.entries(value)) {
        const read = type.read(item === null && type.message !== null ? {} : item, [...path, key], sink);
        if (read !== undefined) out.push([key, read]);
      }
      // fromEntries defines properties, so a key `__proto__` is a key like any other.
      return Object.fromEntries(out);
    },
  };
}

/** A message by its name in the proto, nested ones with their parents (`HTTPFaultInjection.Delay`). */
export function message<const F extends Fields>(name: string, fields: F, options: { open?: boolean } = {}): Message<F> {
  const open = options.open ?? false;
  const known = Object.keys(fields);
  const needed = known.filter((key) => fields[key]?.state === 'required');
  const exclusive = known.filter((key) => fields[key]?.oneof !== '');
  const self: Message<F> = {
    name: name.slice(name.lastIndexOf('.') + 1),
    fields,
    open,
    enumeration: null,
    get message() {
      return self as unknown as Message;
    },
    read(value: unknown, path: Path, sink: Sink): Infer<F> | undefined {
      if (!isRecord(value)) {
        sink.error('wrong-type', path, `expected an object, got ${show(value)}`);
        return undefined;
      }
      const out: [string, unknown][] = [];
      for (const [key, item] of Object.entries(value)) {
        const field = Object.hasOwn(fields, key) ? fields[key] : undefined;
        if (field === undefined) {
          if (!open) sink.error('unknown-field', [...path, key], unknownField(key, known));
        } else if (item !== null && item !== undefined) {
          const read = readField(field, key, item, [...path, key], sink);
          if (read !== undefined) out.push([key, read]);
        }
      }
      for (const key of needed) {
        if (value[key] === null || value[key] === undefined) sink.error('missing-field', path, `${key} is required`);
      }
      if (exclusive.length > 0) checkExclusive(fields, exclusive, value, path, sink);
      // The reader of each field has checked its type, and errors refuse the whole object.
      return Object.fromEntries(out) as Infer<F>;
    },
  };
  return self;
}

function unknownField(key: string, known: readonly string[]): string {
  const hint = didYouMean(key, known);
  const choice = hint === '' && known.length <= 12 ? `: known here are ${known.join(', ')}` : hint;
  return `unknown field ${show(key)}${choice}`;
}

function readField(field: Field, key: string, value: unknown, path: Path, sink: Sink): unknown {
  if (field.state === 'effective' || field.state === 'required') {
    if (field.deprecated !== '') sink.warning('deprecated', path, `${key} is deprecated: ${field.deprecated}`);
    return field.type.read(value, path, sink);
  }
  // What is inside is still checked, so that a mistake shows now and not when the field becomes effective.
  field.type.read(value, path, field.state === 'refused' ? mistakesOnly(sink) : errorsOnly(sink));
  if (isDefault(value, field.state)) return undefined;
  if (field.state === 'refused') sink.error('refused-field', path, `${key} is refused: ${field.reason}`);
  else sink.warning('no-effect', path, `${key} has no effect: ${field.reason}`);
  return undefined;
}

function errorsOnly(sink: Sink): Sink {
  return { error: (code, path, message) => sink.error(code, path, message), warning: () => {} };
}

/** What is inside of a refused field need not be refused once more. */
function mistakesOnly(sink: Sink): Sink {
  return {
    error: (code, path, message) => {
      if (code !== 'refused-field' && code !== 'refused-value') sink.error(code, path, message);
    },
    warning: () => {},
  };
}

/**
 * The value a proto field has when it is not written: saying it aloud asks for nothing. An empty message does mean
 * something by being there (`proxyProtocol: {}` is version 1), so what is refused is refused even then.
 */
function isDefault(value: unknown, state: FieldState): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (isRecord(value)) return state === 'reported' && Object.keys(value).length === 0;
  return value === false || value === 0 || value === '';
}

function checkExclusive(
  fields: Fields,
  keys: readonly string[],
  value: Readonly<Record<string, unknown>>,
  path: Path,
  sink: Sink,
): void {
  const taken = new Map<string, string>();
  for (const key of keys) {
    if (value[key] === null || value[key] === undefined) continue;
    const oneof = fields[key]?.oneof ?? '';
    const other = taken.get(oneof);
    if (other === undefined) taken.set(oneof, key);
    else sink.error('conflicting-fields', [...path, key], `only one of ${other} and ${key} may be given`);
  }
}
