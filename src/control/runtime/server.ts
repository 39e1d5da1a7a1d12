import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { AdsServer } from '../serve/ads.ts';
import type { ConnectedProxy } from '../serve/clients.ts';
import { type ConfigSource, formatFinding } from '../source/collection.ts';
import { FileSource } from '../source/files/watch.ts';
import type { KubeAccess } from '../source/kube/access.ts';
import { KubeClient } from '../source/kube/client.ts';
import { LeaderElection } from '../source/kube/leader.ts';
import { KubeSource } from '../source/kube/source.ts';
import { SourceUnion } from '../source/union.ts';
import { StatusWriter } from '../status/writer.ts';
import type { OutboundPolicy } from '../translate/emit/capture.ts';
import { type CaOptions, MeshCa } from './ca.ts';
import { StatusServer } from './http.ts';
import { metricsText } from './metrics.ts';
import { MeshSnapshotSource } from './snapshot-source.ts';
import { type WebhookOptions, WebhookServer } from './webhook.ts';

export interface ControlOptions {
  /** Folders and files of YAML. */
  readonly paths: readonly string[];
  /** The API server to watch; null for files alone. */
  readonly kube?: KubeAccess | null;
  readonly xds: { readonly host: string; readonly port: number };
  readonly http: { readonly host: string; readonly port: number };
  readonly clock: Clock;
  readonly log: Logger;
  readonly version: string;
  /** Where the ConfigMap `istio` holds the mesh's config; absent: in files alone. */
  readonly meshConfigNamespace?: string;
  /** What becomes of calls to unknown hosts, where the mesh's config does not say; ALLOW_ANY where it is left out. */
  readonly outboundTrafficPolicy?: OutboundPolicy;
  /** The CA of the mesh; absent: none, and no mutual TLS. */
  readonly ca?: CaOptions;
  /** What the API server asks; absent: nothing. */
  readonly webhook?: Pick<WebhookOptions, 'host' | 'port' | 'certificates' | 'settings'>;
  /** Who this replica is, and where replicas elect who writes; absent: nobody writes status. */
  readonly replica?: { readonly namespace: string; readonly identity: string };
}

/** One control server. This file is where its parts meet, and the only one. */
export class ControlServer {
  readonly #options: ControlOptions;
  readonly #source: ConfigSource;
  readonly #kube: { readonly client: KubeClient; readonly source: KubeSource } | null;
  readonly #snapshots: MeshSnapshotSource;
  readonly #ads: AdsServer;
  readonly #status: StatusServer;
  /** Who of the replicas writes: status, the CA's roots, the webhooks' certificates. */
  readonly #election: LeaderElection | null;
  readonly #writer: StatusWriter | null;
  readonly #ca: MeshCa | null;
  #serving = false;
  readonly #webhook: WebhookServer | null;

  constructor(options: ControlOptions) {
    const { clock, log } = options;
    this.#options = options;
    // What people wrote, with its places, and what runs in the cluster.
    this.#kube = kubeParts(options);
    const files = new FileSource({ paths: options.paths, clock, logger: log.child('files') });
    this.#source = this.#kube === null ? files : new SourceUnion([files, this.#kube.source]);
    // From objects to the mesh, and from the mesh to each proxy's resources.
    this.#snapshots = new MeshSnapshotSource(
      this.#source,
      log.child('mesh'),
      options.outboundTrafficPolicy,
      options.ca?.trustDomain,
    );
    this.#election = this.#electionOf();
    // Who is who.
    this.#ca =
      options.ca === undefined
        ? null
        : new MeshCa({
            options: options.ca,
            kube: this.#kube?.client ?? null,
            election: this.#election,
            source: this.#source,
            clock,
            log: log.child('ca'),
          });
    // Out to the proxies.
    this.#ads = new AdsServer({
      source: this.#snapshots,
      clock,
      log: log.child('xds'),
      host: options.xds.host,
      port: options.xds.port,
      identifier: `remora/${options.version}`,
      secure: () => this.#ca?.secure(),
      methods: this.#ca?.methods ?? [],
    });
    // Back to the objects, by one of the replicas.
    this.#writer = options.replica === undefined ? null : this.#writerOf();
    // For the API server: new pods, and config before it is stored.
    const { webhook } = options;
    this.#webhook =
      webhook === undefined
        ? null
        : new WebhookServer({
            ...webhook,
            ...(this.#ca === null ? {} : { material: () => this.#ca!.serverMaterial() }),
            state: () => this.#source.state,
            proxyConfig: () => this.#snapshots.mesh.settings.proxyConfig,
            clock,
            log: log.child('webhook'),
          });
    // For people and scripts.
    this.#status = new StatusServer({
      '/ready': () => (this.#serving ? { status: 200, body: 'LIVE\n' } : { status: 503, body: 'reading config\n' }),
      '/sources': () => ({ status: 200, body: { kubernetes: this.#kube?.source.health ?? null } }),
      '/findings': () => ({
        status: 200,
        body: this.#snapshots.findings.map((one) => ({ ...one, text: formatFinding(one) })),
      }),
      '/proxies': () => ({ status: 200, body: this.#ads.clients.list().map(publicView) }),
      '/metrics': () => ({
        status: 200,
        body: metricsText({
          proxies: this.#ads.clients.list().length,
          services: this.#snapshots.mesh.services.size,
          findings: this.#snapshots.findings,
          ca: this.#ca?.authority.material ?? null,
        }),
      }),
      '/ca': () => ({ status: 200, body: this.#ca?.view ?? { trustDomain: null } }),
      '/mesh': () => ({ status: 200, body: { services: [...this.#snapshots.mesh.services.keys()] } }),
    });
  }

  /** One Lease for all that one replica alone may do; null where there is no cluster, or nothing shared in it. */
  #electionOf(): LeaderElection | null {
    const { clock, log, replica, ca } = this.#options;
    if (this.#kube === null) return null;
    const shared = ca?.keep.kind === 'secret' ? ca.keep.namespace : undefined;
    const namespace = replica?.namespace ?? shared;
    if (namespace === undefined) return null;
    const identity = replica?.identity ?? `${hostname()}-${process.pid}-${randomBytes(3).toString('hex')}`;
    const parts = { api: this.#kube.client, clock, random: systemRandom, log: log.child('leader') };
    return new LeaderElection({ ...parts, namespace, name: LEASE, identity });
  }

  #writerOf(): StatusWriter | null {
    const { clock, log } = this.#options;
    const kube = this.#kube;
    const election = this.#election;
    if (kube === null || election === null) return null;
    return new StatusWriter({
      api: kube.client,
      clock,
      log: log.child('status'),
      leading: () => election.now.leading,
      objects: () => kube.source.state.objects,
      findings: () => this.#snapshots.findings,
      epoch: () => this.#snapshots.epoch,
      appliedSince: (epoch) => this.#ads.clients.appliedSince(epoch),
    });
  }

  /** 0 without one, and while it has no certificate. */
  get webhookPort(): number {
    return this.#webhook?.port ?? 0;
  }
  get xdsAddress(): { host: string; port: number } {
    return { host: this.#options.xds.host, port: this.#ads.port };
  }
  /** Of xDS by TLS; port 0 without. */
  get secureAddress(): { host: string; port: number } {
    return { host: this.#options.ca?.secure?.host ?? '', port: this.#ads.securePort };
  }
  get httpAddress(): { host: string; port: number } {
    return { host: this.#options.http.host, port: this.#status.port };
  }

  /** Reads everything once, then serves; an API server that is away is waited for. */
  async start(): Promise<void> {
    const { log, http } = this.#options;
    await this.#status.listen(http.host, http.port);
    await this.#snapshots.start();
    this.#election?.start();
    await this.#ca?.start();
    await this.#ads.listen();
    await this.#webhook?.start();
    this.#writer?.start();
    this.#serving = true;
    log.info('serving', { xds: this.#ads.address, http: `${http.host}:${this.#status.port}` });
  }

  async close(): Promise<void> {
    await this.#writer?.close();
    await this.#webhook?.close();
    await this.#status.close();
    await this.#ads.close();
    await this.#ca?.close();
    // Last of all that only the leader may do: whoever follows begins when it has ended here.
    await this.#election?.close();
    await this.#snapshots.close();
    this.#kube?.client.close();
  }
}

/** Of the replicas' namespace. */
const LEASE = 'remora-leader';

function kubeParts({ kube, clock, log, version, meshConfigNamespace }: ControlOptions) {
  if (kube === undefined || kube === null) return null;
  const client = new KubeClient({ access: kube, clock, agent: `remora/${version}` });
  log.info('watching Kubernetes', { server: client.server });
  const source = new KubeSource({
    reader: client,
    clock,
    random: systemRandom,
    log: log.child('kube'),
    ...(meshConfigNamespace === undefined ? {} : { meshConfigNamespace }),
  });
  return { client, source };
}

/** A proxy as JSON shows it: labels as an object, without what only caches need. */
function publicView({ node, ...proxy }: ConnectedProxy): object {
  const { key: _key, metadata: _metadata, labels, ...identity } = node;
  return { ...proxy, node: { ...identity, labels: Object.fromEntries(labels) } };
}
