import type { Clock, TimerHandle } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { KubeError, type KubeRequest } from '../source/kube/client.ts';

export interface RootConfigMapsOptions {
  readonly api: { send(request: KubeRequest): Promise<unknown> };
  readonly clock: Clock;
  readonly log: Logger;
  /** Name of the ConfigMap. */
  readonly name: string;
  /** Of all namespaces that are to have one. */
  readonly namespaces: () => readonly string[];
  /** PEM; '' there is none yet. */
  readonly roots: () => string;
  /** Only the leader writes. */
  readonly leading: () => boolean;
}

/** Namespaces in which nothing is injected need no root; Istio leaves them out too. */
const LEFT_OUT: ReadonlySet<string> = new Set(['kube-system', 'kube-public', 'kube-node-lease', 'local-path-storage']);
/** Somebody may have removed or edited one. */
const AGAIN_MS = 600_000;
const RETRY_MS = 5_000;

/** Keeps the mesh's roots in a ConfigMap of each namespace, where pods mount them to verify the control server. */
export class RootConfigMaps {
  readonly #options: RootConfigMapsOptions;
  /** What was written where. */
  #written = new Map<string, string>();
  #timer: TimerHandle | null = null;
  #working: Promise<void> | null = null;
  #again = false;
  #closed = false;
  #trouble = '';

  constructor(options: RootConfigMapsOptions) {
    this.#options = options;
  }

  /** Something that it depends on may have changed. */
  readonly refresh = (): void => {
    if (this.#closed) return;
    if (this.#working !== null) {
      this.#again = true;
      return;
    }
    this.#working = this.#run().finally(() => {
      this.#working = null;
      if (!this.#again) return;
      this.#again = false;
      this.refresh();
    });
  };

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#working;
  }

  async #run(): Promise<void> {
    const { namespaces, roots, leading, clock, log } = this.#options;
    const pem = roots();
    this.#timer?.cancel();
    if (!leading() || pem === '') {
      // A later term begins by looking at all of them.
      this.#written.clear();
      return;
    }
    let failed = '';
    for (const namespace of namespaces()) {
      if (this.#closed || !leading()) return;
      if (LEFT_OUT.has(namespace) || this.#written.get(namespace) === pem) continue;
      try {
        await this.#write(namespace, pem);
        this.#written.set(namespace, pem);
      } catch (error) {
        failed = `the root certificate of namespace ${namespace}: ${messageOf(error)}`;
      }
    }
    if (failed !== '' && failed !== this.#trouble) log.warn(failed);
    this.#trouble = failed;
    this.#timer = clock.after(failed === '' ? AGAIN_MS : RETRY_MS, () => {
      if (failed === '') this.#written.clear();
      this.refresh();
    });
  }

  async #write(namespace: string, pem: string): Promise<void> {
    const { api, name } = this.#options;
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps`;
    const data = { 'root-cert.pem': pem };
    try {
      await api.send({
        method: 'PATCH',
        path: `${path}/${name}`,
        body: { data },
        contentType: 'application/merge-patch+json',
      });
    } catch (error) {
      if (!(error instanceof KubeError) || error.status !== 404) throw error;
      const metadata = { name, namespace, labels: { 'app.kubernetes.io/part-of': 'remora' } };
      try {
        await api.send({ method: 'POST', path, body: { apiVersion: 'v1', kind: 'ConfigMap', metadata, data } });
      } catch (refused) {
        // A namespace that is going, or gone by now.
        if (refused instanceof KubeError && (refused.status === 404 || /terminat/.test(refused.message))) return;
        throw refused;
      }
    }
  }
}
