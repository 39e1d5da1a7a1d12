import { Document, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml';
import { messageOf } from '../../base/errors.ts';
import type { Finding, Severity } from '../source/collection.ts';
import { nearest } from '../source/schema/suggest.ts';
import { isRecord, show } from '../source/schema/type.ts';
import { POD_INJECT } from './decide.ts';
import { type Injection, injectPod } from './inject-pod.ts';
import { applyPatch, type PatchOperation, type PatchPath, pointerParts } from './json-patch.ts';
import type { InjectionSettings } from './settings.ts';
import { templatePath, workloadOfPod } from './workload.ts';

/** The manifest with what was injected; `text` is the input itself when something was refused. */
export interface InjectedManifest {
  readonly text: string;
  readonly injected: readonly string[];
  /** Workloads left as they were, and why. */
  readonly skipped: readonly { readonly object: string; readonly reason: string }[];
  /** Kinds of what is no workload. */
  readonly others: readonly string[];
  /** Errors (then nothing was injected anywhere) and warnings, with file and line. */
  readonly findings: readonly Finding[];
}

export interface ManifestOptions {
  readonly settings: InjectionSettings;
  /** Of objects that name none. */
  readonly namespace: string;
  /** What findings call the file. */
  readonly file: string;
}

/**
 * Puts every workload of a YAML stream (or a JSON text) on the mesh. A document in which nothing is injected comes out
 * byte for byte as it came; one that changes keeps its comments and its style as far as the library can.
 */
export function injectManifest(text: string, options: ManifestOptions): InjectedManifest {
  const run = new ManifestRun(options);
  const chunks = documentsOf(text);
  const read = chunks.map((chunk) => run.read(chunk));
  run.learnNamespaces(read);
  const written = read.map((document) => (document === null ? '' : run.inject(document)));
  const refused = run.findings.some(({ severity }) => severity === 'error');
  return {
    text: refused ? text : written.join(''),
    injected: refused ? [] : run.injected,
    skipped: run.skipped,
    others: [...run.others],
    findings: run.findings,
  };
}

/** A document of the stream, as it was written: its `---` line, comments and all. */
interface Chunk {
  readonly text: string;
  /** 1-based. */
  readonly line: number;
}

interface ReadDocument {
  readonly chunk: Chunk;
  /** Null when it holds no object. */
  readonly value: unknown;
  readonly document: Document.Parsed | null;
}

/** `---` at a line's start always ends a document, in block scalars too (YAML 1.2, c-forbidden). */
function documentsOf(text: string): Chunk[] {
  const chunks: Chunk[] = [];
  let line = 1;
  for (const part of text.split(/^(?=---(?:[ \t\r\n]|$))/m)) {
    chunks.push({ text: part, line });
    line += part.split('\n').length - 1;
  }
  return chunks;
}

/** One place in a document where a pod is. */
interface Place {
  readonly object: Readonly<Record<string, unknown>>;
  readonly template: PatchPath;
}

class ManifestRun {
  readonly injected: string[] = [];
  readonly skipped: { object: string; reason: string }[] = [];
  readonly others = new Set<string>();
  readonly findings: Finding[] = [];
  readonly #options: ManifestOptions;
  readonly #namespaces = new Map<string, Readonly<Record<string, string>>>();

  constructor(options: ManifestOptions) {
    this.#options = options;
  }

  /** Null only for a document that cannot be read: a finding says so. */
  read(chunk: Chunk): ReadDocument | null {
    // A byte order mark, directives or comments before the first `---`: nothing to read.
    if (/^(?:\uFEFF?(?:%|[ \t]*#).*|[ \t\r\uFEFF]*)$/s.test(chunk.text) && !/^[^%#\s\uFEFF]/m.test(chunk.text))
      return { chunk, value: null, document: null };
    const lines = new LineCounter();
    const document = parseDocument(chunk.text, {
      lineCounter: lines,
      merge: true,
      prettyErrors: false,
      stringKeys: true,
      logLevel: 'silent',
    });
    const [first] = document.errors;
    try {
      if (first !== undefined) {
        this.#fail(chunk.line - 1 + lines.linePos(first.pos[0]).line, first.message.split('\n', 1)[0] ?? '');
        return null;
      }
      // Without the sharing of what anchors name: a patch changes one place of it.
      const value: unknown = JSON.parse(JSON.stringify(document.toJS({ maxAliasCount: 100 })) ?? 'null');
      if (value !== null && !(isRecord(value) && typeof value.kind === 'string')) {
        const at = isNode(document.contents) ? (document.contents.range?.[0] ?? 0) : 0;
        const what = isRecord(value) ? 'an object without kind' : show(value);
        this.#fail(chunk.line - 1 + lines.linePos(at).line, `expected a Kubernetes object, got ${what}`);
        return null;
      }
      return { chunk, value, document: document as Document.Parsed };
    } catch (error) {
      this.#fail(chunk.line, messageOf(error));
      return null;
    }
  }

  /** Labels of namespaces that the stream itself brings. */
  learnNamespaces(documents: readonly (ReadDocument | null)[]): void {
    for (const document of documents) {
      for (const { object } of objectsOf(document?.value)) {
        const { apiVersion, kind, metadata } = object;
        if (apiVersion !== 'v1' || kind !== 'Namespace' || !isRecord(metadata)) continue;
        const labels = isRecord(metadata.labels) ? metadata.labels : {};
        const texts = Object.entries(labels).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
        if (typeof metadata.name === 'string') this.#namespaces.set(metadata.name, Object.fromEntries(texts));
      }
    }
  }

  /** The document as it is to be written. */
  inject({ chunk, value, document }: ReadDocument): string {
    const patch: PatchOperation[] = [];
    for (const { object, base } of objectsOf(value)) {
      const template = templatePath(object.apiVersion, object.kind);
      const name = this.#nameOf(object);
      const report = (found: readonly Finding[], at: PatchPath): void => {
        for (const finding of found) this.findings.push(this.#placed(finding, name, chunk, document, at));
      };
      if (template === null) {
        this.others.add(String(object.kind));
        report(unknownWorkload(object), base);
        continue;
      }
      const missing = missingTemplate(object, template);
      if (missing !== null) {
        report([missing], base);
        continue;
      }
      report(misplacedWish(object, template), base);
      const result = this.#place({ object, template });
      if (result.kind === 'skipped') this.skipped.push({ object: name, reason: result.reason });
      const found = result.kind === 'refused' ? result.problems : result.kind === 'injected' ? result.warnings : [];
      report(found, [...base, ...template]);
      if (result.kind !== 'injected') continue;
      this.injected.push(name);
      const prefix = [...base, ...template].map((part) => `/${part}`).join('');
      for (const operation of result.patch) patch.push({ ...operation, path: prefix + operation.path });
    }
    if (patch.length === 0 || document === null) return chunk.text;
    return isJson(chunk.text)
      ? `${JSON.stringify(applyPatch(value, patch), null, indentOf(chunk.text))}\n`
      : rewrite(chunk.text, value, document, patch);
  }

  #place({ object, template }: Place): Injection {
    const { settings } = this.#options;
    const metadata = isRecord(object.metadata) ? object.metadata : {};
    const namespace = this.#namespaceOf(metadata);
    const pod = template.reduce<unknown>((node, part) => (isRecord(node) ? node[part] : undefined), object);
    const own = workloadOfPod(metadata, namespace);
    const workload =
      template.length === 0
        ? own
        : { apiVersion: String(object.apiVersion), kind: String(object.kind), namespace, name: own.name };
    return injectPod(pod, {
      settings,
      workload,
      namespaceLabels: this.#namespaces.get(namespace) ?? null,
      otherwise: true,
    });
  }

  #namespaceOf(metadata: Readonly<Record<string, unknown>>): string {
    return typeof metadata.namespace === 'string' && metadata.namespace !== ''
      ? metadata.namespace
      : this.#options.namespace;
  }

  #nameOf(object: Readonly<Record<string, unknown>>): string {
    const metadata = isRecord(object.metadata) ? object.metadata : {};
    const name = metadata.name ?? metadata.generateName ?? '';
    return `${String(object.kind)} ${this.#namespaceOf(metadata)}/${String(name)}`;
  }

  #fail(line: number, message: string): void {
    const { file } = this.#options;
    this.findings.push({ severity: 'error', code: 'broken-yaml', object: '', field: '', message, file, line });
  }

  /** With the line of the field, or of what is nearest above it. */
  #placed(finding: Finding, object: string, chunk: Chunk, document: Document.Parsed | null, base: PatchPath): Finding {
    const path = [...base, ...fieldPath(finding.field)];
    let offset = 0;
    let node: unknown = document?.contents;
    for (const part of path) {
      if (isMap(node)) {
        const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part));
        if (isNode(pair?.key)) offset = pair.key.range?.[0] ?? offset;
        node = pair?.value;
      } else if (isSeq(node)) {
        node = node.items[Number(part)];
        if (isNode(node)) offset = node.range?.[0] ?? offset;
      } else break;
    }
    const line = chunk.line + chunk.text.slice(0, offset).split('\n').length - 1;
    const shown = base
      .map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`))
      .join('')
      .slice(1);
    const field = shown === '' ? finding.field : `${shown}.${finding.field}`;
    return { ...finding, object, field, file: this.#options.file, line };
  }
}

/** `metadata.annotations["a/b"]`, `spec.containers[0].name` → its parts. */
function fieldPath(field: string): (string | number)[] {
  return [...field.matchAll(/\["([^"]*)"\]|\[(\d+)\]|([^.[\]]+)/g)].map(([, quoted, index, name]) =>
    index === undefined ? (quoted ?? name ?? '') : Number(index),
  );
}

function objectsOf(value: unknown): { object: Readonly<Record<string, unknown>>; base: PatchPath }[] {
  if (!isRecord(value)) return [];
  const { kind, items } = value;
  if (typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items))
    return items.flatMap((item, i) => (isRecord(item) ? [{ object: itemOf(value, item), base: ['items', i] }] : []));
  return [{ object: value, base: [] }];
}

/** Items of a list of one kind, as the API answers with one, need not say what they are. */
function itemOf(
  { apiVersion, kind }: Readonly<Record<string, unknown>>,
  item: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  return kind === 'List' || 'kind' in item
    ? item
    : { apiVersion, kind: String(kind).slice(0, -'List'.length), ...item };
}

function finding(severity: Severity, code: string, field: string, message: string): Finding {
  return { severity, code: `inject-${code}`, object: '', field, message, file: '', line: 0 };
}

/** What has pods of a kind that is not known here. */
function unknownWorkload({ kind, spec }: Readonly<Record<string, unknown>>): readonly Finding[] {
  const template = isRecord(spec) && isRecord(spec.template) ? spec.template.spec : undefined;
  if (!isRecord(template) || !Array.isArray(template.containers)) return [];
  const message = `${String(kind)} is no kind that is injected here: its pods are by the webhook, where their namespace asks for it`;
  return [finding('warning', 'kind', 'spec.template', message)];
}

/** The pod template that a workload must have and has not, perhaps for a slip of the pen. */
function missingTemplate(object: Readonly<Record<string, unknown>>, template: PatchPath): Finding | null {
  let node: Readonly<Record<string, unknown>> = object;
  for (const [i, part] of template.entries()) {
    const next = node[part];
    if (isRecord(next)) {
      node = next;
      continue;
    }
    const field = template.slice(0, i + 1).join('.');
    if (next !== undefined && next !== null)
      return finding('error', 'pod', field, `must be an object, got ${show(next)}`);
    const written = nearest(String(part), Object.keys(node));
    const hint = written === undefined ? '' : `: is ${JSON.stringify(written)} meant for it?`;
    return finding('error', 'pod', field, `is missing: a ${String(object.kind)} has the pod there${hint}`);
  }
  return null;
}

/** What the object itself says of injection, where only its pods are asked. */
function misplacedWish(object: Readonly<Record<string, unknown>>, template: PatchPath): readonly Finding[] {
  if (template.length === 0 || !isRecord(object.metadata)) return [];
  const found: Finding[] = [];
  for (const part of ['labels', 'annotations'] as const) {
    const texts = object.metadata[part];
    for (const name of POD_INJECT) {
      if (!isRecord(texts) || texts[name] === undefined) continue;
      const path = [...template, 'metadata', part];
      const own = path.reduce<unknown>((node, key) => (isRecord(node) ? node[key] : undefined), object);
      if (isRecord(own) && own[name] !== undefined) continue;
      const message = `is not read here: pods have it from ${path.join('.')}`;
      found.push(finding('warning', 'place', `metadata.${part}["${name}"]`, message));
    }
  }
  return found;
}

function isJson(text: string): boolean {
  if (!text.trimStart().startsWith('{')) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** As JSON was indented; '' on one line. */
function indentOf(text: string): string {
  return /^\{[ \t]*\r?\n([ \t]+)/.exec(text.trimStart())?.[1] ?? '';
}

function rewrite(text: string, value: unknown, parsed: Document.Parsed, patch: readonly PatchOperation[]): string {
  let document: Document = parsed;
  if (hasAnchors(parsed)) {
    // What an anchor names is in several places, and only one of them changes: without anchors, and so without comments.
    document = new Document(applyPatch(value, patch), { aliasDuplicateObjects: false });
    if (parsed.directives?.docStart === true) document.directives!.docStart = true;
    quoteForYaml11(document.contents);
  } else {
    for (const operation of patch) applyToDocument(document, operation);
  }
  const written = document.toString({
    lineWidth: 0,
    indent: Math.max(2, Math.min(8, indentStep(text))),
    indentSeq: !/^( *)[\w"'./-]+:[ \t]*(?:#.*)?\r?\n(?:[ \t]*(?:#.*)?\r?\n)*\1- /m.test(text),
    flowCollectionPadding: !/[{[][^\s{}[\]]/.test(text),
  });
  return text.includes('\r\n') ? written.replaceAll(/\r?\n/g, '\r\n') : written;
}

/** How far the first nested key is in; 2 where nothing is nested. */
function indentStep(text: string): number {
  return /^[\w.-]+:[ \t]*(?:#.*)?\r?\n( +)[\w.-]+:/m.exec(text)?.[1]?.length ?? 2;
}

function hasAnchors(document: Document): boolean {
  let found = false;
  visit(document, {
    Alias: () => {
      found = true;
      return visit.BREAK;
    },
    Node: (_key, node) => {
      if (!('anchor' in node) || node.anchor === undefined) return undefined;
      found = true;
      return visit.BREAK;
    },
  });
  return found;
}

function applyToDocument(document: Document, { op, path, value }: PatchOperation): void {
  const parts = pointerParts(path);
  const last = parts.pop() ?? '';
  const parent =
    parts.length === 0
      ? document.contents
      : document.getIn(
          parts.map((part) => keyOf(part)),
          true,
        );
  const node = document.createNode(value, { aliasDuplicateObjects: false });
  quoteForYaml11(node);
  if (isSeq(parent)) {
    const at = last === '-' ? parent.items.length : Number(last);
    parent.items.splice(at, op === 'replace' ? 1 : 0, node);
  } else if (isMap(parent)) {
    parent.set(last, node);
  } else {
    throw new Error(`${path}: its parent is no object`);
  }
}

function keyOf(part: string): string | number {
  return /^\d+$/.test(part) ? Number(part) : part;
}

/** Texts that kubectl's YAML 1.1 would take for something else: `on`, `12:30`, `0o7`. */
const AMBIGUOUS = /^(?:y|n|yes|no|on|off|true|false|null|~|[-+.]?\d[\d_.:xXoOeE+a-fA-F-]*)$/i;

function quoteForYaml11(node: unknown): void {
  if (!isNode(node)) return;
  visit(node, {
    Scalar: (key, scalar) => {
      if (key !== 'key' && typeof scalar.value === 'string' && AMBIGUOUS.test(scalar.value))
        scalar.type = 'QUOTE_DOUBLE';
    },
  });
}
