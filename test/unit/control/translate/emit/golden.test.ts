/**
 * test/golden/translate/emit/*.md: under each heading YAML as users write it, a `select` block that names what the
 * case is about, and the xDS that comes of it. A file's first ```yaml block without a heading of its own is a part of
 * every case in the file; ```bookinfo names files of config/bookinfo/try to use instead. ```proxy says who asks (a sidecar of productpage in `default` where it is left out), and
 * ```notes what the proxy is told it does not get. `UPDATE_GOLDEN=1` rewrites the outputs.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { type ProxySnapshot, resourcesOf } from '../../../../../src/control/serve/snapshot.ts';
import * as urls from '../../../../../src/control/serve/type-urls.ts';
import { decode, type MessageType, Problems, toJson } from '../../../../../src/xds/proto/codec.ts';
import { Cluster } from '../../../../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { ClusterLoadAssignment } from '../../../../../src/xds/proto/gen/envoy/config/endpoint/v3.ts';
import { Listener } from '../../../../../src/xds/proto/gen/envoy/config/listener/v3.ts';
import { RouteConfiguration } from '../../../../../src/xds/proto/gen/envoy/config/route/v3.ts';
import { NameTable } from '../../../../../src/xds/proto/gen/istio/networking/nds/v1.ts';
import { bookinfoInstances } from '../../../../simulation/bookinfo.ts';
import { bookinfoFiles, type Files, Mesh, type ProxySpec, SimulatedProxy } from '../../../../simulation/traffic.ts';

const FOLDER = new URL('../../../../golden/translate/emit/', import.meta.url);
const UPDATE = process.env.UPDATE_GOLDEN === '1';
const TYPES: Readonly<Record<string, readonly [string, MessageType<unknown>]>> = {
  LDS: [urls.LISTENER, Listener],
  RDS: [urls.ROUTE, RouteConfiguration],
  CDS: [urls.CLUSTER, Cluster],
  EDS: [urls.ENDPOINT, ClusterLoadAssignment],
  NDS: [urls.NAME_TABLE, NameTable],
};

interface GoldenCase {
  readonly name: string;
  readonly files: Files;
  readonly proxy: ProxySpec;
  readonly select: readonly string[];
  readonly wanted: string;
  readonly notes: string;
}

const BLOCK = /^```(\w+)\n([\s\S]*?)^```$/gm;

function blocks(text: string): Map<string, string> {
  return new Map([...text.matchAll(BLOCK)].map(([, kind = '', body = '']) => [kind, body]));
}

function readCases(text: string): GoldenCase[] {
  const [head = '', ...sections] = text.split(/^## /m);
  const base = blocks(head).get('yaml') ?? '';
  return sections.map((section) => {
    const parts = blocks(section);
    const config = [base, parts.get('yaml') ?? ''].filter((part) => part !== '').join('---\n');
    const bookinfo = parts.get('bookinfo');
    return {
      name: section.slice(0, section.indexOf('\n')),
      files: bookinfo === undefined ? { 'mesh.yaml': config } : bookinfoCase(bookinfo),
      proxy: parse(parts.get('proxy') ?? '{}') ?? {},
      select: (parts.get('select') ?? '').split('\n').filter((line) => line !== ''),
      wanted: parts.get('xds') ?? '',
      notes: parts.get('notes') ?? '',
    };
  });
}

/** `RDS http_proxy virtual_hosts reviews… routes * match`: each word is a key, an index, the name of an item, or `*` for all. */
function select(snapshot: ProxySnapshot, line: string): unknown {
  const [kind = '', name = '', ...path] = line.split(' ');
  const [url, type] = TYPES[kind] ?? ['', Cluster];
  const resources = resourcesOf(snapshot, url);
  if (name === '') return [...resources.keys()];
  const entry = resources.get(name);
  if (entry === undefined) return null;
  const problems = new Problems();
  const message = decode(type, entry.any.value ?? new Uint8Array(), problems);
  if (!problems.ok) throw new Error(JSON.stringify(problems.list));
  return path.reduce<unknown>(step, toJson(type, message));
}

function step(value: unknown, word: string): unknown {
  if (Array.isArray(value)) {
    const found = value.findIndex((item) => item?.name === word);
    if (found >= 0) return value[found];
    if (/^\d+$/.test(word)) return value[Number(word)];
    if (word === '*') return value;
    return value.map((item) => step(item, word));
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const record = value as Record<string, unknown>;
  if (word.startsWith('-')) return Object.fromEntries(Object.entries(record).filter(([key]) => key !== word.slice(1)));
  if (word.includes(','))
    return Object.fromEntries(word.split(',').flatMap((key) => (key in record ? [[key, record[key]]] : [])));
  return record[word];
}

/** Names of files in config/bookinfo/try, and behind `without` those of instances that are down. */
function bookinfoCase(text: string): Files {
  const [tries = '', down = ''] = text.trim().split(' without ');
  const names = (list: string): string[] => list.split(' ').filter((name) => name !== '' && name !== '-');
  return { ...bookinfoFiles(...names(tries)), 'instances.yaml': bookinfoInstances(names(down)) };
}

function run({ files: config, proxy, select: lines }: GoldenCase): { xds: string; notes: string } {
  const mesh = new Mesh(config);
  const errors = mesh.findings.filter(({ code }) => code !== 'missing-subset' && code !== 'missing-host');
  if (errors.some(({ severity }) => severity === 'error')) throw new Error(JSON.stringify(errors, null, 1));
  const snapshot = mesh.snapshot(proxy);
  // Whatever the case is about, a proxy must accept all of it.
  if (proxy.agent !== 'envoy') new SimulatedProxy(snapshot);
  const selected = lines.map((line) => select(snapshot, line) ?? null);
  const xds = stringify(
    lines.length === 1 ? selected[0] : Object.fromEntries(lines.map((line, i) => [line, selected[i]])),
    {
      lineWidth: 118,
      aliasDuplicateObjects: false,
    },
  );
  return { xds, notes: mesh.notes.map(({ message }) => `${message}\n`).join('') };
}

const files = readdirSync(FOLDER).filter((name) => !name.startsWith('.'));

describe.each(files)('%s', (file) => {
  const url = new URL(file, FOLDER);
  let text = readFileSync(url, 'utf8');
  const cases = readCases(text);

  it('has cases only, each of its own name', () => {
    expect(file).toMatch(/\.md$/);
    expect(cases.length).toBeGreaterThan(0);
    expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
    for (const one of cases) expect(one.select, one.name).not.toEqual([]);
  });

  it.each(cases)('$name', (one) => {
    const { xds, notes } = run(one);
    if (UPDATE) {
      text = rewrite(text, one.name, xds, notes);
      return;
    }
    expect(xds).toBe(one.wanted);
    expect(notes).toBe(one.notes);
  });

  afterAll(() => {
    if (UPDATE) writeFileSync(url, text);
  });
});

function rewrite(text: string, name: string, xds: string, notes: string): string {
  const start = text.startsWith(`## ${name}\n`) ? 0 : text.indexOf(`\n## ${name}\n`) + 1;
  const next = text.indexOf('\n## ', start + 1);
  const end = next < 0 ? text.length : next + 1;
  const kept = text
    .slice(start, end)
    .replace(/\n```(?:xds|notes)\n[\s\S]*?^```\n/gm, '')
    .trimEnd();
  const outputs = [['xds', xds] as const, ...(notes === '' ? [] : [['notes', notes] as const])];
  const blocks = outputs.map(([kind, body]) => `\n\n\`\`\`${kind}\n${body}\`\`\``).join('');
  return `${text.slice(0, start)}${kept}${blocks}\n${next < 0 ? '' : '\n'}${text.slice(end)}`;
}
