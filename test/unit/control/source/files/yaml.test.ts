import { describe, expect, it } from 'vitest';
import { formatFinding } from '../../../../../src/control/source/collection.ts';
import { MAX_FILE_BYTES, readObjects } from '../../../../../src/control/source/files/yaml.ts';
import { timed } from '../../../../support/cpu-time.ts';

const SERVICE =
  'apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  ports:\n    - port: 80\n      name: http\n';

function findings(text: string): string[] {
  return readObjects(text, 'f.yaml').findings.map(formatFinding);
}

describe('readObjects', () => {
  it('gives every object of a stream its line and the lines of its fields', () => {
    const { objects } = readObjects(`# first\n---\n${SERVICE}---\n\n${SERVICE.replace('web', 'other')}`, 'f.yaml');
    expect(objects.map((object) => `${object.kind} ${object.namespace}/${object.name}:${object.origin.line}`)).toEqual([
      'Service default/web:3',
      'Service default/other:13',
    ]);
    const origin = objects[1]?.origin;
    expect(origin?.lineOf(['spec', 'ports', 0, 'name'])).toBe(20);
    expect(origin?.lineOf(['spec', 'ports', 7, 'name'])).toBe(18);
    expect(origin?.lineOf(['nowhere'])).toBe(13);
    expect(origin?.lineOf([])).toBe(13);
  });

  it('reads JSON, and Lists with the lines of their items', () => {
    const json = readObjects('{"apiVersion":"v1","kind":"Namespace",\n"metadata":{"name":"shop"}}', 'f.json');
    expect(json.objects[0]).toMatchObject({ kind: 'Namespace', name: 'shop', namespace: '' });
    const list = readObjects(
      'apiVersion: v1\nkind: List\nitems:\n  - apiVersion: v1\n    kind: Pod\n    metadata: {name: a}\n  - {apiVersion: v1, kind: Pod, metadata: {name: b}}\n',
      'f.yaml',
    );
    expect(list.objects.map((object) => `${object.name}:${object.origin.line}`)).toEqual(['a:4', 'b:7']);
    expect(list.objects[0]?.origin.lineOf(['metadata', 'name'])).toBe(6);
  });

  it('understands anchors and merge keys, and gives their lines', () => {
    const { objects, findings: wrong } = readObjects(
      'apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: &l {app: x}}\nspec:\n  <<: &s {serviceAccountName: me}\n  copy: *l\n',
      'f.yaml',
    );
    expect(wrong).toEqual([]);
    expect(objects[0]?.raw.spec).toEqual({ serviceAccountName: 'me', copy: { app: 'x' } });
    expect(objects[0]?.origin.lineOf(['spec', 'copy', 'app'])).toBe(3);
  });

  it('keeps the version of an object whose text and line did not change, whatever comes after it', () => {
    const before = readObjects(SERVICE, 'f.yaml').objects[0];
    const after = readObjects(`${SERVICE}---\n${SERVICE.replace('web', 'b')}`, 'f.yaml').objects;
    const moved = readObjects(`\n${SERVICE}`, 'f.yaml').objects[0];
    expect(after[0]?.resourceVersion).toBe(before?.resourceVersion);
    expect(moved?.resourceVersion).not.toBe(before?.resourceVersion);
  });

  it('reads a time of creation and ignores what is none', () => {
    const at = (time: string): number | undefined =>
      readObjects(`apiVersion: v1\nkind: Pod\nmetadata: {name: a, creationTimestamp: ${time}}`, 'f').objects[0]
        ?.createdAt;
    expect(at('"2024-01-01T00:00:00Z"')).toBe(Date.UTC(2024, 0, 1));
    expect(at('null')).toBe(0);
    expect(at('soon')).toBe(0);
  });

  it.each([
    ['a: b: c', 'f.yaml:1 Nested mappings are not allowed in compact mappings'],
    ['a: 1\nb: 2\na: 3', 'f.yaml:3 the key "a" is given twice in the same object'],
    ['just text', 'f.yaml:1 expected a Kubernetes object, got "just text"'],
    ['kind: Pod\nmetadata: {name: a}', 'f.yaml:1 not a Kubernetes object: apiVersion is missing'],
    ['apiVersion: v1\nmetadata: {name: a}', 'f.yaml:1 not a Kubernetes object: kind is missing'],
    ['apiVersion: v1\nkind: Pod\n', 'f.yaml:1 Pod metadata.name: metadata.name is missing'],
    [
      'apiVersion: v1\nkind: Pod\nmetadata:\n  name: 5',
      'f.yaml:4 Pod metadata.name: metadata.name is missing: put it in quotes',
    ],
    [
      'apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n    version: 1',
      'f.yaml:6 Pod default/a metadata.labels.version: expected a string, got 1: put it in quotes',
    ],
    [
      'apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: [x]}',
      'f.yaml:3 Pod a metadata.namespace: expected a string, got a list',
    ],
    ['a: [', 'f.yaml:1 Flow sequence in block collection must be sufficiently indented and end with a ]'],
    [`a: ${'['.repeat(200)}`, 'f.yaml:1 nested deeper than 100 levels'],
  ])('names line and reason of %j', (text, message) => {
    expect(findings(text)).toEqual([message]);
  });

  it('still reads what stands before and after a broken document', () => {
    const read = readObjects(`${SERVICE}---\na: 1\na: 2\n---\n${SERVICE.replace('web', 'b')}`, 'f.yaml');
    expect(read.objects.map((object) => object.name)).toEqual(['web', 'b']);
    expect(read.findings.map(formatFinding)).toEqual(['f.yaml:11 the key "a" is given twice in the same object']);
  });

  it('has nothing to say about empty files and documents', () => {
    for (const text of ['', '\n\n', '# only a comment\n', '---\n---\n', 'null']) {
      expect(readObjects(text, 'f.yaml')).toMatchObject({ objects: [], findings: [] });
    }
  });

  it('refuses a billion laughs, a file that is too large, and depth that would overflow the stack', () => {
    const laughs = `a: &a [x,x,x,x,x,x,x,x]\n${[...'bcdefghi'].map((c, i) => `${c}: &${c} [${Array(8).fill(`*${'abcdefgh'[i]}`).join(',')}]`).join('\n')}`;
    expect(findings(laughs)[0]).toContain('alias');
    expect(findings(`x: ${'a'.repeat(MAX_FILE_BYTES)}`)[0]).toContain('larger than 8 MiB');
    expect(findings('- '.repeat(20_000)).length).toBe(1);
    expect(findings(Array.from({ length: 2000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')).length).toBe(1);
  });

  it('takes a time that grows with the size of a file only, also for an object with very many keys', () => {
    const text = `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n${Array.from({ length: 20_000 }, (_, i) => `  k${i}: v`).join('\n')}`;
    const { result, took } = timed(() => readObjects(text, 'f.yaml'));
    expect(result.objects.length).toBe(1);
    expect(took).toBeLessThan(5000);
  });

  it('keeps keys that JavaScript objects have of their own as plain keys', () => {
    const { objects } = readObjects(
      'apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {__proto__: x, constructor: y}}',
      'f.yaml',
    );
    expect(Object.entries(objects[0]?.labels ?? {})).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
  });
});
