import { isIP } from 'node:net';
import { didYouMean } from './suggest.ts';
import { type Enumeration, type EnumValue, type Path, type Sink, show, type Type } from './type.ts';

function scalar<T>(
  name: string,
  expected: string | ((value: unknown) => string),
  parse: (value: unknown) => T | undefined,
): Type<T> {
  return {
    name,
    message: null,
    enumeration: null,
    read(value, path, sink) {
      const parsed = parse(value);
      if (parsed === undefined) {
        const wanted = typeof expected === 'string' ? expected : expected(value);
        sink.error('wrong-type', path, `expected ${wanted}, got ${show(value)}`);
      }
      return parsed;
    },
  };
}

export const string: Type<string> = scalar(
  'string',
  (value) => (typeof value === 'number' || typeof value === 'boolean' ? 'a string (put it in quotes)' : 'a string'),
  (value) => (typeof value === 'string' ? value : undefined),
);

/** 192.0.2.1 or 2001:db8::1. */
export function isAddress(text: string): boolean {
  return isIP(text) !== 0;
}

/** An address, or '' where there is none yet. */
export const ipAddress: Type<string> = scalar('string', 'an IP address', (value) =>
  typeof value === 'string' && (value === '' || isAddress(value)) ? value : undefined,
);

export const bool: Type<boolean> = scalar('bool', 'true or false', (value) =>
  typeof value === 'boolean' ? value : undefined,
);

function integer(name: string, low: number, high: number): Type<number> {
  return scalar(
    name,
    (value) => {
      if (typeof value !== 'number' || !Number.isInteger(value)) return 'a whole number';
      return `a whole number of ${value < low ? `at least ${low}` : `at most ${high}`}`;
    },
    (value) =>
      typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high ? value : undefined,
  );
}

export const int32: Type<number> = integer('int32', -2147483648, 2147483647);
/** A TCP or UDP port, which Kubernetes writes as int32. */
export const portNumber: Type<number> = integer('int32', 1, 65535);
export const uint32: Type<number> = integer('uint32', 0, 4294967295);
export const uint64: Type<number> = integer('uint64', 0, Number.MAX_SAFE_INTEGER);
export const int64: Type<number> = integer('int64', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);

export const double: Type<number> = scalar('double', 'a number', (value) =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined,
);

/** A type with another name: the wrappers of protobuf are plain values in YAML. */
export function named<T>(name: string, type: Type<T>): Type<T> {
  return { ...type, name };
}
export const boolValue: Type<boolean> = named('google.protobuf.BoolValue', bool);
export const uint32Value: Type<number> = named('google.protobuf.UInt32Value', uint32);
export const uint64Value: Type<number> = named('google.protobuf.UInt64Value', uint64);
export const doubleValue: Type<number> = named('google.protobuf.DoubleValue', double);

export const bytes: Type<Uint8Array> = scalar('bytes', 'base64 text', (value) => {
  if (typeof value !== 'string' || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(value)) return undefined;
  return new Uint8Array(Buffer.from(value, 'base64'));
});

const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const DURATION = /^(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))*$/;
/** protobuf's own limit, 10,000 years. */
const LONGEST_MS = 315_576_000_000_000;

/** Milliseconds of `1.5s`, `250ms`, `1h30m`, `0s`; undefined when it is not a duration. Never negative. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (text.length > 64 || !DURATION.test(text)) return undefined;
  let ms = 0;
  for (const part of text.matchAll(/([\d.]+)([a-zµ]+)/g)) ms += Number(part[1]) * (UNITS[part[2] ?? ''] ?? Number.NaN);
  const rounded = Math.round(ms * 1e6) / 1e6;
  return Number.isFinite(rounded) && rounded <= LONGEST_MS ? rounded : undefined;
}

/** Milliseconds. Either 0 or at least one millisecond. */
export const duration: Type<number> = {
  name: 'google.protobuf.Duration',
  message: null,
  enumeration: null,
  read(value, path, sink) {
    const ms = typeof value === 'string' ? parseDuration(value) : undefined;
    if (ms === undefined) {
      sink.error('wrong-type', path, `expected a duration such as "1.5s", got ${show(value)}`);
    } else if (ms > 0 && ms < 1) {
      sink.error('out-of-range', path, `expected a duration of 0s or at least 1ms, got ${show(value)}`);
    } else {
      return ms;
    }
    return undefined;
  },
};

/** A port by number or by name (`targetPort` of a Service). */
export const intOrString: Type<number | string> = scalar('IntOrString', 'a port number or name', (value) =>
  typeof value === 'string' || (typeof value === 'number' && Number.isInteger(value)) ? value : undefined,
);

/** Only a name means effective; the others as given. */
export function enumeration<V extends string>(
  name: string,
  values: { readonly [K in V]: 'effective' | Omit<EnumValue, never> },
): Enumeration<V> {
  const table: Record<string, EnumValue> = {};
  for (const [value, state] of Object.entries(values) as [string, 'effective' | EnumValue][]) {
    table[value] = state === 'effective' ? { state: 'effective', reason: '' } : state;
  }
  const self: Enumeration<V> = {
    name,
    message: null,
    get enumeration() {
      return self;
    },
    values: table,
    read(value: unknown, path: Path, sink: Sink): V | undefined {
      const names = Object.keys(table);
      if (typeof value !== 'string' || !Object.hasOwn(table, value)) {
        const hint = typeof value === 'string' ? didYouMean(value, names) : '';
        sink.error('wrong-type', path, `expected one of ${names.join(', ')}, got ${show(value)}${hint}`);
        return undefined;
      }
      const known = table[value];
      if (known?.state === 'refused') sink.error('refused-value', path, `${value} is refused: ${known.reason}`);
      if (known?.state === 'reported') sink.warning('no-effect', path, `${value} has no effect: ${known.reason}`);
      return value as V;
    },
  };
  return self;
}
