/** ms of a proto3 JSON duration such as '1.5s'; undefined when it is not one. */
export function parseDuration(text: string): number | undefined {
  const match = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/.exec(text);
  if (match === null) return undefined;
  const [, sign, seconds = '0', fraction = ''] = match;
  if (Number(seconds) > 315_576_000_000) return undefined;
  const ms = Number(seconds) * 1000 + Number(fraction.padEnd(9, '0')) / 1e6;
  return sign === '-' && ms !== 0 ? -ms : ms;
}

/** '1.5s' for 1500. */
export function formatDuration(ms: number): string {
  const [seconds, nanos] = split(Math.abs(ms));
  return `${ms < 0 && seconds + nanos > 0 ? '-' : ''}${seconds}${fraction(nanos)}s`;
}

/** ms since the epoch of an RFC 3339 text; undefined when it is not one. */
export function parseTimestamp(text: string): number | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/i.exec(text);
  if (match === null) return undefined;
  const [, seconds = '', fraction = '', zone = ''] = match;
  const base = Date.parse(`${seconds.toUpperCase()}${zone.toUpperCase()}`);
  return Number.isNaN(base) ? undefined : base + Number(fraction.padEnd(9, '0')) / 1e6;
}

/** RFC 3339 text, in UTC; undefined outside the years 1 to 9999. */
export function formatTimestamp(ms: number): string | undefined {
  let seconds = Math.floor(ms / 1000);
  let nanos = Math.round((ms - seconds * 1000) * 1e6);
  if (nanos >= 1e9) [seconds, nanos] = [seconds + 1, 0];
  if (!(seconds >= -62_135_596_800 && seconds <= 253_402_300_799)) return undefined;
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}${fraction(nanos)}Z`;
}

function split(ms: number): [number, number] {
  const seconds = Math.floor(ms / 1000);
  const nanos = Math.round((ms - seconds * 1000) * 1e6);
  return nanos >= 1e9 ? [seconds + 1, 0] : [seconds, nanos];
}

function fraction(nanos: number): string {
  return nanos === 0 ? '' : `.${String(nanos).padStart(9, '0').replace(/0+$/, '')}`;
}
