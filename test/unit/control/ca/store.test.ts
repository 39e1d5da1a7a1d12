import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FolderStore, PluggedFolder, SecretStore } from '../../../../src/control/ca/store.ts';
import { KubeError, type KubeRequest } from '../../../../src/control/source/kube/client.ts';
import { memoryFolder } from '../../../support/memory-folder.ts';

const FILES = { 'ca-cert.pem': 'certificate', 'ca-key.pem': 'key' };

describe('a folder', () => {
  it('keeps a CA for this user alone, whole or not at all', async () => {
    const folder = join(memoryFolder('remora-ca-'), 'ca');
    const store = new FolderStore(folder);
    expect(await store.load()).toBeNull();
    const made = await store.save(FILES, null);
    expect(made).toEqual({ files: FILES, version: '1' });
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(readdirSync(folder)).toEqual(['ca.json']);
    expect(statSync(join(folder, 'ca.json')).mode & 0o777).toBe(0o600);
    // Of two servers the second is told so.
    expect(await new FolderStore(folder).save({ other: 'x' }, null)).toBeNull();
    expect(await store.save({ ...FILES, more: 'm' }, '1')).toMatchObject({ version: '2' });
    expect(await store.save(FILES, '1')).toBeNull();
    expect((await store.load())?.files).toEqual({ ...FILES, more: 'm' });
  });

  it('reads a file of no suffix as a request, and removes it when it is done', async () => {
    const folder = join(memoryFolder('remora-ca-'), 'ca');
    const store = new FolderStore(folder);
    await store.save(FILES, null);
    writeFileSync(join(folder, 'rotate-root'), '');
    writeFileSync(join(folder, 'local.token'), 'secret');
    expect((await store.load())?.files).toEqual({ ...FILES, 'rotate-root': '' });
    await store.save(FILES, '1');
    expect(readdirSync(folder).sort()).toEqual(['ca.json', 'local.token']);
  });

  it('that is broken is named', async () => {
    const folder = memoryFolder('remora-ca-');
    writeFileSync(join(folder, 'ca.json'), '{');
    await expect(new FolderStore(folder).load()).rejects.toThrow(`the CA folder ${folder}`);
  });
});

describe('a plugged-in folder', () => {
  it('has Istio’s files, and is not ours to write', async () => {
    const folder = memoryFolder('remora-cacerts-');
    writeFileSync(join(folder, 'ca-cert.pem'), 'certificate');
    writeFileSync(join(folder, 'notes.txt'), 'not read');
    mkdirSync(join(folder, 'more'));
    const store = new PluggedFolder(folder);
    const first = await store.load();
    expect(first?.files).toEqual({ 'ca-cert.pem': 'certificate' });
    expect((await store.load())?.version).toBe(first?.version);
    writeFileSync(join(folder, 'ca-cert.pem'), 'another');
    expect((await store.load())?.version).not.toBe(first?.version);
    await expect(store.save()).rejects.toThrow(/not ours/);
    expect(readFileSync(join(folder, 'ca-cert.pem'), 'utf8')).toBe('another');
    await expect(new PluggedFolder(join(folder, 'absent')).load()).rejects.toThrow(/absent/);
  });
});

/** One Secret of an API server. */
class Api {
  readonly sent: KubeRequest[] = [];
  version = 0;
  data: Record<string, string> = {};

  send(request: KubeRequest): Promise<unknown> {
    this.sent.push(request);
    const { method = 'GET', body } = request;
    const fail = (status: number) => Promise.reject(new KubeError(status, '', 'no'));
    if (method === 'GET') return this.version === 0 ? fail(404) : Promise.resolve(this.#object());
    const { metadata, data } = body as { metadata: { resourceVersion?: string }; data: Record<string, string> };
    if (method === 'POST' ? this.version > 0 : metadata.resourceVersion !== String(this.version)) return fail(409);
    this.version++;
    this.data = data;
    return Promise.resolve(this.#object());
  }
  #object() {
    return { metadata: { resourceVersion: String(this.version) }, data: this.data };
  }
}

describe('a Secret', () => {
  it('is shared: who has not seen the latest version does not write', async () => {
    const api = new Api();
    const [a, b] = [new SecretStore(api, 'remora-system', 'ca'), new SecretStore(api, 'remora-system', 'ca')];
    expect(await a.load()).toBeNull();
    expect(await a.save(FILES, null)).toEqual({ files: FILES, version: '1' });
    expect(await b.save({ other: 'x' }, null)).toBeNull();
    expect(await b.load()).toEqual({ files: FILES, version: '1' });
    expect(await b.save({ ...FILES, more: 'm' }, '1')).toMatchObject({ version: '2' });
    expect(await a.save(FILES, '1')).toBeNull();
    expect(api.data['more']).toBe(Buffer.from('m').toString('base64'));
    expect(api.sent[1]?.path).toBe('/api/v1/namespaces/remora-system/secrets');
  });

  it('that nobody may read is an error, not a reason to make another', async () => {
    const api = { send: () => Promise.reject(new KubeError(403, 'Forbidden', 'forbidden')) };
    const store = new SecretStore(api, 'remora-system', 'ca');
    await expect(store.load()).rejects.toThrow('forbidden');
    await expect(store.save(FILES, null)).rejects.toThrow('forbidden');
  });
});
