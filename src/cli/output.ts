import { InvalidArgumentError } from 'commander';

export { count, duration } from '../base/words.ts';

/** What `-o` may say. */
export type OutputFormat = 'text' | 'json';

export function outputFormat(text: string): OutputFormat {
  if (text !== 'text' && text !== 'json') throw new InvalidArgumentError('must be text or json');
  return text;
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** How parts of a text look; every paint is the identity where nobody sees colours. */
export interface Paint {
  good(text: string): string;
  bad(text: string): string;
  warn(text: string): string;
  faint(text: string): string;
  strong(text: string): string;
}

const same = (text: string): string => text;
export const PLAIN: Paint = { good: same, bad: same, warn: same, faint: same, strong: same };

const sgr =
  (on: number, off: number) =>
  (text: string): string =>
    text === '' ? '' : `\x1b[${on}m${text}\x1b[${off}m`;
export const COLOURS: Paint = {
  good: sgr(32, 39),
  bad: sgr(31, 39),
  warn: sgr(33, 39),
  faint: sgr(2, 22),
  strong: sgr(1, 22),
};

/** Colours for a terminal, unless `NO_COLOR` asks for none. */
export function paintFor(stream: { readonly isTTY?: boolean }): Paint {
  return stream.isTTY === true && !process.env.NO_COLOR ? COLOURS : PLAIN;
}

/** Columns as wide as their widest cell. A cell is painted after it was padded, so that escapes do not count. */
export function table(
  rows: readonly (readonly string[])[],
  paint: (cell: string, text: string) => string = same2,
): string {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows
    .map((row) => {
      const cells = row.map((cell, i) => paint(cell, i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)));
      return `${cells.join('  ').trimEnd()}\n`;
    })
    .join('');
}

function same2(_cell: string, text: string): string {
  return text;
}
