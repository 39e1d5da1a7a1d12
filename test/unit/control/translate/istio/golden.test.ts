import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { examine } from '../../../../../src/control/analyze/examine.ts';
import { formatFinding } from '../../../../../src/control/source/collection.ts';
import { readObjects } from '../../../../../src/control/source/files/yaml.ts';

/**
 * A case is a Markdown file: what behaves how, one YAML block for each input file (its name after `yaml`), and the
 * block `yaml output` with the mesh and the findings. UPDATE_GOLDEN=1 writes the outputs anew. A line
 * `Shows: routes, findings` limits the output to those parts.
 */
const FOLDER = join(import.meta.dirname, '../../../../golden/translate/istio');
const PARTS = [
  'services',
  'workloads',
  'routes',
  'tlsRoutes',
  'policies',
  'gateways',
  'peerAuthentications',
  'rateLimits',
  'findings',
];

describe('golden translations of Istio objects', () => {
  const files = readdirSync(FOLDER).sort();

  it('are all cases', () => {
    expect(files.filter((file) => !file.endsWith('.md'))).toEqual([]);
  });

  for (const file of files.filter((name) => name.endsWith('.md'))) {
    it(file.replace(/\.md$/, '').replaceAll('-', ' '), () => {
      const path = join(FOLDER, file);
      const text = readFileSync(path, 'utf8');
      const output = run(text);
      if (process.env.UPDATE_GOLDEN === '1') writeFileSync(path, withOutput(text, output));
      else expect(block(text, 'output')).toBe(output);
    });
  }
});

function run(text: string): string {
  const inputs = [...text.matchAll(/^```yaml (\S+)\n([\s\S]*?)^```$/gm)].filter(([, name]) => name !== 'output');
  if (inputs.length === 0) throw new Error('a case without input');
  const read = inputs.map(([, name = '', yaml = '']) => readObjects(yaml, name));
  const result = examine({
    objects: read.flatMap((one) => one.objects),
    findings: read.flatMap((one) => one.findings),
  });
  const shows = /^Shows: (.*)$/m.exec(text)?.[1]?.split(', ') ?? PARTS;
  const whole: Record<string, unknown> = {
    ...result.mesh,
    services: [...result.mesh.services.values()],
    findings: result.findings.map((finding) => `${finding.severity} ${finding.code}: ${formatFinding(finding)}`),
  };
  const shown = Object.fromEntries(shows.map((part) => [part, prune(whole[part]) ?? []]));
  return stringify(shown, { lineWidth: 120, aliasDuplicateObjects: false });
}

function block(text: string, name: string): string {
  return new RegExp(`^\`\`\`yaml ${name}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(text)?.[1] ?? '';
}

function withOutput(text: string, output: string): string {
  const written = `\`\`\`yaml output\n${output}\`\`\`\n`;
  const start = text.indexOf('```yaml output\n');
  return `${start < 0 ? text.trimEnd().concat('\n\n') : text.slice(0, start)}${written}`;
}

/** Leaves out what has its default, so that a case shows what it is about. */
function prune(value: unknown, key = ''): unknown {
  if (value === null || value === '' || value === false) return undefined;
  if (value === 0) return key === 'weight' || key === 'attempts' || key === 'percent' ? 0 : undefined;
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  if (value instanceof Map) return prunedObject([...value]);
  if (Array.isArray(value)) {
    const items = value.map((item) => prune(item) ?? {});
    return items.length === 0 ? undefined : items;
  }
  if (typeof value === 'object') {
    const written = value as { object?: unknown; place?: unknown };
    if (key === 'written') return `${written.object} at ${written.place}`;
    return prunedObject(Object.entries(value));
  }
  return value;
}

function prunedObject(entries: readonly (readonly [unknown, unknown])[]): unknown {
  const kept = entries.flatMap(([key, item]) => {
    const pruned = prune(item, String(key));
    // A match without a text is "has to be there".
    if (pruned === undefined && item !== null) return [];
    if (pruned === undefined && !/^(x-|end-|debug)/.test(String(key))) return [];
    return [[String(key), pruned ?? 'present'] as const];
  });
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}
