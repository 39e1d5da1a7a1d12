import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Random, seededRandom } from '../../../../../src/base/random.ts';
import { examine } from '../../../../../src/control/analyze/examine.ts';
import { readObjects } from '../../../../../src/control/source/files/yaml.ts';
import { timed } from '../../../../support/cpu-time.ts';

const GOLDEN = join(import.meta.dirname, '../../../../golden/translate/istio');
const PIECES = [
  '\n',
  ' ',
  '  ',
  '- ',
  ': ',
  '{',
  '}',
  '[',
  ']',
  '"',
  "'",
  '&a ',
  '*a',
  '!!x ',
  '|',
  '>',
  '---\n',
  '#',
  '\t',
  '\0',
  '? ',
  ',',
  '%',
  '<<: ',
  '__proto__',
  'null',
  '1e999',
  '\ud800',
  'é',
  '\r\n',
];

function mutate(text: string, random: Random): string {
  let out = text;
  for (let n = random.int(6) + 1; n > 0; n--) {
    const at = random.int(out.length + 1);
    const length = random.int(20);
    const piece = PIECES[random.int(PIECES.length)] ?? '';
    const kind = random.int(5);
    if (kind === 0) out = out.slice(0, at) + out.slice(at + length);
    else if (kind === 1) out = out.slice(0, at) + piece + out.slice(at);
    else if (kind === 2) out = out.slice(0, at) + piece + out.slice(at + piece.length);
    else if (kind === 3)
      out = out.slice(0, at) + out.slice(random.int(out.length + 1)).slice(0, length * 4) + out.slice(at);
    else out = out.slice(0, at) + piece.repeat(random.int(300)) + out.slice(at);
  }
  return out;
}

describe('mutated files', () => {
  it('never throw, and each is read in a short time', () => {
    const random = seededRandom(20_260);
    const texts = readdirSync(GOLDEN).map((file) => {
      const text = readFileSync(join(GOLDEN, file), 'utf8');
      return [...text.matchAll(/^```yaml (?!output)\S+\n([\s\S]*?)^```$/gm)].map((match) => match[1]).join('---\n');
    });
    let slowest = 0;
    let objects = 0;
    for (let i = 0; i < 600; i++) {
      const text = mutate(texts[i % texts.length] ?? '', random);
      const { result: read, took } = timed(() => {
        const { objects, findings } = readObjects(text, 'fuzz.yaml');
        examine({ objects, findings });
        return { objects, findings };
      });
      slowest = Math.max(slowest, took);
      objects += read.objects.length;
      for (const finding of read.findings) expect(finding.message).not.toBe('');
    }
    expect(objects).toBeGreaterThan(300);
    expect(slowest).toBeLessThan(2_000);
  }, 60_000);
});
