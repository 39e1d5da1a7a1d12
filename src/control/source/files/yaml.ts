import { createHash } from 'node:crypto';
import { type Document, isAlias, isMap, isNode, isPair, isScalar, isSeq, LineCounter, parseAllDocuments } from 'yaml';
import { messageOf } from '../../../base/errors.ts';
import type { ConfigObject, Finding, Origin } from '../collection.ts';
import { oneLine } from '../finding.ts';
import { formatPath, isRecord, type Path, show } from '../schema/type.ts';

/** A file above this is not read: it would hold up everything else. */
export const MAX_FILE_BYTES = 8 * 1024 * 1024;
/** How often one document may repeat what an anchor names: enough for people, too few for a billion laughs. */
const MAX_ALIASES = 100;
/** Of a kind, an apiVersion, a namespace and a name, all of which stand in messages; Kubernetes has 63 and 253. */
const IDENTIFIER = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,252}$/;
/** Lists in lists deeper than this are an attack or a mistake. */
const MAX_DEPTH = 100;

/** Objects have a hash of their text and line as `resourceVersion`: the same version is the same in every respect. */
export interface ReadResult {
  readonly objects: readonly ConfigObject[];
  /** Errors only; an empty list means that the whole file was understood. */
  readonly findings: readonly Finding[];
}

/** Kinds that live in no namespace; all others without one are in `default`, as with kubectl. */
const CLUSTER_SCOPED = new Set([
  'Namespace',
  'Node',
  'PersistentVolume',
  'StorageClass',
  'ClusterRole',
  'ClusterRoleBinding',
  'CustomResourceDefinition',
  'GatewayClass',
  'IngressClass',
  'MutatingWebhookConfiguration',
  'ValidatingWebhookConfiguration',
  'ValidatingAdmissionPolicy',
  'ValidatingAdmissionPolicyBinding',
  'PriorityClass',
  'RuntimeClass',
  'APIService',
]);

/**
 * The objects of a YAML or JSON file, with their places. Never throws: what cannot be read becomes a finding that
 * names the line, and the rest of the file is still returned (the caller decides whether to use it).
 */
export function readObjects(text: string, where: string): ReadResult {
  const reader = new FileReader(where);
  if (text.length > MAX_FILE_BYTES) {
    reader.fail('file-too-large', 0, `larger than ${MAX_FILE_BYTES / 1024 / 1024} MiB: split it`);
    return reader;
  }
  const tooDeep = findTooDeep(text);
  if (tooDeep > 0) {
    reader.fail('broken-yaml', tooDeep, `nested deeper than ${MAX_DEPTH} levels`);
    return reader;
  }
  const lines = new LineCounter();
  try {
    const documents = parseAllDocuments(text, {
      lineCounter: lines,
      // As kubectl reads it; `<<: *anchor` is in many hand-written files.
      merge: true,
      // Looked for below: the parser compares every key with every other.
      uniqueKeys: false,
      prettyErrors: false,
      stringKeys: true,
      logLevel: 'silent',
    });
    if (Array.isArray(documents))
      for (const document of documents) reader.document(document as Document.Parsed, lines, text);
  } catch (error) {
    reader.fail('broken-yaml', 0, messageOf(error));
  }
  return reader;
}

/**
 * The line where flow collections nest too deeply, 0 if nowhere: the parser is recursive, so this is looked at
 * first. Brackets in quotes and comments count too, which only matters to texts that nobody writes.
 */
function findTooDeep(text: string): number {
  let depth = 0;
  let line = 1;
  let indents = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x0a) {
      line++;
      indents = 0;
      let column = i + 1;
      // `- - - -` opens a list with each dash.
      while (text.charCodeAt(column) === 0x2d || text.charCodeAt(column) === 0x20 || text.charCodeAt(column) === 0x3f) {
        if (text.charCodeAt(column) !== 0x20) indents++;
        column++;
      }
    } else if (c === 0x5b || c === 0x7b) {
      depth++;
    } else if ((c === 0x5d || c === 0x7d) && depth > 0) {
      depth--;
    }
    if (depth > MAX_DEPTH || indents > MAX_DEPTH * 2) return line;
  }
  return 0;
}

class FileReader implements ReadResult {
  readonly objects: ConfigObject[] = [];
  readonly findings: Finding[] = [];
  readonly #where: string;
  /** Of the document under way: its text and where it begins. */
  #version = '';

  constructor(where: string) {
    this.#where = where;
  }

  fail(code: string, line: number, message: string, object = '', field = ''): void {
    this.findings.push({ severity: 'error', code, object, field, message: oneLine(message), file: this.#where, line });
  }

  document(document: Document.Parsed, lines: LineCounter, text: string): void {
    const first = document.errors[0];
    if (first !== undefined) {
      this.fail('broken-yaml', lineAt(lines, first.pos[0]), first.message.split('\n', 1)[0] ?? '');
      return;
    }
    const twice = findDuplicate(document.contents);
    if (twice !== null) {
      const line = lineAt(lines, twice.offset);
      this.fail('duplicate-key', line, `the key ${show(twice.key)} is given twice in the same object`);
      return;
    }
    if (document.contents === null) return;
    const start = lineAt(lines, document.contents.range?.[0] ?? 0);
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount: MAX_ALIASES });
    } catch (error) {
      this.fail('broken-yaml', start, messageOf(error));
      return;
    }
    if (value === null) return;
    const lineOf = (path: Path): number => lineOfPath(document, lines, path);
    const [from, , to] = document.range;
    this.#version = createHash('sha1')
      .update(`${start} `)
      .update(text.slice(from, to))
      .digest('base64url')
      .slice(0, 12);
    const { kind, items } = isRecord(value) ? value : {};
    if (Array.isArray(items) && typeof kind === 'string' && kind.endsWith('List')) {
      for (const [i, item] of items.entries()) this.#object(item, ['items', i], lineOf);
    } else {
      this.#object(value, [], lineOf);
    }
  }

  #object(raw: unknown, base: Path, lineOf: (path: Path) => number): void {
    const line = lineOf(base);
    const fault = (path: Path, message: string, object = ''): void =>
      this.fail('broken-object', lineOf([...base, ...path]), message, object, formatPath(path));
    if (!isRecord(raw)) {
      fault([], `expected a Kubernetes object, got ${show(raw)}`);
      return;
    }
    const { apiVersion, kind, metadata } = raw;
    if (typeof kind !== 'string' || kind === '' || typeof apiVersion !== 'string' || apiVersion === '') {
      fault([], `not a Kubernetes object: ${kind ? 'apiVersion' : 'kind'} is missing`);
      return;
    }
    if (!IDENTIFIER.test(kind) || !IDENTIFIER.test(apiVersion)) {
      const wrong = IDENTIFIER.test(kind) ? 'apiVersion' : 'kind';
      fault([wrong], `not a Kubernetes ${wrong}: ${show(raw[wrong])}`);
      return;
    }
    const { name, namespace, labels, annotations, creationTimestamp } = isRecord(metadata) ? metadata : {};
    if (typeof name !== 'string' || name === '') {
      fault(['metadata', 'name'], `metadata.name is missing${notText(name)}`, kind);
      return;
    }
    if (namespace !== undefined && namespace !== null && typeof namespace !== 'string') {
      fault(
        ['metadata', 'namespace'],
        `expected a string, got ${show(namespace)}${notText(namespace)}`,
        `${kind} ${name}`,
      );
      return;
    }
    if (!IDENTIFIER.test(name) || (namespace && !IDENTIFIER.test(namespace))) {
      const wrong = IDENTIFIER.test(name) ? 'namespace' : 'name';
      fault(['metadata', wrong], `not a Kubernetes ${wrong}: ${show(wrong === 'name' ? name : namespace)}`, kind);
      return;
    }
    const space = CLUSTER_SCOPED.has(kind) ? '' : namespace || 'default';
    const id = `${kind} ${space === '' ? '' : `${space}/`}${name}`;
    for (const [key, value] of Object.entries({ labels, annotations })) {
      const [path, message] = textMapFault(value);
      if (message !== '') {
        fault(['metadata', key, ...path], message, id);
        return;
      }
    }
    const created = typeof creationTimestamp === 'string' ? Date.parse(creationTimestamp) : 0;
    this.objects.push({
      apiVersion,
      kind,
      namespace: space,
      name,
      // Checked above to be maps of strings.
      labels: (labels ?? {}) as Readonly<Record<string, string>>,
      annotations: (annotations ?? {}) as Readonly<Record<string, string>>,
      createdAt: Number.isNaN(created) ? 0 : created,
      resourceVersion: this.#version,
      raw,
      origin: new FileOrigin(this.#where, line, base, lineOf),
    });
  }
}

/** What keeps a value from being a map of strings, and where in it; '' nothing. */
function textMapFault(value: unknown): readonly [path: Path, message: string] {
  if (value === undefined || value === null) return [[], ''];
  if (!isRecord(value)) return [[], `expected an object, got ${show(value)}`];
  const wrong = Object.entries(value).find(([, item]) => typeof item !== 'string');
  return wrong === undefined ? [[], ''] : [[wrong[0]], `expected a string, got ${show(wrong[1])}${notText(wrong[1])}`];
}

class FileOrigin implements Origin {
  readonly where: string;
  readonly line: number;
  readonly #base: Path;
  readonly #lineOf: (path: Path) => number;

  constructor(where: string, line: number, base: Path, lineOf: (path: Path) => number) {
    this.where = where;
    this.line = line;
    this.#base = base;
    this.#lineOf = lineOf;
  }
  lineOf(path: Path): number {
    return path.length === 0 ? this.line : this.#lineOf([...this.#base, ...path]);
  }
}

function lineAt(lines: LineCounter, offset: number): number {
  return Math.max(1, lines.linePos(offset).line);
}

function notText(value: unknown): string {
  return typeof value === 'number' || typeof value === 'boolean' ? ': put it in quotes' : '';
}

/** The first key that an object has twice, anywhere in the tree. */
function findDuplicate(node: unknown): { readonly key: string; readonly offset: number } | null {
  if (isSeq(node)) {
    for (const item of node.items) {
      const found = findDuplicate(item);
      if (found !== null) return found;
    }
  } else if (isMap(node)) {
    const seen = new Set<string>();
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.value) : '';
      if (isScalar(key) && seen.has(name)) return { key: name, offset: key.range?.[0] ?? 0 };
      seen.add(name);
      const found = findDuplicate(value);
      if (found !== null) return found;
    }
  }
  return null;
}

/** Walks the document's tree along the path; where it ends early, the line of the nearest ancestor. */
function lineOfPath(document: Document.Parsed, lines: LineCounter, path: Path): number {
  let node: unknown = document.contents;
  let offset = document.contents?.range?.[0] ?? 0;
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find(
        (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(part),
      );
      if (pair === undefined) break;
      if (isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      if (!isNode(node)) break;
      offset = node.range?.[0] ?? offset;
    } else {
      break;
    }
  }
  return lineAt(lines, offset);
}
