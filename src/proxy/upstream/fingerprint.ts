/** A text that is the same for deeply equal plain values, whatever the order of their keys. */
export function fingerprint(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (part instanceof Map) return ['Map', ...[...part].sort(byKey)];
    if (part instanceof Set) return ['Set', ...part];
    if (part instanceof Uint8Array) return ['bytes', Buffer.from(part).toString('base64')];
    if (typeof part === 'bigint') return `${part}n`;
    if (typeof part === 'number' && !Number.isFinite(part)) return String(part);
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(byKey));
  });
}

function byKey(a: readonly [unknown, unknown], b: readonly [unknown, unknown]): number {
  const left = String(a[0]);
  const right = String(b[0]);
  return left < right ? -1 : left > right ? 1 : 0;
}
