import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import type { KubeAccess } from '../source/kube/access.ts';
import { KubeClient } from '../source/kube/client.ts';
import { LeaderElection } from '../source/kube/leader.ts';
import { StatusServer } from './http.ts';

export interface ElectorOptions {
  readonly kube: KubeAccess;
  readonly clock: Clock;
  readonly log: Logger;
  readonly namespace: string;
  readonly lease: string;
  readonly identity: string;
  readonly http: { readonly host: string; readonly port: number };
  readonly version: string;
}

/** `remora elect`: takes part in an election for a program beside it, which asks over HTTP who leads. */
export class Elector {
  readonly #options: ElectorOptions;
  readonly #client: KubeClient;
  readonly #election: LeaderElection;
  readonly #status: StatusServer;

  constructor(options: ElectorOptions) {
    const { kube, clock, log, namespace, lease, identity } = options;
    this.#options = options;
    this.#client = new KubeClient({ access: kube, clock, agent: `remora/${options.version}` });
    const parts = { api: this.#client, clock, random: systemRandom, log: log.child('elect') };
    const election = new LeaderElection({ ...parts, namespace, name: lease, identity });
    this.#election = election;
    this.#status = new StatusServer({
      // As the leader-elector sidecar of old answered.
      '/': () => ({ status: 200, body: { name: election.now.leader, ...election.now } }),
      // For load balancers and probes: 200 here and nowhere else.
      '/leader': () =>
        election.now.leading ? { status: 200, body: 'leading\n' } : { status: 503, body: 'not leading\n' },
      '/ready': () => ({ status: 200, body: 'LIVE\n' }),
    });
  }

  get address(): { host: string; port: number } {
    return { host: this.#options.http.host, port: this.#status.port };
  }

  async start(): Promise<void> {
    const { log, http, identity, namespace, lease } = this.#options;
    await this.#status.listen(http.host, http.port);
    this.#election.start();
    log.info('taking part', { lease: `${namespace}/${lease}`, identity, http: `${http.host}:${this.#status.port}` });
  }

  async close(): Promise<void> {
    await this.#election.close();
    this.#client.close();
    await this.#status.close();
  }
}
