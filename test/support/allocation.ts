import { type HeapProfiler, type Profiler, Session } from 'node:inspector';
import { fileURLToPath } from 'node:url';
import { promiseHooks } from 'node:v8';

/** Paths of the repository's sources, as they stand in stacks and profiles. */
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What drives the requests is not what is measured. */
const DRIVER = /\/test\/support\//;

/** Runs `work` and answers how many promises the proxy's code made meanwhile, or had made, by the place that made them. */
export async function promisesMade(work: () => Promise<void>): Promise<Map<string, number>> {
  const made = new Map<string, number>();
  const stop = promiseHooks.createHook({
    init() {
      // The test runner makes promises of its own; those made by or for the proxy have a frame of it below them.
      const frames = new Error().stack!.split('\n').slice(2);
      const at = frames.findIndex((frame) => frame.includes(`${ROOT}src/`));
      if (at < 0) return;
      const place = (frames.find((frame) => frame.includes(ROOT)) ?? frames[at]!).trim();
      made.set(place, (made.get(place) ?? 0) + 1);
    },
  }) as () => void;
  try {
    await work();
  } finally {
    stop();
  }
  return made;
}

/** Bytes by function: `src/proxy/http/stream.ts #finish`. */
export type Bytes = ReadonlyMap<string, number>;

/**
 * Runs `work` and answers how many bytes the repository's functions allocated, garbage included. A builtin's count
 * with their caller, those of Node's own functions with nobody. Sampled every 64 bytes, so good to a few percent.
 */
export async function bytesAllocated(work: () => Promise<void>): Promise<Bytes> {
  const session = new Session();
  session.connect();
  session.post('HeapProfiler.startSampling', {
    samplingInterval: 64,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  });
  try {
    await work();
    return await new Promise<Bytes>((resolve, reject) => {
      session.post('HeapProfiler.stopSampling', (error, result) => {
        if (error !== null) reject(error);
        else resolve(byFunction(result.profile.head));
      });
    });
  } finally {
    session.disconnect();
  }
}

function byFunction(head: HeapProfiler.SamplingHeapProfileNode): Bytes {
  const bytes = new Map<string, number>();
  const visit = (node: HeapProfiler.SamplingHeapProfileNode, caller: string): void => {
    const { url, functionName } = node.callFrame;
    const key = url === '' ? caller : ours(url) ? `${relative(url)} ${functionName || '(anonymous)'}` : '';
    if (key !== '') bytes.set(key, (bytes.get(key) ?? 0) + node.selfSize);
    for (const child of node.children) visit(child, key);
  };
  visit(head, '');
  return bytes;
}

/** Bytes of a function object, less what sampling may miss: 56 or 64 in V8 on 64 bits. */
const LEAST_CLOSURE = 40;

/** A place where a function object was made again and again: `src/proxy/http/stream.ts run > (anonymous)`. */
export type Closures = ReadonlyMap<string, number>;

/**
 * Counts the function objects that are made, by V8's own execution counts: a function literal makes one each time
 * that the innermost block around it runs. Must be begun before the code that it is to see is loaded. V8 sometimes
 * gives what lies behind an early return the count of the whole function, so a place counts only where its function
 * allocated besides.
 */
export class ClosureCounter {
  readonly #session = new Session();

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Closures made during `work`. */
  async during(work: () => Promise<void>): Promise<Closures> {
    // Taking sets the counts to zero.
    await this.#take();
    const bytes = await bytesAllocated(work);
    const made = new Map<string, number>();
    for (const script of await this.#take()) {
      if (!ours(script.url)) continue;
      for (const literal of script.functions) {
        const { maker, count } = makerOf(literal, script.functions);
        const place = `${relative(script.url)} ${maker}`;
        if (count === 0 || (bytes.get(place) ?? 0) < count * LEAST_CLOSURE) continue;
        const key = `${place} > ${literal.functionName || '(anonymous)'}`;
        made.set(key, (made.get(key) ?? 0) + count);
      }
    }
    return made;
  }

  end(): void {
    this.#session.post('Profiler.stopPreciseCoverage');
    this.#session.disconnect();
  }

  #take(): Promise<Profiler.ScriptCoverage[]> {
    return new Promise((resolve, reject) => {
      this.#session.post('Profiler.takePreciseCoverage', (error, { result }) => {
        if (error !== null) reject(error);
        else resolve(result);
      });
    });
  }
}

/** The function around a literal, and how often the innermost block of it ran that holds the literal. */
function makerOf(
  literal: Profiler.FunctionCoverage,
  functions: readonly Profiler.FunctionCoverage[],
): { maker: string; count: number } {
  const { startOffset, endOffset } = literal.ranges[0]!;
  let maker = '';
  let count = 0;
  let size = Number.POSITIVE_INFINITY;
  for (const around of functions) {
    if (around === literal) continue;
    for (const range of around.ranges) {
      if (range.startOffset > startOffset || range.endOffset < endOffset) continue;
      const width = range.endOffset - range.startOffset;
      if (width > size || (range.startOffset === startOffset && range.endOffset === endOffset)) continue;
      size = width;
      count = range.count;
      maker = around.functionName || '(anonymous)';
    }
  }
  return { maker, count };
}

function ours(url: string): boolean {
  return relative(url) !== url && !DRIVER.test(url);
}

function relative(url: string): string {
  const path = url.startsWith('file://') ? fileURLToPath(url) : url;
  return path.startsWith(ROOT) && !path.includes('/node_modules/') ? path.slice(ROOT.length) : url;
}

/** The largest first, a line each, for messages of failed tests. */
export function lines(counts: ReadonlyMap<string, number>, per: number, digits: number): string[] {
  return [...counts].sort(([, a], [, b]) => b - a).map(([place, count]) => `${(count / per).toFixed(digits)} ${place}`);
}
