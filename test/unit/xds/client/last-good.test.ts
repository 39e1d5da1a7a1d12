import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../../src/base/log.ts';
import { LastGoodFile } from '../../../../src/xds/client/last-good.ts';
import { WILDCARD } from '../../../../src/xds/client/subscription.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET } from '../../../../src/xds/client/type-urls.ts';
import { any, rig, textDecoder } from './memory-transport.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'remora-last-good-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function file(name = 'last-good.json', more: object = {}) {
  const r = rig('sotw');
  const decoders = [LISTENER, ROUTE, CLUSTER, ENDPOINT].map(textDecoder);
  const at = path.join(directory, name);
  const saved = new LastGoodFile({
    path: at,
    ttlMs: 0,
    nodeId: 'me',
    clock: r.clock,
    log: silentLogger(r.clock),
    decoders,
    ...more,
  });
  r.client.subscribe(CLUSTER, [WILDCARD]);
  r.client.start();
  r.transport.respond({
    type_url: CLUSTER,
    version_info: 'v1',
    nonce: 'n',
    resources: [any(CLUSTER, 'a=1'), any(CLUSTER, 'b=2')],
  });
  return { ...r, at, saved };
}

describe('last good file', () => {
  it('brings back what was saved', async () => {
    const { saved, client, at, clock } = file();
    await saved.save(client);
    expect(statSync(at).mode & 0o777).toBe(0o600);
    const loaded = saved.load();
    expect(loaded?.savedAt).toBe(clock.wall());
    const clusters = loaded?.types.find((type) => type.typeUrl === CLUSTER);
    expect(clusters?.version).toBe('v1');
    expect(clusters?.resources.map(({ name, version, resource }) => [name, version, resource])).toEqual([
      ['a', 'v1', '1'],
      ['b', 'v1', '2'],
    ]);
  });

  it('saves at most once a second, and what is due on close', async () => {
    const { saved, client, at, clock } = file();
    saved.schedule(client);
    saved.schedule(client);
    expect(clock.pending).toBe(1);
    await saved.close(client);
    expect(readdirSync(directory)).toEqual([path.basename(at)]);
    expect(clock.pending).toBe(0);
  });

  it('holds no secrets', async () => {
    const { saved, client, at } = file();
    await saved.save(client);
    expect(Object.keys(JSON.parse(readFileSync(at, 'utf8')).types)).not.toContain(SECRET);
  });

  it('is not used when it is damaged, of another node, of another format or too big', async () => {
    const { saved, client, at, clock } = file();
    expect(saved.load()).toBeNull();
    await saved.save(client);
    const text = readFileSync(at, 'utf8');
    for (const bad of [
      '',
      '{',
      'null',
      text.slice(0, 50),
      text.replace('"me"', '"you"'),
      text.replace('"format":1', '"format":2'),
    ]) {
      writeFileSync(at, bad);
      expect(saved.load()).toBeNull();
    }
    writeFileSync(at, text);
    const small = new LastGoodFile({
      path: at,
      ttlMs: 0,
      nodeId: 'me',
      clock,
      log: silentLogger(clock),
      decoders: [],
      maxBytes: 10,
    });
    expect(small.load()).toBeNull();
    await small.save(client);
    expect(readFileSync(at, 'utf8')).toBe(text);
  });

  it('leaves out what no longer decodes, and then does not claim the version', async () => {
    const { saved, client, at } = file();
    await saved.save(client);
    const base64 = (text: string) => Buffer.from(any(CLUSTER, text).value ?? []).toString('base64');
    writeFileSync(at, readFileSync(at, 'utf8').replace(base64('b=2'), base64('b!')));
    const clusters = saved.load()?.types.find((type) => type.typeUrl === CLUSTER);
    expect(clusters?.resources.map(({ name }) => name)).toEqual(['a']);
    expect(clusters?.version).toBe('');
  });

  it('logs and goes on when the directory cannot be written to', async () => {
    const { saved, client } = file('missing/last-good.json');
    await expect(saved.save(client)).resolves.toBeUndefined();
    chmodSync(directory, 0o700);
  });

  // pains.md row 7
  it('is not used when it was in force too long ago, and does not grow old while it is confirmed', async () => {
    const { saved, client, clock } = file('last-good.json', { ttlMs: 3_600_000 });
    // Files have the time of this machine.
    clock.advance(Date.now() - clock.wall());
    await saved.save(client);
    const { savedAt } = saved.load()!;
    clock.advance(3_000_000);
    saved.confirm();
    clock.advance(3_000_000);
    expect(saved.load()).toMatchObject({ savedAt, confirmedAt: savedAt + 3_000_000 });
    clock.advance(600_001);
    expect(saved.load()).toBeNull();
    const anyAge = file('last-good.json').saved;
    expect(anyAge.load()).not.toBeNull();
  });
});
