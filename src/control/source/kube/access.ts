import { readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { parse } from 'yaml';
import { ConfigError, errorCode, messageOf } from '../../../base/errors.ts';
import { isRecord } from '../schema/type.ts';

/** A text that a file holds and somebody else may rewrite (a projected token lives for an hour), or one that stays. */
export interface FileText {
  /** The text as it is now. Throws where the file cannot be read. */
  read(): string;
}

/** Where an API server is, and how to prove who asks. Nothing of it is ever logged but `server`. */
export interface KubeAccess {
  readonly server: URL;
  /** PEM; null for the system's own roots. */
  readonly ca: FileText | null;
  /** PEM, of a client certificate. */
  readonly cert: FileText | null;
  readonly key: FileText | null;
  readonly token: FileText | null;
  /** '' for the server's own name. */
  readonly serverName: string;
  /** `insecure-skip-tls-verify`. */
  readonly insecure: boolean;
  /** The namespace of the pod or of the context, `default` where neither says. */
  readonly namespace: string;
}

/** Where a pod finds its service account. */
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The API server of the cluster that this process is a pod of. */
export function inClusterAccess(host: string, port: string, folder: string = SERVICE_ACCOUNT): KubeAccess {
  if (host === '' || port === '') {
    throw new ConfigError(
      'not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; name a file with --kubeconfig',
    );
  }
  const token = new WatchedFile(join(folder, 'token'));
  const ca = new WatchedFile(join(folder, 'ca.crt'));
  checked('the service account', () => [token.read(), ca.read()]);
  let namespace = 'default';
  try {
    namespace = readFileSync(join(folder, 'namespace'), 'utf8').trim() || namespace;
  } catch {
    // A token projected by hand comes without it.
  }
  const name = host.includes(':') ? `[${host}]` : host;
  const server = new URL(`https://${name}:${port}`);
  return { server, ca, cert: null, key: null, token, serverName: '', insecure: false, namespace };
}

/**
 * A kubeconfig's current context, or the one named. Certificates, keys and tokens, inline or in files; files are read
 * again when they change. Programs that log in (`exec`, `auth-provider`) are refused: a server cannot answer them.
 */
export function kubeconfigAccess(file: string, contextName = ''): KubeAccess {
  const text = checked(file, () => readFileSync(file, 'utf8'));
  const value: unknown = checked(file, () => parse(text));
  const config = new Section(file, '', isRecord(value) ? value : {});
  const wanted = contextName || config.text('current-context');
  if (wanted === '') throw new ConfigError(`${file}: current-context is not set: set it, or name one with --context`);
  const context = config.named('contexts', 'context', wanted);
  const cluster = config.named('clusters', 'cluster', context.text('cluster'));
  const user = context.text('user') === '' ? null : config.named('users', 'user', context.text('user'));
  for (const way of ['exec', 'auth-provider', 'username', 'impersonate', 'as']) {
    if (user?.has(way)) {
      throw new ConfigError(
        `${file}: ${user.path}.${way} is not supported: write a token, tokenFile or client certificate, such as of \`kubectl create token\``,
      );
    }
  }
  if (cluster.has('proxy-url')) throw new ConfigError(`${file}: ${cluster.path}.proxy-url is not supported`);
  const server = cluster.text('server');
  if (!URL.canParse(server) || !/^https?:$/.test(new URL(server).protocol)) {
    throw new ConfigError(`${file}: ${cluster.path}.server is not an http or https URL: ${JSON.stringify(server)}`);
  }
  const access: KubeAccess = {
    server: new URL(server),
    ca: cluster.material('certificate-authority'),
    cert: user?.material('client-certificate') ?? null,
    key: user?.material('client-key') ?? null,
    token: user?.tokenFile() ?? null,
    serverName: cluster.text('tls-server-name'),
    insecure: cluster.flag('insecure-skip-tls-verify'),
    namespace: context.text('namespace') || 'default',
  };
  if ((access.cert === null) !== (access.key === null)) {
    throw new ConfigError(`${file}: ${user?.path} has only one of client-certificate and client-key`);
  }
  checked(file, () => [access.ca, access.cert, access.key, access.token].map((one) => one?.read()));
  return access;
}

/** One map of a kubeconfig, which knows where it stands. */
class Section {
  readonly #file: string;
  readonly path: string;
  readonly #value: Readonly<Record<string, unknown>>;

  constructor(file: string, path: string, value: Readonly<Record<string, unknown>>) {
    this.#file = file;
    this.path = path;
    this.#value = value;
  }

  has(key: string): boolean {
    const value = this.#value[key];
    return value !== undefined && value !== null && value !== '';
  }

  text(key: string): string {
    const value = this.#value[key];
    if (value === undefined || value === null) return '';
    if (typeof value !== 'string') throw new ConfigError(`${this.#file}: ${this.#at(key)} must be a text`);
    return value;
  }

  flag(key: string): boolean {
    return this.#value[key] === true;
  }

  /** The entry of that name in a list of `{name, <key>: …}`. */
  named(list: string, key: string, name: string): Section {
    const entries = this.#value[list];
    const found = Array.isArray(entries) ? entries.findIndex((one) => isRecord(one) && one.name === name) : -1;
    const entry: unknown = Array.isArray(entries) ? entries[found]?.[key] : undefined;
    if (!isRecord(entry)) throw new ConfigError(`${this.#file}: ${list} has no entry ${JSON.stringify(name)}`);
    return new Section(this.#file, `${list}[${found}].${key}`, entry);
  }

  /** PEM from `<key>-data` (base64), else from the file `<key>`, relative to the kubeconfig. */
  material(key: string): FileText | null {
    const data = this.text(`${key}-data`);
    if (data !== '') {
      const text = Buffer.from(data, 'base64').toString('utf8');
      return { read: () => text };
    }
    return this.#fileText(this.text(key));
  }

  tokenFile(): FileText | null {
    const file = this.#fileText(this.text('tokenFile'));
    const token = this.text('token');
    return file ?? (token === '' ? null : { read: () => token });
  }

  #fileText(path: string): FileText | null {
    if (path === '') return null;
    return new WatchedFile(isAbsolute(path) ? path : join(dirname(this.#file), path));
  }

  #at(key: string): string {
    return this.path === '' ? key : `${this.path}.${key}`;
  }
}

/** Read again when its size or time differs; kubelet swaps a link, so the path stays. */
class WatchedFile implements FileText {
  readonly #path: string;
  #mark = '';
  #text = '';

  constructor(path: string) {
    this.#path = path;
  }

  read(): string {
    const { mtimeMs, size, ino } = statSync(this.#path);
    const mark = `${mtimeMs} ${size} ${ino}`;
    if (mark !== this.#mark) {
      this.#text = readFileSync(this.#path, 'utf8').trim();
      this.#mark = mark;
    }
    return this.#text;
  }
}

function checked<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    // Of a text that is no YAML the first line says where; the rest repeats the text.
    const why = errorCode(error) === 'ENOENT' ? noSuchFile(what, error) : messageOf(error).split(/:?\n/, 1)[0];
    throw new ConfigError(`${what} cannot be read: ${why}`, [], error);
  }
}

/** It may be one that the kubeconfig names. */
function noSuchFile(what: string, error: unknown): string {
  const { path = what } = error as NodeJS.ErrnoException;
  return path === what ? 'no such file' : `no such file as ${path}`;
}
