import type { Clock, TimerHandle } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { KubeError, type KubeRequest } from '../source/kube/client.ts';
import { isRecord } from '../source/schema/type.ts';

export interface WebhookBundlesOptions {
  readonly api: { send(request: KubeRequest): Promise<unknown> };
  readonly clock: Clock;
  readonly log: Logger;
  /** Name of both configurations, the mutating and the validating one. */
  readonly name: string;
  /** PEM of what signs the webhooks' certificate; '' there is none yet. */
  readonly roots: () => string;
  /** Only the leader writes. */
  readonly leading: () => boolean;
}

const KINDS = ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'] as const;
/** Who installs again takes what was written away; until it is back, no pod of the mesh can be made. */
const LOOK_MS = 5_000;

/** Keeps `caBundle` of our webhooks what the API server has to trust when it calls them. */
export class WebhookBundles {
  readonly #options: WebhookBundlesOptions;
  #timer: TimerHandle | null = null;
  #working: Promise<void> = Promise.resolve();
  #closed = false;
  #trouble = '';

  constructor(options: WebhookBundlesOptions) {
    this.#options = options;
  }

  /** Something that it depends on may have changed. */
  readonly refresh = (): void => {
    this.#working = this.#working.then(() => this.#run());
  };

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#working;
  }

  async #run(): Promise<void> {
    const { roots, leading, clock, log } = this.#options;
    this.#timer?.cancel();
    const pem = roots();
    if (this.#closed || !leading() || pem === '') return;
    let failed = '';
    for (const kind of KINDS) {
      try {
        await this.#write(kind, Buffer.from(pem).toString('base64'));
      } catch (error) {
        failed = `caBundle of ${kind} ${this.#options.name}: ${messageOf(error)}`;
      }
    }
    if (failed !== '' && failed !== this.#trouble) log.warn(failed);
    this.#trouble = failed;
    if (!this.#closed) this.#timer = clock.after(LOOK_MS, this.refresh);
  }

  async #write(kind: (typeof KINDS)[number], bundle: string): Promise<void> {
    const { api, name, log } = this.#options;
    const path = `/apis/admissionregistration.k8s.io/v1/${kind}/${encodeURIComponent(name)}`;
    let webhooks: readonly unknown[];
    try {
      const found = await api.send({ path });
      webhooks = isRecord(found) && Array.isArray(found.webhooks) ? found.webhooks : [];
    } catch (error) {
      // Installed without admission.
      if (error instanceof KubeError && error.status === 404) return;
      throw error;
    }
    const patch = webhooks.flatMap((webhook, i) => {
      const { name: own, clientConfig } = isRecord(webhook) ? webhook : {};
      if (isRecord(clientConfig) && clientConfig.caBundle === bundle) return [];
      return [
        // Somebody may have changed their order meanwhile.
        { op: 'test', path: `/webhooks/${i}/name`, value: own },
        { op: 'add', path: `/webhooks/${i}/clientConfig/caBundle`, value: bundle },
      ];
    });
    if (patch.length === 0) return;
    await api.send({ method: 'PATCH', path, body: patch, contentType: 'application/json-patch+json' });
    log.info('the API server trusts the webhooks’ certificate', { configuration: `${kind} ${name}` });
  }
}
