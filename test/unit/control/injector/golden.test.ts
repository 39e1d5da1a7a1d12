import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { injectManifest } from '../../../../src/control/injector/manifest.ts';
import { defaultSettings } from '../../../../src/control/injector/settings.ts';
import { formatFinding } from '../../../../src/control/source/collection.ts';
import { kubernetesFaults } from '../../../support/kubernetes/check.ts';

/**
 * A case is a Markdown file: what behaves how, a block `yaml input`, and the blocks `yaml output` and `text messages`.
 * UPDATE_GOLDEN=1 writes those anew. A line `Shows: spec.template.spec.initContainers.0.args` limits the output to
 * those parts of each document.
 */
const FOLDER = join(import.meta.dirname, '../../../golden/inject');

describe('golden injections', () => {
  const files = readdirSync(FOLDER).sort();

  it('are all cases', () => expect(files.filter((file) => !file.endsWith('.md'))).toEqual([]));

  for (const file of files.filter((name) => name.endsWith('.md'))) {
    it(file.replace(/\.md$/, '').replaceAll('-', ' '), () => {
      const path = join(FOLDER, file);
      const text = readFileSync(path, 'utf8');
      const input = /^```(?:yaml|json) input\n([\s\S]*?)^```$/m.exec(text)?.[1];
      if (input === undefined) throw new Error('a case without input');
      const settings = { ...defaultSettings('1.2.3'), ...JSON.parse(/^Settings: (.*)$/m.exec(text)?.[1] ?? '{}') };
      const result = injectManifest(input, { settings, namespace: 'default', file: 'app.yaml' });
      const messages = [
        ...result.injected.map((object) => `injected: ${object}`),
        ...result.skipped.map(({ object, reason }) => `skipped: ${object}: ${reason}`),
        ...result.findings.map((finding) => `${finding.severity} ${finding.code}: ${formatFinding(finding)}`),
      ];
      const shown = partsOf(result.text, /^Shows: (.*)$/m.exec(text)?.[1]?.split(', ') ?? []);
      const refused = result.findings.some(({ severity }) => severity === 'error');
      const output = [
        ...(refused ? [] : [`\`\`\`yaml output\n${shown}\`\`\`\n`]),
        `\`\`\`text messages\n${messages.map((line) => `${line}\n`).join('')}\`\`\`\n`,
      ].join('\n');
      const at = text.search(/^```(?:yaml output|text messages)$/m);
      if (process.env.UPDATE_GOLDEN === '1')
        writeFileSync(path, `${(at < 0 ? text : text.slice(0, at)).trimEnd()}\n\n${output}`);
      else expect(text.slice(at)).toBe(output);
      if (refused) expect(result.text).toBe(input);
      else expect(objectsIn(result.text).flatMap(kubernetesFaults)).toEqual([]);
      // Never twice.
      const again = injectManifest(result.text, { settings, namespace: 'default', file: 'app.yaml' });
      expect(again.injected).toEqual([]);
      expect(again.text).toBe(result.text);
    });
  }
});

function objectsIn(text: string): unknown[] {
  return parseAllDocuments(text).flatMap((document) => {
    const value = document.toJS() as { apiVersion?: string; kind?: string; items?: object[] } | null;
    if (value === null) return [];
    const { apiVersion, kind = '', items = [] } = value;
    if (kind === 'List') return items;
    return kind.endsWith('List') ? items.map((one) => ({ apiVersion, kind: kind.slice(0, -4), ...one })) : [value];
  });
}

/** The parts that a case is about, each under a comment with its path. */
function partsOf(text: string, paths: readonly string[]): string {
  if (paths.length === 0) return text.endsWith('\n') ? text : `${text}\n`;
  return parseAllDocuments(text)
    .flatMap((document) =>
      paths.map((path) => {
        const value = path
          .split('.')
          .reduce<unknown>((node, part) => (node as Record<string, unknown> | undefined)?.[part], document.toJS());
        return value === undefined ? '' : `# ${path}\n${stringify(value, { lineWidth: 0 })}`;
      }),
    )
    .join('');
}
