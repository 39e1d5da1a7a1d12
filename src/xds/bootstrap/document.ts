import {
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
  type YAMLParseError,
} from 'yaml';
import { messageOf } from '../../base/errors.ts';
import { oneLine, type Problem, type Problems } from '../proto/codec.ts';

/** A problem with the place in the file that it is about; 0 when it is about the file as a whole. */
export interface LocatedProblem extends Problem {
  readonly line: number;
  readonly column: number;
}

/** Aliases may repeat what they name, so that a small text can stand for a huge tree; and the parser looks for each from the top. */
/** UTF-16 units of a text that is not plain JSON: a tree of YAML nodes takes a second and 100 MB for each 2 MB. */
const MAX_YAML_LENGTH = 8 * 1024 * 1024;
const MAX_NODES = 1_000_000;
const MAX_ALIASES = 2000;
const MAX_DEPTH = 1000;

/** A YAML or JSON text (JSON is YAML) as plain data, with the positions of all that is in it. */
export class ConfigDocument {
  readonly value: unknown;
  readonly #text: string;
  #tree: Tree | null;

  /** Without a tree, `text` is read again when somebody asks for a place in it. */
  constructor(value: unknown, text: string, tree: Tree | null) {
    this.value = value;
    this.#text = text;
    this.#tree = tree;
  }

  /** The place of a field path such as `static_resources.listeners[0].name`, or of what is nearest above it. */
  locate(path: string): { line: number; column: number } {
    this.#tree ??= parseTree(this.#text, new LineCounter());
    const { root, lines } = this.#tree;
    let node: Node | null = root.contents;
    let offset = node?.range?.[0] ?? 0;
    for (const step of stepsOf(path)) {
      node = resolveAlias(root, node);
      const pair: Pair | undefined = isMap(node) ? pairOf(root, node, step) : undefined;
      const next: unknown = pair?.value ?? (isSeq(node) ? node.items[Number(step)] : undefined);
      const at: unknown = pair?.key ?? next;
      offset = isNode(at) ? (at.range?.[0] ?? offset) : offset;
      node = isNode(next) ? next : null;
      if (node === null) break;
    }
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  }

  /** The data at a field path; undefined when there is none. */
  get(path: string): unknown {
    let value: unknown = this.value;
    for (const step of stepsOf(path)) {
      if (typeof value !== 'object' || value === null) return undefined;
      const key = Object.keys(value).find((name) => name === step || snakeCase(name) === step);
      value = key === undefined ? undefined : (value as Record<string, unknown>)[key];
    }
    return value;
  }
}

interface Tree {
  readonly root: Document.Parsed;
  readonly lines: LineCounter;
}

function parseTree(text: string, lines: LineCounter): Tree {
  const root = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    merge: true,
    // Looked for apart: the parser compares every key with every other.
    uniqueKeys: false,
    // A collection as a key is written out as text first, which takes for ever where collections nest.
    stringKeys: true,
    logLevel: 'error',
  });
  return { root, lines };
}

function resolveAlias(root: Document.Parsed, node: Node | null): Node | null {
  return isAlias(node) ? (node.resolve(root) ?? null) : node;
}

/** By either name of a field, also out of merged maps (`<<`). */
function pairOf(root: Document.Parsed, map: { items: unknown[] }, step: string, depth = 0): Pair | undefined {
  let merged: Pair | undefined;
  for (const item of map.items) {
    if (!isPair(item)) continue;
    const key = keyText(item.key);
    if (key === step || snakeCase(key) === step) return item;
    if (key === '<<' && depth < 10) {
      const from = resolveAlias(root, isNode(item.value) ? item.value : null);
      for (const source of isSeq(from) ? from.items : [from]) {
        const found = isNode(source) ? resolveAlias(root, source) : null;
        if (isMap(found)) merged ??= pairOf(root, found, step, depth + 1);
      }
    }
  }
  return merged;
}

/** A merge key's value is a symbol. */
function keyText(key: unknown): string {
  if (!isScalar(key)) return '';
  return typeof key.value === 'symbol' ? (key.value.description ?? '') : String(key.value);
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'range' in value;
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** `a.b[0]["x.y"]` → a, b, 0, x.y */
function stepsOf(path: string): string[] {
  return [...path.matchAll(/\["((?:[^"]|"(?!\]))*)"\]|\[(\d+)\]|([^.[\]]+)/g)].map((m) => m[1] ?? m[2] ?? m[3] ?? '');
}

/** Reads a text; when anything is wrong with it, the problems say so and there is no document. */
export function readDocument(text: string, problems: LocatedProblem[]): ConfigDocument | undefined {
  const lines = new LineCounter();
  const fail = (reason: string, offset: number): undefined => {
    const { line, col } = lines.linePos(offset);
    const deep = reason.startsWith('Maximum call stack size');
    problems.push({ path: '', reason: deep ? 'nested too deeply' : oneLine(reason), line, column: col });
    return undefined;
  };
  try {
    if (tooDeep(text)) return fail(`nested deeper than ${MAX_DEPTH}`, 0);
    const json = parseJson(text);
    if (json !== undefined) return new ConfigDocument(json, text, null);
    if (text.length > MAX_YAML_LENGTH) {
      return fail(`larger than ${MAX_YAML_LENGTH / 1024 / 1024} MiB: write it as plain JSON, which is read faster`, 0);
    }
    const { root } = parseTree(text, lines);
    for (const { message, pos } of firstOfEachLine(root.errors, lines)) fail(message, pos[0]);
    for (const offset of duplicateKeys(root)) fail(`${keyAt(text, offset)} stands twice in one map`, offset);
    if (problems.length > 0) return undefined;
    if (countAliases(root) > MAX_ALIASES) return fail(`more than ${MAX_ALIASES} aliases`, 0);
    const value: unknown = root.toJS({ maxAliasCount: MAX_ALIASES });
    if (countNodes(value, MAX_NODES) > MAX_NODES) return fail('aliases blow the file up beyond all measure', 0);
    return new ConfigDocument(value, text, { root, lines });
  } catch (error) {
    return fail(messageOf(error), 0);
  }
}

/**
 * A large JSON text in a twentieth of the time and memory that a tree of YAML nodes takes. Undefined where the YAML
 * parser has more to say: faults, members of one name, merge keys.
 */
function parseJson(text: string): unknown {
  if (!/^\s*\{/.test(text) || text.includes('"<<"')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return colonsIn(text) === membersOf(value) ? value : undefined;
}

/** Members that a valid JSON text writes: its colons outside of strings. */
function colonsIn(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x3a) count++;
    if (c !== 0x22) continue;
    do {
      i = text.indexOf('"', i + 1);
    } while (isEscaped(text, i));
  }
  return count;
}

/** After an odd number of backslashes. */
function isEscaped(text: string, at: number): boolean {
  let before = at;
  while (text.charCodeAt(before - 1) === 0x5c) before--;
  return (at - before) % 2 === 1;
}

/** Members that are left of it; of two with one name JSON.parse keeps the last. */
function membersOf(root: unknown): number {
  const stack: unknown[] = [root];
  let count = 0;
  while (stack.length > 0) {
    const value = stack.pop();
    if (typeof value !== 'object' || value === null) continue;
    const items = Object.values(value);
    if (!Array.isArray(value)) count += items.length;
    for (const item of items) if (typeof item === 'object') stack.push(item);
  }
  return count;
}

/** One fault makes a parser complain of much; what it says first is what helps. */
function firstOfEachLine(errors: readonly YAMLParseError[], lines: LineCounter): YAMLParseError[] {
  const seen = new Set<number>();
  return errors.filter(({ pos }) => {
    const { line } = lines.linePos(pos[0]);
    return seen.has(line) ? false : seen.add(line).size <= 20;
  });
}

/** Where maps have a key again; up to 20. Merge keys may repeat. */
function duplicateKeys(root: Document.Parsed): number[] {
  const found: number[] = [];
  visit(root, {
    Map(_, { items }) {
      const seen = new Set<string>();
      for (const { key } of items) {
        const name = keyText(key);
        if (name === '<<' || !isScalar(key)) continue;
        if (seen.has(name)) found.push(key.range?.[0] ?? 0);
        seen.add(name);
      }
      return found.length >= 20 ? visit.BREAK : undefined;
    },
  });
  return found.slice(0, 20);
}

function keyAt(text: string, offset: number): string {
  const key = /^(?:"[^"\n]*"|[^\s:,]+)/.exec(text.slice(offset, offset + 100))?.[0] ?? '';
  return key.startsWith('"') ? key : JSON.stringify(key);
}

/** Brackets that no config needs, found before the parser, which recurses, sees them. */
function tooDeep(text: string): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x5b || c === 0x7b) depth++;
    else if (c === 0x5d || c === 0x7d) depth = Math.max(0, depth - 1);
    if (depth > MAX_DEPTH) return true;
  }
  return false;
}

function countAliases(root: Document.Parsed): number {
  let count = 0;
  visit(root, { Alias: () => (++count > MAX_ALIASES ? visit.BREAK : undefined) });
  return count;
}

/** Counts what a walk would visit, and stops at the limit. A tree that goes in circles reaches it. */
function countNodes(root: unknown, limit: number): number {
  const stack: unknown[] = [root];
  let count = 0;
  while (stack.length > 0 && count <= limit) {
    const value = stack.pop();
    count++;
    if (typeof value !== 'object' || value === null) continue;
    for (const item of Object.values(value)) stack.push(item);
  }
  return count;
}

/** Gives each problem its place, and puts them in the order of the file. */
export function locateAll(problems: Problems, document: ConfigDocument): LocatedProblem[] {
  return problems.list
    .map((problem) => ({ ...problem, ...document.locate(problem.path) }))
    .sort((a, b) => a.line - b.line || a.column - b.column);
}

/** One line for each: `bootstrap.yaml:14:9 static_resources.listeners[0]: unknown field "filtres": did you mean "filters"?` */
export function describeProblems(file: string, problems: readonly (Problem & Partial<LocatedProblem>)[]): string[] {
  return problems.map(({ path, reason, line = 0, column = 0 }) => {
    const where = line > 0 ? `${file}:${line}:${column}` : file;
    const shown = parentOfUnknown(path, reason);
    return shown === '' ? `${where}: ${reason}` : `${where} ${shown}: ${reason}`;
  });
}

/** An unknown field is named in the reason; the path is that of the message it stands in. */
function parentOfUnknown(path: string, reason: string): string {
  const name = /^unknown field "([^"]+)"/.exec(reason)?.[1];
  if (name === undefined) return path;
  if (path === name) return '';
  return path.endsWith(`.${name}`) ? path.slice(0, -name.length - 1) : path;
}
