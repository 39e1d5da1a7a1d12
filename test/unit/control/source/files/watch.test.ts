import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../../../src/base/clock.ts';
import { type ChangeScope, formatFinding } from '../../../../../src/control/source/collection.ts';
import { FileSource } from '../../../../../src/control/source/files/watch.ts';
import { MAX_FILE_BYTES } from '../../../../../src/control/source/files/yaml.ts';
import { type ManualClock, manualClock } from '../../../../support/clock.ts';

let folder: string;
let clock: ManualClock;
let source: FileSource;
let scopes: ChangeScope[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'remora-files-'));
  clock = manualClock();
});
afterEach(async () => {
  await source.close();
  rmSync(folder, { recursive: true, force: true });
});

async function start(...paths: string[]): Promise<void> {
  source = new FileSource({ paths: paths.length === 0 ? [folder] : paths, clock });
  scopes = [];
  await source.start();
  source.onChange((scope) => scopes.push(scope));
}
function write(name: string, text: string): void {
  writeFileSync(join(folder, name), text);
}
function pod(name: string, label = 'a'): string {
  return `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, labels: {l: ${label}}}\n`;
}
function service(name: string, port = 80): string {
  return `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {ports: [{port: ${port}}]}\n`;
}
/** Lets the poll see a change twice, as it must before it is read. */
async function settle(): Promise<void> {
  clock.advance(2000);
  await source.idle;
  clock.advance(50);
  await source.idle;
}
function names(): string[] {
  return source.state.objects.map((object) => `${object.kind} ${object.name}`);
}
function findings(): string[] {
  return source.state.findings.map((finding) => formatFinding(finding).replaceAll(`${folder}/`, ''));
}

describe('FileSource', () => {
  it('reads files and folders below a path, and leaves out hidden ones and other kinds of files', async () => {
    mkdirSync(join(folder, 'deep/er'), { recursive: true });
    mkdirSync(join(folder, '.git'));
    write('b.yaml', pod('b'));
    write('a.yml', pod('a'));
    write('deep/er/c.json', '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"c"}}');
    write('.hidden.yaml', pod('h'));
    write('.git/x.yaml', pod('x'));
    write('README.md', 'no: yaml: here');
    await start();
    expect(names()).toEqual(['Pod a', 'Pod b', 'Pod c']);
    expect(findings()).toEqual([]);
  });

  it('reads a file that is named, whatever it is called, and says when a path is not there', async () => {
    write('mesh.conf', pod('a'));
    await start(join(folder, 'mesh.conf'), join(folder, 'missing'));
    expect(names()).toEqual(['Pod a']);
    expect(findings()).toEqual(['missing no such file or directory']);
    write('missing', pod('m'));
    await settle();
    expect(names()).toEqual(['Pod a', 'Pod m']);
    expect(findings()).toEqual([]);
  });

  it('tells whether only endpoints changed, and keeps objects that did not', async () => {
    write('a.yaml', `${service('a')}---\n${pod('p')}`);
    await start();
    const before = source.state.objects;
    write('a.yaml', `${service('a')}---\n${pod('p', 'other')}`);
    await settle();
    expect(scopes).toEqual(['endpoints']);
    expect(source.state.objects[0]).toBe(before[0]);
    expect(source.state.objects[1]).not.toBe(before[1]);
    write('a.yaml', `${service('a', 81)}---\n${pod('p', 'other')}`);
    await settle();
    expect(scopes).toEqual(['endpoints', 'config']);
  });

  it('says nothing when a file is touched without a change', async () => {
    write('a.yaml', pod('a'));
    await start();
    const before = source.state;
    write('a.yaml', pod('a'));
    await settle();
    expect(scopes).toEqual([]);
    expect(source.state).toBe(before);
  });

  it('waits until a file that is being written is left alone', async () => {
    await start();
    write('a.yaml', 'apiVersion: v1\nkind: Pod\nmeta');
    clock.advance(2000);
    await source.idle;
    expect(findings()).toEqual([]);
    write('a.yaml', `${pod('a')}# more to come`);
    clock.advance(50);
    await source.idle;
    expect(names()).toEqual([]);
    clock.advance(50);
    await source.idle;
    expect(names()).toEqual(['Pod a']);
    expect(findings()).toEqual([]);
  });

  it('keeps the objects of a file that an editor replaces by rename', async () => {
    write('a.yaml', pod('a'));
    await start();
    renameSync(join(folder, 'a.yaml'), join(folder, 'a.yaml~'));
    clock.advance(2000);
    await source.idle;
    expect(names()).toEqual(['Pod a']);
    write('a.yaml.new', pod('a', 'new'));
    renameSync(join(folder, 'a.yaml.new'), join(folder, 'a.yaml'));
    await settle();
    expect(source.state.objects.map((object) => object.labels.l)).toEqual(['new']);
    expect(scopes).toEqual(['endpoints']);
  });

  it('removes the objects of a file that is gone', async () => {
    write('a.yaml', pod('a'));
    write('b.yaml', service('b'));
    await start();
    rmSync(join(folder, 'b.yaml'));
    await settle();
    expect(names()).toEqual(['Pod a']);
    expect(scopes).toEqual(['config']);
  });

  it('leaves all objects of the last good version of a broken file in force and says so, until it is put right', async () => {
    write('a.yaml', `${service('a')}---\n${service('b')}`);
    await start();
    const before = source.state.objects;
    write('a.yaml', `${service('a', 81)}---\nkind: [`);
    await settle();
    expect(source.state.objects).toEqual(before);
    expect(findings()).toEqual([
      'a.yaml:6 Flow sequence in block collection must be sufficiently indented and end with a ]',
      'a.yaml the last good version stays in force (2 objects)',
    ]);
    write('a.yaml', service('a', 82));
    await settle();
    expect(names()).toEqual(['Service a']);
    expect(findings()).toEqual([]);
    expect(scopes).toEqual(['config', 'config']);
  });

  it('takes what can be read of a file that was never good', async () => {
    write('a.yaml', `${service('a')}---\nkind: [`);
    await start();
    expect(names()).toEqual(['Service a']);
    expect(findings().length).toBe(1);
  });

  it('lets the first of two objects of a name count and names both places', async () => {
    write('a.yaml', pod('a', 'first'));
    write('b.yaml', `${pod('b')}---\n${pod('a', 'second')}`);
    await start();
    expect(source.state.objects.map((object) => object.labels.l)).toEqual(['first', 'a']);
    expect(findings()).toEqual([
      'b.yaml:5 Pod default/a is in a.yaml:1 already, which counts; this one in b.yaml:5 has no effect: remove one of them',
    ]);
    rmSync(join(folder, 'a.yaml'));
    await settle();
    expect(source.state.objects.map((object) => object.labels.l)).toEqual(['a', 'second']);
    expect(findings()).toEqual([]);
  });

  it('follows links once, ends at links to parents, and sees a ConfigMap being swapped', async () => {
    mkdirSync(join(folder, '..v1'));
    mkdirSync(join(folder, '..v2'));
    writeFileSync(join(folder, '..v1/mesh.yaml'), pod('a', 'one'));
    writeFileSync(join(folder, '..v2/mesh.yaml'), pod('a', 'two'));
    symlinkSync('..v1', join(folder, '..data'));
    symlinkSync('..data/mesh.yaml', join(folder, 'mesh.yaml'));
    symlinkSync('.', join(folder, 'loop'));
    symlinkSync('nowhere.yaml', join(folder, 'dangling.yaml'));
    await start();
    expect(source.state.objects.map((object) => object.labels.l)).toEqual(['one']);
    expect(findings()).toEqual([]);
    symlinkSync('..v2', join(folder, '..tmp'));
    renameSync(join(folder, '..tmp'), join(folder, '..data'));
    await settle();
    expect(source.state.objects.map((object) => object.labels.l)).toEqual(['two']);
  });

  it('refuses a file that is too large or not text, and a path that is no file', async () => {
    write('large.yaml', '');
    truncateSync(join(folder, 'large.yaml'), MAX_FILE_BYTES + 1);
    writeFileSync(join(folder, 'binary.yaml'), Buffer.from([0xff, 0xfe, 0x00]));
    await start(folder, '/dev/null');
    expect(findings()).toEqual([
      '/dev/null neither a file nor a directory',
      'binary.yaml not UTF-8 text',
      'large.yaml larger than 8 MiB: split it',
    ]);
  });

  it('sees a change soon, without waiting for the poll, on the platform that tells of it', async () => {
    write('a.yaml', pod('a'));
    source = new FileSource({ paths: [folder], clock: systemClock, pollMs: 60_000, quietMs: 10 });
    await source.start();
    const changed = new Promise<ChangeScope>((resolve) => source.onChange(resolve));
    write('b.yaml', service('b'));
    // The clock of the process keeps nothing alive; this does.
    const alive = setInterval(() => {}, 1000);
    expect(await changed).toBe('config');
    clearInterval(alive);
    expect(names()).toEqual(['Pod a', 'Service b']);
  });

  it('tells nobody anything after it is closed', async () => {
    write('a.yaml', pod('a'));
    await start();
    await source.close();
    write('a.yaml', pod('b'));
    await source.refresh();
    clock.advance(10_000);
    expect(names()).toEqual(['Pod a']);
    expect(scopes).toEqual([]);
  });
});
