import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { ConfigError, errorCode, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { CertificateAuthority } from '../ca/authority.ts';
import { authenticator, certificateService } from '../ca/certificate-service.ts';
import { CaError, ROOT_CERT } from '../ca/root.ts';
import { RootConfigMaps } from '../ca/root-config-map.ts';
import { ServerCertificate } from '../ca/server-certificate.ts';
import { type CaStore, FolderStore, PluggedFolder, SecretStore } from '../ca/store.ts';
import { TokenReviewer } from '../ca/token-review.ts';
import { WebhookBundles } from '../ca/webhook-bundles.ts';
import type { AdsServerOptions } from '../serve/ads.ts';
import type { UnaryMethod } from '../serve/caller.ts';
import type { ConfigSource } from '../source/collection.ts';
import type { KubeClient } from '../source/kube/client.ts';
import type { LeaderElection } from '../source/kube/leader.ts';

export interface CaOptions {
  readonly trustDomain: string;
  /** Life of workloads' certificates, ms. */
  readonly ttlMs: number;
  /** Where the root is kept: a Secret of this namespace, shared by all replicas, or a folder. */
  readonly keep:
    | { readonly kind: 'secret'; readonly namespace: string }
    | { readonly kind: 'folder'; readonly path: string };
  /** Folder of an intermediate that somebody plugged in, as Istio's `cacerts`; '' none, or the Secret of that name. */
  readonly pluggedFolder: string;
  /** Who tokens of pods must be for. */
  readonly audience: string;
  /** xDS and the CA by TLS; null: by plain text alone, from this machine. */
  readonly secure: { readonly host: string; readonly port: number } | null;
  /** Names of the control server in its own certificate. */
  readonly dns: readonly string[];
  /** Webhook configurations whose caBundle is kept to this CA's roots; '' none. */
  readonly webhooks?: string;
  /** As {@link CertificateAuthority}'s; tests have less time. */
  readonly lookMs?: number;
  readonly holdMs?: number;
}

interface CaParts {
  readonly options: CaOptions;
  readonly kube: KubeClient | null;
  /** Which of the servers that share the CA writes; null: this is the only one. */
  readonly election: LeaderElection | null;
  readonly source: ConfigSource;
  readonly clock: Clock;
  readonly log: Logger;
}

const CA_SECRET = 'remora-ca-secret';
const PLUGGED_SECRET = 'cacerts';
const ROOT_CONFIG_MAP = 'istio-ca-root-cert';
const RETRY_MS = 2000;

/** The mesh's CA put together: where it is kept, who may ask, what it serves, and who of several servers leads. */
export class MeshCa {
  readonly #parts: CaParts;
  readonly authority: CertificateAuthority;
  readonly methods: readonly UnaryMethod[];
  readonly #authenticate: ReturnType<typeof authenticator>;
  readonly #election: LeaderElection | null;
  readonly #configMaps: RootConfigMaps | null;
  readonly #bundles: WebhookBundles | null;
  #server: ServerCertificate | null = null;
  #closed = false;
  readonly #unsubscribe: (() => void)[] = [];

  constructor(parts: CaParts) {
    const { options, kube, clock, log } = parts;
    this.#parts = parts;
    const { keep, trustDomain, audience } = options;
    const shared = keep.kind === 'secret' && kube !== null ? { kube, namespace: keep.namespace } : null;
    this.#election = parts.election;
    this.authority = new CertificateAuthority({
      store: storeOf(options, kube),
      plugged: pluggedOf(options, kube),
      trustDomain,
      ttlMs: options.ttlMs,
      clock,
      log,
      mayRotate: () => this.#election?.now.leading ?? true,
      ...(options.lookMs === undefined ? {} : { lookMs: options.lookMs }),
      ...(options.holdMs === undefined ? {} : { holdMs: options.holdMs }),
    });
    const reviewer = kube === null ? null : new TokenReviewer({ api: kube, clock, trustDomain, audience });
    this.#authenticate = authenticator({ reviewer, local: keep.kind === 'folder' ? localToken(keep.path) : '' });
    this.methods = [certificateService(this.authority, this.#authenticate, log)];
    this.#configMaps = shared === null ? null : configMapsOf(shared.kube, this, parts);
    this.#bundles = shared === null ? null : bundlesOf(shared.kube, this, parts);
  }

  get leading(): boolean {
    return this.#election?.now.leading ?? true;
  }

  /** For people; nothing of it is secret. */
  get view(): object {
    const { certificate = null, stage = null, roots = '' } = this.authority.material ?? {};
    return {
      trustDomain: this.authority.trustDomain,
      stage,
      subject: certificate?.subject ?? null,
      validUntil: certificate?.validToDate.toISOString() ?? null,
      roots: roots.split('BEGIN CERTIFICATE').length - 1,
      leading: this.leading,
    };
  }

  /** What the port by TLS is made of; call it after {@link start}. */
  secure(): ReturnType<NonNullable<AdsServerOptions['secure']>> {
    const { secure, trustDomain } = this.#parts.options;
    if (secure === null) return undefined;
    return { ...secure, trustDomain, material: this.serverMaterial(), authenticate: this.#authenticate };
  }

  /** The control server's own certificate, renewed by itself; call it after {@link start}. */
  serverMaterial(): ServerCertificate['current'] {
    const { options, clock, log } = this.#parts;
    this.#server ??= new ServerCertificate(this.authority, options.dns, clock, log);
    return this.#server.current;
  }

  /** Resolves when the CA is there; an API server that is away is waited for, a folder that is wrong is an error. */
  async start(): Promise<void> {
    const { keep } = this.#parts.options;
    // Proxies of the same machine verify this server by it.
    if (keep.kind === 'folder') {
      this.#unsubscribe.push(this.authority.roots.subscribe((pem) => replaceFile(join(keep.path, ROOT_CERT), pem)));
    }
    await this.#startAuthority();
    for (const kept of [this.#configMaps, this.#bundles]) {
      if (kept === null) continue;
      const { refresh } = kept;
      this.#unsubscribe.push(this.authority.roots.subscribe(refresh), this.#election?.onChange(refresh) ?? (() => {}));
      refresh();
    }
    if (this.#configMaps !== null) this.#unsubscribe.push(this.#parts.source.onChange(this.#configMaps.refresh));
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#server?.close();
    await this.#configMaps?.close();
    await this.#bundles?.close();
    await this.authority.close();
  }

  async #startAuthority(): Promise<void> {
    const { log, clock, options } = this.#parts;
    for (;;) {
      try {
        await this.authority.start();
        return;
      } catch (error) {
        if (error instanceof CaError && options.keep.kind === 'folder')
          throw new ConfigError(messageOf(error), [], error);
        log.error(`the CA cannot be read: ${messageOf(error)}`);
        await new Promise<void>((resolve) => void clock.after(RETRY_MS, resolve));
        if (this.#closed) return;
      }
    }
  }
}

function storeOf({ keep }: CaOptions, kube: KubeClient | null): CaStore {
  if (keep.kind === 'folder') return new FolderStore(keep.path);
  if (kube === null) throw new ConfigError('a CA in a Secret needs a cluster: --in-cluster or --kubeconfig');
  return new SecretStore(kube, keep.namespace, CA_SECRET);
}

function pluggedOf({ keep, pluggedFolder }: CaOptions, kube: KubeClient | null): CaStore | null {
  if (pluggedFolder !== '') return new PluggedFolder(pluggedFolder);
  return keep.kind === 'secret' && kube !== null ? new SecretStore(kube, keep.namespace, PLUGGED_SECRET) : null;
}

function configMapsOf(kube: KubeClient, ca: MeshCa, { source, clock, log }: CaParts): RootConfigMaps {
  return new RootConfigMaps({
    api: kube,
    clock,
    log,
    name: ROOT_CONFIG_MAP,
    namespaces: () =>
      source.state.objects.flatMap(({ kind, apiVersion, name }) =>
        kind === 'Namespace' && apiVersion === 'v1' ? [name] : [],
      ),
    roots: () => ca.authority.roots.value,
    leading: () => ca.leading,
  });
}

function bundlesOf(kube: KubeClient, ca: MeshCa, { options, clock, log }: CaParts): WebhookBundles | null {
  const name = options.webhooks ?? '';
  if (name === '') return null;
  const roots = (): string => ca.authority.roots.value;
  return new WebhookBundles({ api: kube, clock, log, name, roots, leading: () => ca.leading });
}

/** Beside the CA of a laptop: who can read it is this server's own user. */
export const LOCAL_TOKEN = 'local.token';

function replaceFile(path: string, text: string): void {
  writeFileSync(`${path}.tmp`, text, { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}

/** One for all servers that share the folder. */
function localToken(folder: string): string {
  const path = join(folder, LOCAL_TOKEN);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  try {
    writeFileSync(path, randomBytes(32).toString('base64url'), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
  const token = readFileSync(path, 'utf8');
  if (token.length < 32) throw new ConfigError(`${path} is no token: remove it, and another one is made`);
  return token;
}
