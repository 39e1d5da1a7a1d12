import { CHAINS, type RuleSet, type Table } from './rules.ts';

/**
 * Text for `iptables-restore --noflush`, which takes a whole table or nothing of it. Naming a chain empties it, so that
 * applying again gives the same; a jump that `present` has already is left out. `present` is what `iptables-save`
 * printed, '' for an empty machine.
 */
export function restoreText({ tables }: RuleSet, present: string): string {
  const jumps = presentJumps(present);
  let text = '';
  for (const [table, { chains, jumps: wanted }] of tables) {
    text += `*${table}\n`;
    for (const chain of chains.keys()) text += `:${chain} - [0:0]\n`;
    for (const [chain, rules] of chains) for (const rule of rules) text += `-A ${chain} ${rule}\n`;
    // Ours first: whoever else is there must see what remains, not the other way round.
    for (const jump of wanted.toReversed()) {
      if (jumps.get(table)?.includes(jump)) continue;
      const [chain, ...rest] = jump.split(' ');
      text += `-I ${chain} 1 ${rest.join(' ')}\n`;
    }
    text += 'COMMIT\n';
  }
  return text;
}

/** What undoes it: every chain of ours that is there, in whatever version wrote it, with the jumps to it. '' nothing. */
export function cleanText(present: string): string {
  const jumps = presentJumps(present);
  const chains = presentChains(present);
  let text = '';
  for (const table of Object.keys(CHAINS) as Table[]) {
    const own = (chains.get(table) ?? []).filter((chain) => CHAINS[table].includes(chain));
    const lead = jumps.get(table) ?? [];
    if (own.length === 0 && lead.length === 0) continue;
    text += `*${table}\n`;
    for (const jump of lead) text += `-D ${jump}\n`;
    for (const chain of own) text += `-F ${chain}\n`;
    for (const chain of own) text += `-X ${chain}\n`;
    text += 'COMMIT\n';
  }
  return text;
}

/** Rules of the kernel's chains that jump to ours, by table, without `-A`; one that is there twice comes twice. */
function presentJumps(saved: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  let table = '';
  for (const line of saved.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1).trim();
    const own: readonly string[] = CHAINS[table as Table] ?? [];
    const match = /^-A (PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) (?:.* )?-j (\S+)$/.exec(line);
    if (match === null || !own.includes(match[2]!)) continue;
    found.set(table, [...(found.get(table) ?? []), line.slice(3)]);
  }
  return found;
}

function presentChains(saved: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  let table = '';
  for (const line of saved.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1).trim();
    const chain = /^:(\S+) /.exec(line)?.[1];
    if (chain !== undefined) found.set(table, [...(found.get(table) ?? []), chain]);
  }
  return found;
}
