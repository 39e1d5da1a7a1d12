import { type Files, type Import, importsOf, lineAt, mask } from './source-tree.ts';

/** A folder that another may import; with a reason where architecture.md's matrix does not say so itself. */
export type Allowed = string | AllowedPart;

interface AllowedPart {
  readonly to: string;
  readonly why: string;
  /** Only these files of the importing folder. */
  readonly from?: RegExp;
  /** Only these files of the imported folder. */
  readonly only?: RegExp;
  /** Only `import type`. */
  readonly types?: true;
}

/** What each folder may import from others. The longest prefix names the folder of a file. */
export type Matrix = Readonly<Record<string, readonly Allowed[]>>;

/** Exceptions: what is excused, and the reason. A key that excuses nothing is reported too. */
export type Waivers = Readonly<Record<string, string>>;

export interface Banned {
  readonly what: string;
  readonly pattern: RegExp;
  /** Files where it may be. */
  readonly allowed: RegExp;
}

export interface BannedModule {
  readonly name: RegExp;
  readonly allowed: RegExp;
}

export function allImports(files: Files): Import[] {
  return [...files].flatMap(([path, text]) => (path.endsWith('.ts') ? importsOf(path, text) : []));
}

/** Edges between folders that the matrix does not hold, and edges with a reason in it that nobody needs. */
export function strayEdges(imports: readonly Import[], matrix: Matrix, waivers: Waivers): string[] {
  const areas = Object.keys(matrix).sort((a, b) => b.length - a.length);
  const areaOf = (path: string): string | undefined => areas.find((area) => path.startsWith(`src/${area}/`));
  const excused = new Excused(waivers, 'edge');
  const found: string[] = [];
  const used = new Set<Allowed>();
  for (const { from, to, local, typeOnly, line } of imports) {
    if (!local) continue;
    const source = areaOf(from);
    const target = areaOf(to);
    const edge = `${from} -> ${to}`;
    if (source === undefined || target === undefined) {
      if (!excused.covers(edge))
        found.push(`${from}:${line} imports ${to}, and the matrix does not know ${source === undefined ? from : to}`);
      continue;
    }
    if (source === target) continue;
    const permitting = matrix[source]!.filter((allowed) => permits(allowed, target, from, to, typeOnly));
    for (const allowed of permitting) used.add(allowed);
    if (permitting.length > 0) continue;
    if (!excused.covers(edge)) found.push(`${from}:${line} imports ${to}: ${source} may not import ${target}`);
  }
  for (const [area, allowed] of Object.entries(matrix)) {
    for (const part of allowed) {
      if (typeof part === 'string' || used.has(part)) continue;
      found.push(`nothing of ${area} imports ${part.to} as its reason says (${part.why}): delete it from the matrix`);
    }
  }
  return [...found, ...excused.unused()];
}

function permits(allowed: Allowed, target: string, from: string, to: string, typeOnly: boolean): boolean {
  if (typeof allowed === 'string') return allowed === target;
  return (
    allowed.to === target &&
    (allowed.from?.test(from) ?? true) &&
    (allowed.only?.test(to) ?? true) &&
    (allowed.types !== true || typeOnly)
  );
}

/** Imports of files that are not there. */
export function missingTargets(imports: readonly Import[], files: Files, generated: RegExp): string[] {
  return imports
    .filter(({ to, local }) => local && !files.has(to) && !generated.test(to))
    .map(({ from, to, line }) => `${from}:${line} imports ${to}, which is not there`);
}

/** Groups of files that import each other at run time, each as a path that comes back to its start. */
export function runtimeCycles(imports: readonly Import[], skip: RegExp): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to, local, typeOnly } of imports) {
    if (!local || typeOnly || skip.test(from) || skip.test(to)) continue;
    const targets = next.get(from);
    if (targets === undefined) next.set(from, [to]);
    else targets.push(to);
  }
  const found: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    const at = path.indexOf(file);
    if (at !== -1) {
      found.push([...path.slice(at), file].join(' -> '));
      return;
    }
    if (done.has(file)) return;
    path.push(file);
    for (const target of next.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of next.keys()) visit(file);
  return found;
}

export function tooLong(files: Files, limit: number, skip: RegExp, waivers: Waivers): string[] {
  const excused = new Excused(waivers, 'file');
  const found: string[] = [];
  for (const [path, text] of files) {
    if (skip.test(path) || !path.endsWith('.ts')) continue;
    const lines = countLines(text);
    if (lines > limit && !excused.covers(path)) found.push(`${path} has ${lines} lines, more than ${limit}`);
  }
  return [...found, ...excused.unused()];
}

export function countLines(text: string): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}

export function bannedUses(files: Files, banned: readonly Banned[], skip: RegExp, waivers: Waivers): string[] {
  const excused = new Excused(waivers, 'use');
  const found: string[] = [];
  for (const [path, text] of files) {
    if (skip.test(path) || !path.endsWith('.ts')) continue;
    const masked = mask(text);
    for (const { what, pattern, allowed } of banned) {
      if (allowed.test(path)) continue;
      for (const match of masked.matchAll(pattern)) {
        if (!excused.covers(`${path}: ${what}`)) found.push(`${path}:${lineAt(text, match.index)} uses ${what}`);
      }
    }
  }
  return [...found, ...excused.unused()];
}

export function bannedModules(imports: readonly Import[], banned: readonly BannedModule[], waivers: Waivers): string[] {
  const excused = new Excused(waivers, 'module');
  const found: string[] = [];
  for (const { from, to, local, line } of imports) {
    if (local) continue;
    const rule = banned.find(({ name }) => name.test(to));
    if (rule === undefined || rule.allowed.test(from) || excused.covers(`${from}: ${to}`)) continue;
    found.push(`${from}:${line} imports ${to}`);
  }
  return [...found, ...excused.unused()];
}

/** Files of `test/unit` that no file of `src` stands behind. */
export function orphanTests(tests: Iterable<string>, sources: ReadonlySet<string>, waivers: Waivers): string[] {
  const excused = new Excused(waivers, 'test');
  const found: string[] = [];
  for (const path of tests) {
    if (!path.startsWith('test/unit/')) continue;
    const mirrored = path.replace(/^test\/unit\//, 'src/').replace(/\.test\.ts$/, '.ts');
    if (path.endsWith('.test.ts') && sources.has(mirrored)) continue;
    if (!excused.covers(path)) found.push(`${path} mirrors no file: ${mirrored} is not there`);
  }
  return [...found, ...excused.unused()];
}

/** Second-level folders that nothing introduces, and introductions that go on too long. */
export function missingReadmes(files: Files, more: number, maxLines: number, waivers: Waivers): string[] {
  const excused = new Excused(waivers, 'folder');
  const counts = new Map<string, number>();
  for (const path of files.keys()) {
    const folder = /^(src\/[^/]+\/[^/]+)\/.+\.ts$/.exec(path)?.[1];
    if (folder !== undefined) counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  const found: string[] = [];
  for (const [folder, count] of counts) {
    if (count > more && !files.has(`${folder}/README.md`) && !excused.covers(folder)) {
      found.push(`${folder} has ${count} files and no README.md`);
    }
  }
  for (const [path, text] of files) {
    if (/^src\/.*README\.md$/.test(path) && countLines(text) > maxLines) {
      found.push(`${path} has ${countLines(text)} lines, more than ${maxLines}`);
    }
  }
  return [...found, ...excused.unused()];
}

/** Keys are paths or descriptions; `*` stands for anything. */
class Excused {
  readonly #rules: { key: string; pattern: RegExp; used: boolean }[];
  readonly #kind: string;

  constructor(waivers: Waivers, kind: string) {
    this.#kind = kind;
    this.#rules = Object.keys(waivers).map((key) => ({
      key,
      pattern: new RegExp(`^${key.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`),
      used: false,
    }));
  }

  covers(text: string): boolean {
    const rule = this.#rules.find(({ pattern }) => pattern.test(text));
    if (rule === undefined) return false;
    rule.used = true;
    return true;
  }

  unused(): string[] {
    return this.#rules
      .filter(({ used }) => !used)
      .map(({ key }) => `the waiver for the ${this.#kind} ${key} excuses nothing: delete it`);
  }
}
