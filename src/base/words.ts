/** Numbers as people say them. */

/** `3 proxies`, `1 proxy`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** `150 ms`, `2.5 s`, `5 min`; 0 is none. */
export function duration(ms: number): string {
  if (ms === 0) return 'none';
  if (ms < 1000) return `${round(ms)} ms`;
  if (ms < 120_000) return `${round(ms / 1000)} s`;
  return `${round(ms / 60_000)} min`;
}

function round(value: number): string {
  return String(Math.round(value * 100) / 100);
}
