/** Times of access log lines. Within one millisecond all lines share a text, within one second its first part. */

const MILLIS: readonly string[] = Array.from({ length: 1000 }, (_, ms) => `${String(ms).padStart(3, '0')}Z`);

let cachedSecond = Number.NaN;
let cachedPrefix = '';
let cachedWall = Number.NaN;
let cachedText = '';

/** `2024-05-06T07:08:09.123Z`: Envoy's default for START_TIME. */
export function formatIsoTime(wall: number): string {
  if (wall === cachedWall) return cachedText;
  const whole = Math.floor(wall);
  const second = Math.floor(whole / 1000);
  if (second !== cachedSecond) {
    cachedSecond = second;
    cachedPrefix = new Date(second * 1000).toISOString().slice(0, 20);
  }
  cachedWall = wall;
  cachedText = cachedPrefix + MILLIS[whole - second * 1000]!;
  return cachedText;
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

/** The parts of a moment, already in the wanted zone (as UTC fields of `date`). */
interface Moment {
  readonly date: Date;
  readonly wall: number;
  /** Minutes east of UTC. */
  readonly offset: number;
}
type Part = (moment: Moment) => string;

const two = (n: number): string => String(n).padStart(2, '0');
const space2 = (n: number): string => String(n).padStart(2, ' ');
const hour12 = (d: Date): number => d.getUTCHours() % 12 || 12;
const dayOfYear = (d: Date): number =>
  Math.floor(
    (Date.UTC(d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate()) - Date.UTC(d.getUTCFullYear(), 0, 1)) / 864e5,
  ) + 1;

/** Digits of the second's fraction; a wall clock of milliseconds fills the rest with zeros. */
function fraction(wall: number, digits: number): string {
  const ms = ((Math.floor(wall) % 1000) + 1000) % 1000;
  return String(ms).padStart(3, '0').padEnd(9, '0').slice(0, digits);
}

function zone(offset: number, colon: string): string {
  const minutes = Math.abs(offset);
  return `${offset < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}${colon}${two(minutes % 60)}`;
}

const PARTS: Readonly<Record<string, Part>> = {
  Y: ({ date }) => String(date.getUTCFullYear()),
  y: ({ date }) => two(date.getUTCFullYear() % 100),
  C: ({ date }) => two(Math.floor(date.getUTCFullYear() / 100)),
  m: ({ date }) => two(date.getUTCMonth() + 1),
  d: ({ date }) => two(date.getUTCDate()),
  e: ({ date }) => space2(date.getUTCDate()),
  H: ({ date }) => two(date.getUTCHours()),
  k: ({ date }) => space2(date.getUTCHours()),
  I: ({ date }) => two(hour12(date)),
  l: ({ date }) => space2(hour12(date)),
  M: ({ date }) => two(date.getUTCMinutes()),
  S: ({ date }) => two(date.getUTCSeconds()),
  p: ({ date }) => (date.getUTCHours() < 12 ? 'AM' : 'PM'),
  P: ({ date }) => (date.getUTCHours() < 12 ? 'am' : 'pm'),
  a: ({ date }) => DAYS[date.getUTCDay()]!.slice(0, 3),
  A: ({ date }) => DAYS[date.getUTCDay()]!,
  b: ({ date }) => MONTHS[date.getUTCMonth()]!.slice(0, 3),
  h: ({ date }) => MONTHS[date.getUTCMonth()]!.slice(0, 3),
  B: ({ date }) => MONTHS[date.getUTCMonth()]!,
  j: ({ date }) => String(dayOfYear(date)).padStart(3, '0'),
  u: ({ date }) => String(date.getUTCDay() || 7),
  w: ({ date }) => String(date.getUTCDay()),
  s: ({ wall }) => String(Math.floor(wall / 1000)),
  f: ({ wall }) => fraction(wall, 9),
  z: ({ offset }) => zone(offset, ''),
  Z: ({ offset }) => (offset === 0 ? 'UTC' : zone(offset, '')),
  n: () => '\n',
  t: () => '\t',
  '%': () => '%',
};

/** Conversions that stand for others. */
const SHORTHANDS: Readonly<Record<string, string>> = {
  F: '%Y-%m-%d',
  T: '%H:%M:%S',
  D: '%m/%d/%y',
  R: '%H:%M',
  r: '%I:%M:%S %p',
  x: '%m/%d/%y',
  X: '%H:%M:%S',
  c: '%a %b %e %H:%M:%S %Y',
};

export type TimeFormat = (wall: number) => string;

/**
 * Compiles a strftime format with Envoy's additions (`%s` seconds since the epoch, `%f` and `%1f` … `%9f` a
 * fraction, absl's `%E3S`, `%E*S`, `%Ez`). Says in `error` which conversion is not known.
 */
export function compileTimeFormat(
  format: string,
  local: boolean,
): { readonly ok: TimeFormat; readonly error?: never } | { readonly ok?: never; readonly error: string } {
  const parts: (string | Part)[] = [];
  const error = parse(format, parts);
  if (error !== null) return { error };
  let lastWall = Number.NaN;
  let lastText = '';
  const ok = (wall: number): string => {
    if (wall === lastWall) return lastText;
    const offset = local ? -new Date(wall).getTimezoneOffset() : 0;
    const moment: Moment = { date: new Date(Math.floor(wall) + offset * 60_000), wall, offset };
    let text = '';
    for (const part of parts) text += typeof part === 'string' ? part : part(moment);
    lastWall = wall;
    lastText = text;
    return text;
  };
  return { ok };
}

function parse(format: string, parts: (string | Part)[]): string | null {
  const conversion = /%(?:([1-9])f|E(\d|\*)S|(Ez)|(.))/gsy;
  let at = 0;
  while (at < format.length) {
    const next = format.indexOf('%', at);
    if (next < 0) {
      parts.push(format.slice(at));
      return null;
    }
    if (next > at) parts.push(format.slice(at, next));
    conversion.lastIndex = next;
    const found = conversion.exec(format);
    if (found === null) return 'the format ends with a single "%"';
    const [all, digits, precise, colonZone, letter] = found;
    const error = addConversion(parts, digits, precise, colonZone, letter, all);
    if (error !== null) return error;
    at = next + all.length;
  }
  return null;
}

function addConversion(
  parts: (string | Part)[],
  digits: string | undefined,
  precise: string | undefined,
  colonZone: string | undefined,
  letter: string | undefined,
  all: string,
): string | null {
  if (digits !== undefined) {
    parts.push(({ wall }) => fraction(wall, Number(digits)));
  } else if (precise !== undefined) {
    parts.push(({ date, wall }) => {
      const seconds = two(date.getUTCSeconds());
      if (precise === '0') return seconds;
      if (precise !== '*') return `${seconds}.${fraction(wall, Number(precise))}`;
      const rest = fraction(wall, 9).replace(/0+$/, '');
      return rest === '' ? seconds : `${seconds}.${rest}`;
    });
  } else if (colonZone !== undefined) {
    parts.push(({ offset }) => zone(offset, ':'));
  } else if (letter !== undefined && Object.hasOwn(SHORTHANDS, letter)) {
    return parse(SHORTHANDS[letter]!, parts);
  } else if (letter !== undefined && Object.hasOwn(PARTS, letter)) {
    parts.push(PARTS[letter]!);
  } else {
    return `time conversion ${JSON.stringify(all)} is not known`;
  }
  return null;
}
