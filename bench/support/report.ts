/** Measurements of one peer: metric → one number a round. */
export interface Series {
  readonly peer: string;
  readonly samples: Record<string, number[]>;
}

export interface Column {
  readonly metric: string;
  readonly title: string;
  readonly digits: number;
}

/** What the project promises of Remora in a scenario: the median of `metric` is at most this, or this times a rival's. */
export interface Bar {
  readonly text: string;
  readonly metric: string;
  readonly against: string | null;
  readonly most: number;
}

export interface Report {
  readonly scenario: string;
  readonly title: string;
  readonly columns: readonly Column[];
  /** The metric whose ratios are shown. */
  readonly compared: string;
  readonly series: readonly Series[];
  readonly bars: readonly Bar[];
  readonly notes: readonly string[];
}

/** Those whose medians the others are divided by. */
const REFERENCES = ['envoy', 'http-proxy', 'istiod'];

export function median(numbers: readonly number[]): number {
  if (numbers.length === 0) return Number.NaN;
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Half the distance from lowest to highest, in % of the median: what chance alone does here. */
export function spread(numbers: readonly number[]): number {
  return ((Math.max(...numbers) - Math.min(...numbers)) / 2 / median(numbers)) * 100;
}

export interface Verdict {
  readonly bar: string;
  readonly value: number;
  /** null: the rival is missing. */
  readonly passed: boolean | null;
}

export function judge(report: Report): Verdict[] {
  return report.bars.map(({ text, metric, against, most }) => {
    const value = medianOf(report, 'remora', metric) / (against === null ? 1 : medianOf(report, against, metric));
    return { bar: text, value, passed: Number.isNaN(value) ? null : value <= most };
  });
}

export function render(report: Report): string {
  const references = REFERENCES.filter((name) => report.series.some(({ peer }) => peer === name));
  const head = [
    'proxy',
    ...report.columns.map(({ title }) => title),
    'spread',
    ...references.map((name) => `× ${name}`),
  ];
  const rows = report.series.map(({ peer, samples }) => [
    peer,
    ...report.columns.map(({ metric, digits }) => median(samples[metric] ?? []).toFixed(digits)),
    `±${spread(samples[report.compared] ?? []).toFixed(0)} %`,
    ...references.map((name) =>
      (median(samples[report.compared] ?? []) / medianOf(report, name, report.compared)).toFixed(2),
    ),
  ]);
  const lines = [`${report.scenario}: ${report.title}`, ...table([head, ...rows])];
  for (const { bar, value, passed } of judge(report)) {
    const word = passed === null ? 'not measured' : passed ? 'pass' : 'FAIL';
    lines.push(`  ${word.padEnd(5)} ${bar}${passed === null ? '' : `: ${value.toPrecision(3)}`}`);
  }
  return [...lines, ...report.notes.map((note) => `  note: ${note}`), ''].join('\n');
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
}

function medianOf(report: Report, name: string, metric: string): number {
  return median(report.series.find(({ peer }) => peer === name)?.samples[metric] ?? []);
}
