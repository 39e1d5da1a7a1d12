import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

/** Files by their path from the repository's root, with `/`. A test of the checks makes one by hand. */
export type Files = ReadonlyMap<string, string>;

export interface Import {
  readonly from: string;
  /** A path of the tree, or the name of a package or of a module of Node's. */
  readonly to: string;
  readonly local: boolean;
  /** `import type`, `export type … from`, `typeof import()`: gone before anything runs. */
  readonly typeOnly: boolean;
  readonly line: number;
}

/** Reads the files below these folders whose name ends so. */
export function readTree(root: string, folders: readonly string[], endings: readonly string[]): Map<string, string> {
  const files = new Map<string, string>();
  for (const folder of folders) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !endings.some((ending) => entry.name.endsWith(ending))) continue;
      const path = join(entry.parentPath, entry.name);
      files.set(path.slice(root.length + 1).replaceAll('\\', '/'), readFileSync(path, 'utf8'));
    }
  }
  return files;
}

const STATEMENT = /^[ \t]*(?:import|export)\b(?:(?<type>\s+type\b(?!\s*,|\s+from\b))?[^'"`;=()]*?\bfrom)?\s*(?=['"])/gm;
const CALL = /(?<type>\btypeof\s+)?(?<![.\w$])import\s*\(\s*(?=['"])/g;

export function importsOf(path: string, text: string): Import[] {
  const masked = mask(text);
  const found: Import[] = [];
  for (const pattern of [STATEMENT, CALL]) {
    for (const match of masked.matchAll(pattern)) {
      const start = match.index + match[0].length + 1;
      const specifier = text.slice(start, masked.indexOf(text[start - 1]!, start));
      const local = specifier.startsWith('.');
      found.push({
        from: path,
        to: local ? posix.join(posix.dirname(path), specifier) : specifier,
        local,
        typeOnly: match.groups?.type !== undefined,
        line: lineAt(text, start),
      });
    }
  }
  return found;
}

export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) line++;
  return line;
}

/** What a `/` begins a regular expression after; after anything else it divides. */
const BEFORE_REGEX = /(?:[-+*%=<>&|^!~?:;,([{}]|^|\b(?:return|typeof|case|of|in|do|else|void|await|yield|throw))$/;

/** The same text, of the same length, with blanks for comments and for what strings, templates and regexes hold. */
export function mask(text: string): string {
  let out = '';
  let at = 0;
  /** Depth of braces at which each open template goes on. */
  const templates: number[] = [];
  let depth = 0;
  const blank = (end: number): void => {
    out += text.slice(at, end).replace(/[^\n]/g, ' ');
    at = end;
  };
  const keep = (): void => {
    out += text[at++];
  };
  const template = (): void => {
    let end = at;
    while (end < text.length && text[end] !== '`' && !(text[end] === '$' && text[end + 1] === '{')) {
      end += text[end] === '\\' ? 2 : 1;
    }
    blank(Math.min(end, text.length));
    if (text[at] === '$') {
      keep();
      templates.push(depth++);
    }
    if (at < text.length) keep();
  };
  while (at < text.length) {
    const char = text[at]!;
    if (char === '/' && text[at + 1] === '/') {
      blank(endOr(text, text.indexOf('\n', at)));
    } else if (char === '/' && text[at + 1] === '*') {
      const end = text.indexOf('*/', at + 2);
      blank(end === -1 ? text.length : end + 2);
    } else if (char === "'" || char === '"') {
      keep();
      blank(closing(text, at, char));
      if (at < text.length) keep();
    } else if (char === '`') {
      keep();
      template();
    } else if (char === '/' && BEFORE_REGEX.test(out.slice(-20).trimEnd())) {
      keep();
      blank(closingRegex(text, at));
      if (at < text.length) keep();
    } else {
      if (char === '{') depth++;
      if (char === '}') depth--;
      keep();
      if (char === '}' && templates.at(-1) === depth) {
        templates.pop();
        template();
      }
    }
  }
  return out;
}

function closing(text: string, start: number, quote: string): number {
  let at = start;
  while (at < text.length && text[at] !== quote && text[at] !== '\n') at += text[at] === '\\' ? 2 : 1;
  return Math.min(at, text.length);
}

function closingRegex(text: string, start: number): number {
  let set = false;
  let at = start;
  for (; at < text.length && text[at] !== '\n'; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '[') set = true;
    else if (text[at] === ']') set = false;
    else if (text[at] === '/' && !set) break;
  }
  return Math.min(at, text.length);
}

function endOr(text: string, index: number): number {
  return index === -1 ? text.length : index;
}
