/** ': did you mean "hosts"?' when one of the known names is near, else ''. */
export function suggest(name: string, known: Iterable<string>): string {
  if (name.length > 64) return '';
  let best = '';
  let nearest = Math.min(3, Math.max(1, Math.floor(name.length / 3))) + 1;
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) >= nearest) continue;
    const distance = editDistance(name, candidate);
    if (distance < nearest) [best, nearest] = [candidate, distance];
  }
  return best === '' ? '' : `: did you mean "${best}"?`;
}

/** Levenshtein's distance, where two letters that changed places count once. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, (before[j - 2] ?? 0) + 1);
      row.push(cost);
    }
    before = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
