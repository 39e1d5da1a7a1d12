// Issue 3: broken YAML: the mesh keeps running, and the error says which file, line and field.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type Mesh, mesh, until } from '../../support/mesh.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { Load } from '../../support/mesh-load.ts';
import { file, service, versions, virtualService } from '../../support/mesh-yaml.ts';

function header(host: string, value: string): string {
  return virtualService(host, {
    hosts: [host],
    http: [{ headers: { response: { set: { 'x-mark': value } } }, route: [{ destination: { host } }] }],
  });
}

async function stand(): Promise<Mesh> {
  return ends(
    await mesh()
      .yaml('services.yaml', file(service('reviews'), service('ratings')))
      .yaml('rules.yaml', versions('reviews', 'v1', 'v2'))
      .yaml('reviews.yaml', header('reviews', 'first'))
      .yaml('ratings.yaml', header('ratings', 'first'))
      .sidecar('reviews')
      .sidecar('ratings')
      .start(),
  );
}

/** What a call of the service says about which config is in force. */
async function mark(it: Mesh, host: string): Promise<unknown> {
  return (await it.proxy('reviews-v1').call(`http://${host}:9080/`)).headers['x-mark'];
}

it('a field that is wrong: file, line, object and field are named, and the last good object serves', async () => {
  const it = await stand();
  const load = ends(
    new Load({ port: it.proxy('ratings-v1').outbound.port, target: 'http://reviews:9080/', clients: 2 }),
  );
  it.config.write(
    'reviews.yaml',
    header('reviews', 'second').replace('    - headers:', '    - retires: { attempts: 3 }\n      headers:'),
  );
  it.config.write('ratings.yaml', header('ratings', 'second'));
  const finding = await it.finding('unknown-field');
  const path = join(it.config.path, 'reviews.yaml');
  expect(finding).toMatchObject({
    severity: 'error',
    file: path,
    object: 'VirtualService default/reviews',
    field: 'spec.http[0].retires',
  });
  expect(header('', '').split('\n').length).toBeGreaterThan(finding.line);
  expect(finding.line).toBeGreaterThan(5);
  expect(finding.message).toContain('retries');
  expect(await it.log.until(/error .*retires/)).toContain(
    `${path}:${finding.line} VirtualService default/reviews spec.http[0].retires`,
  );
  await until('the other object applies', async () => (await mark(it, 'ratings')) === 'second');
  expect(await mark(it, 'reviews')).toBe('first');
  // A new proxy gets the last good one as well.
  await it.sidecar({ service: 'reviews', version: 'v2' });
  expect((await it.proxy('reviews-v2').call('http://reviews:9080/')).headers['x-mark']).toBe('first');

  it.config.write('reviews.yaml', header('reviews', 'third'));
  await until('healed', async () => (await mark(it, 'reviews')) === 'third');
  expect(await it.log.until(/cured: .*retires/)).toContain(path);
  expect(await it.findings()).toEqual([]);
  await load.stop();
  expect(load.failures).toEqual(new Map());
});

it('text that is no YAML: the line is named, and all objects of the file stay', async () => {
  const it = await stand();
  it.config.write('reviews.yaml', `${header('reviews', 'second')}---\napiVersion: v1\nkind: "Service\n`);
  const finding = await it.finding('broken-yaml');
  expect(finding).toMatchObject({ severity: 'error', file: join(it.config.path, 'reviews.yaml') });
  expect(finding.line).toBeGreaterThan(0);
  expect(await mark(it, 'reviews')).toBe('first');
  it.config.write('reviews.yaml', header('reviews', 'third'));
  await until('healed', async () => (await mark(it, 'reviews')) === 'third');
  expect(await it.findings()).toEqual([]);
});

it('a file that is deleted takes its objects along', async () => {
  const it = await stand();
  expect(await mark(it, 'reviews')).toBe('first');
  it.config.remove('reviews.yaml');
  await until('gone', async () => (await mark(it, 'reviews')) === undefined);
  expect(await it.proxy('ratings-v1').call('http://reviews:9080/')).toMatchObject({ status: 200, body: 'reviews-v1' });
});

it('two files that define one object: the first counts, both are named, and it changes when that one goes', async () => {
  const it = await stand();
  it.config.write('z-again.yaml', header('reviews', 'again'));
  const finding = await it.finding('duplicate-object');
  expect(finding.message).toContain('reviews.yaml');
  expect(finding.file).toContain('z-again.yaml');
  expect(await mark(it, 'reviews')).toBe('first');
  it.config.remove('reviews.yaml');
  await until('the other counts', async () => (await mark(it, 'reviews')) === 'again');
  expect(await it.findings()).toEqual([]);
});

it('a file that an editor replaces, or that is written bit by bit, is never applied by half', async () => {
  const it = await stand();
  const load = ends(
    new Load({ port: it.proxy('ratings-v1').outbound.port, target: 'http://reviews:9080/', clients: 2 }),
  );
  it.config.replace('reviews.yaml', header('reviews', 'renamed'));
  await until('renamed', async () => (await mark(it, 'reviews')) === 'renamed');
  // Half of a good file may be good YAML too: the routes end early. A writer that goes on is waited for.
  const text = file(header('reviews', 'whole'), versions('ratings', 'v1'));
  const path = join(it.config.path, 'reviews.yaml');
  const marks = new Set<unknown>();
  for (let i = 1; i <= 40; i++) {
    writeFileSync(path, text.slice(0, Math.round((text.length * i) / 40)));
    marks.add(await mark(it, 'reviews'));
  }
  await until('whole', async () => (await mark(it, 'reviews')) === 'whole');
  expect([...marks].filter((one) => one !== 'renamed' && one !== 'whole')).toEqual([]);
  // A piece before the last may have had the routes already, and the last one is still to be read.
  await until('nothing to be wrong', async () => (await it.findings()).length === 0);
  await load.stop();
  expect(load.failures).toEqual(new Map());
});
