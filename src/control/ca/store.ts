import { chmodSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode, messageOf } from '../../base/errors.ts';
import { KubeError, type KubeRequest } from '../source/kube/client.ts';
import { isRecord } from '../source/schema/type.ts';
import { CaError, type CaFiles } from './root.ts';

/** What is kept, and what to show when it is replaced. */
export interface StoredCa {
  readonly files: CaFiles;
  /** Changes with every write. */
  readonly version: string;
}

/** Where a CA's files are kept. Several servers may share one: a write that knows an old version is refused. */
export interface CaStore {
  /** For people. */
  readonly name: string;
  /** null: nothing is there. */
  load(): Promise<StoredCa | null>;
  /** Makes (`version` null) or replaces; null when somebody else was faster. */
  save(files: CaFiles, version: string | null): Promise<StoredCa | null>;
}

/** A Secret; the API server refuses who has not read the latest version. */
export class SecretStore implements CaStore {
  readonly name: string;
  readonly #api: { send(request: KubeRequest): Promise<unknown> };
  readonly #path: string;
  readonly #metadata: { readonly name: string; readonly namespace: string };

  constructor(api: { send(request: KubeRequest): Promise<unknown> }, namespace: string, name: string) {
    this.#api = api;
    this.name = `Secret ${namespace}/${name}`;
    this.#path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets`;
    this.#metadata = { name, namespace };
  }

  async load(): Promise<StoredCa | null> {
    try {
      return storedOf(await this.#api.send({ path: `${this.#path}/${this.#metadata.name}` }));
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return null;
      throw error;
    }
  }

  async save(files: CaFiles, version: string | null): Promise<StoredCa | null> {
    const data = Object.fromEntries(
      Object.entries(files).map(([name, text]) => [name, Buffer.from(text).toString('base64')]),
    );
    const metadata = { ...this.#metadata, ...(version === null ? {} : { resourceVersion: version }) };
    const body = { apiVersion: 'v1', kind: 'Secret', type: 'remora.dev/ca', metadata, data };
    try {
      return storedOf(
        version === null
          ? await this.#api.send({ method: 'POST', path: this.#path, body })
          : await this.#api.send({ method: 'PUT', path: `${this.#path}/${this.#metadata.name}`, body }),
      );
    } catch (error) {
      if (error instanceof KubeError && error.status === 409) return null;
      throw error;
    }
  }
}

function storedOf(value: unknown): StoredCa {
  const { metadata, data } = isRecord(value) ? value : {};
  const { resourceVersion } = isRecord(metadata) ? metadata : {};
  const files = Object.entries(isRecord(data) ? data : {}).map(([name, text]) => [
    name,
    Buffer.from(String(text), 'base64').toString(),
  ]);
  return { files: Object.fromEntries(files), version: String(resourceVersion) };
}

/** The largest of a CA's files; a bundle of a hundred roots has it. */
const MAX_FILE_BYTES = 256 * 1024;
/** All of a CA in one file, so that no reader ever sees half of a change. */
const STATE = 'ca.json';
/** Beside it, for people and for `rotate-root`. */
const LOOSE = /^[\w-]+$/;

/**
 * A folder of this user's alone, on a laptop. Kept in one file that is replaced in one step; a file of another name
 * without a suffix (`rotate-root`) is read as a key of it.
 */
export class FolderStore implements CaStore {
  readonly name: string;
  readonly #folder: string;

  constructor(folder: string) {
    this.name = folder;
    this.#folder = folder;
  }

  load(): Promise<StoredCa | null> {
    return this.#attempt(() => this.#read());
  }

  save(files: CaFiles, version: string | null): Promise<StoredCa | null> {
    return this.#attempt(() => {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      chmodSync(this.#folder, 0o700);
      if ((this.#read()?.version ?? null) !== version) return null;
      const text = `${JSON.stringify({ revision: Number(version ?? 0) + 1, files }, null, 2)}\n`;
      const path = join(this.#folder, STATE);
      const temporary = `${path}.${process.pid}.tmp`;
      writeFileSync(temporary, text, { mode: 0o600 });
      try {
        // Of two that make it, the second is refused.
        if (version === null) linkSync(temporary, path);
        else renameSync(temporary, path);
      } catch (error) {
        if (errorCode(error) === 'EEXIST') return null;
        throw error;
      } finally {
        rmSync(temporary, { force: true });
      }
      for (const name of this.#loose())
        if (files[name] === undefined) rmSync(join(this.#folder, name), { force: true });
      return this.#read();
    });
  }

  #read(): StoredCa | null {
    let text: string;
    try {
      text = readFileSync(join(this.#folder, STATE), 'utf8');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return null;
      throw error;
    }
    const value: unknown = JSON.parse(text);
    const { revision, files } = isRecord(value) ? value : {};
    const known = Object.entries(isRecord(files) ? files : {}).map(([name, one]) => [name, String(one)]);
    return {
      files: { ...Object.fromEntries(this.#loose().map((name) => [name, ''])), ...Object.fromEntries(known) },
      version: String(revision),
    };
  }

  #loose(): string[] {
    return readdirSync(this.#folder).filter((name) => LOOSE.test(name));
  }

  async #attempt<T>(work: () => T): Promise<T> {
    try {
      return work();
    } catch (error) {
      throw new CaError(`the CA folder ${this.#folder}: ${messageOf(error)}`);
    }
  }
}

/** Istio's `cacerts` as a folder: somebody else writes it. */
export class PluggedFolder implements CaStore {
  readonly name: string;

  constructor(folder: string) {
    this.name = folder;
  }

  async load(): Promise<StoredCa | null> {
    const files: Record<string, string> = {};
    try {
      for (const name of readdirSync(this.name).filter((one) => one.endsWith('.pem'))) {
        const text = readFileSync(join(this.name, name), 'utf8');
        if (text.length > MAX_FILE_BYTES) throw new CaError(`${name} is larger than ${MAX_FILE_BYTES} bytes`);
        files[name] = text;
      }
    } catch (error) {
      throw new CaError(`the CA folder ${this.name}: ${messageOf(error)}`);
    }
    return { files, version: JSON.stringify(files) };
  }

  save(): Promise<StoredCa | null> {
    return Promise.reject(new CaError(`the CA folder ${this.name} is not ours to write`));
  }
}
