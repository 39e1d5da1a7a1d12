import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { dryRun, type IptablesFlags, interception, iptablesCommand } from '../../../../src/cli/iptables/index.ts';
import { CHAINS, type Family, ruleSet, type Table } from '../../../../src/cli/iptables/rules.ts';

/** A case is a Markdown file with its flags; what `--dry-run` prints follows. UPDATE_GOLDEN=1 writes it anew. */
const FOLDER = join(import.meta.dirname, '../../../golden/iptables');

function optionsOf(args: readonly string[]): { flags: IptablesFlags; families: Family[] } {
  const command = iptablesCommand();
  expect(command.parseOptions([...args]).unknown).toEqual([]);
  const flags = command.opts<IptablesFlags>();
  return { flags, families: flags.ipv6 === 'on' ? ['v4', 'v6'] : ['v4'] };
}

describe('golden rules', () => {
  const files = readdirSync(FOLDER).sort();
  it('are all cases', () => expect(files.filter((file) => !file.endsWith('.md'))).toEqual([]));

  it.each(files)('%s', (file) => {
    const path = join(FOLDER, file);
    const text = readFileSync(path, 'utf8');
    const { flags, families } = optionsOf((/^Flags: `(.*)`$/m.exec(text)?.[1] ?? '').split(' '));
    const sets = families.map((family) => ruleSet(interception(flags), family));
    const output = `\`\`\`text\n${sets.map(dryRun).join('')}\`\`\`\n`;
    const at = text.indexOf('```text\n');
    if (process.env.UPDATE_GOLDEN === '1')
      writeFileSync(path, `${(at < 0 ? text : text.slice(0, at)).trimEnd()}\n\n${output}`);
    else expect(text.slice(at)).toBe(output);
    // What is written can be taken away again, and every target is there.
    for (const { tables } of sets) {
      for (const [table, { chains, jumps }] of tables) {
        for (const chain of chains.keys()) expect(CHAINS[table as Table]).toContain(chain);
        for (const rule of [...[...chains.values()].flat(), ...jumps]) {
          const target = / ?-j (ISTIO_\S+)/.exec(rule)?.[1];
          if (target !== undefined) expect([...chains.keys()]).toContain(target);
        }
      }
    }
  });
});
