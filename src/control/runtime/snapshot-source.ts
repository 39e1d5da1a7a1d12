import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Mesh } from '../mesh/mesh.ts';
import { DEFAULT_SETTINGS } from '../mesh/settings.ts';
import type { ProxyNode } from '../serve/node.ts';
import type { ProxySnapshot } from '../serve/snapshot.ts';
import type { ChangeScope, SnapshotSource } from '../serve/source.ts';
import {
  type ConfigSource,
  ENDPOINT_KINDS,
  type Finding,
  formatFinding,
  type ObjectChange,
} from '../source/collection.ts';
import { DecodedStore } from '../translate/decode.ts';
import type { OutboundPolicy } from '../translate/emit/capture.ts';
import { changeScope, identitiesMoved } from '../translate/emit/change.ts';
import type { EmitNote } from '../translate/emit/shared.ts';
import { MeshEmitter } from '../translate/emit/snapshot.ts';
import type { Translation } from '../translate/istio/mesh.ts';
import { Transaction } from './transaction.ts';

/** Proxies may come and go for long; what was said of them is forgotten some time. */
const MAX_NOTES = 10_000;

const EMPTY: Mesh = {
  services: new Map(),
  workloads: [],
  places: new Map(),
  routes: [],
  tlsRoutes: [],
  policies: [],
  gateways: [],
  secrets: new Map(),
  peerAuthentications: [],
  rateLimits: [],
  sidecars: [],
  settings: DEFAULT_SETTINGS,
  domain: 'cluster.local',
};

/**
 * The way of config through the control server: objects of a source are decoded, translated to the mesh, and emitted
 * for each proxy that asks. What is wrong is said once when it appears and once when it is cured; meanwhile the last
 * good form of what it is wrong with stays in force.
 */
export class MeshSnapshotSource implements SnapshotSource {
  readonly #source: ConfigSource;
  readonly #log: Logger;
  readonly #store = new DecodedStore();
  readonly #transaction = new Transaction();
  readonly #emitter: MeshEmitter;
  readonly #listeners = new Set<(scope: ChangeScope) => void>();
  readonly #notes = new Set<string>();
  #translation: Translation | undefined;
  /** The last mesh of which a snapshot could be made. */
  #good: Mesh = EMPTY;
  #findings: ReadonlyMap<string, Finding> = new Map();
  #unsubscribe: (() => void) | null = null;

  /** `trustDomain`: of the mesh's certificates; '' where there is no CA. */
  constructor(source: ConfigSource, log: Logger, policy: OutboundPolicy = 'ALLOW_ANY', trustDomain = '') {
    this.#source = source;
    this.#log = log;
    this.#emitter = new MeshEmitter((note) => this.#noted(note), policy, trustDomain);
  }

  get epoch(): number {
    return this.#epoch;
  }
  #epoch = 0;

  get mesh(): Mesh {
    return this.#translation?.mesh ?? EMPTY;
  }
  /** Everything that is wrong at present. */
  get findings(): readonly Finding[] {
    return [...this.#findings.values()];
  }

  /** Reads everything once; serve proxies only after that, or they are told that there is nothing. */
  async start(): Promise<void> {
    await this.#source.start();
    this.#unsubscribe = this.#source.onChange((_scope, changes) => {
      if (changes === undefined || !this.#follow(changes)) this.#refresh();
    });
    this.#refresh();
  }

  async close(): Promise<void> {
    this.#unsubscribe?.();
    this.#unsubscribe = null;
    await this.#source.close();
  }

  snapshotFor(node: ProxyNode): ProxySnapshot {
    const { mesh } = this;
    try {
      const snapshot = this.#emitter.emit(mesh, node);
      this.#good = mesh;
      return snapshot;
    } catch (error) {
      // A fault of ours: proxies keep what they have.
      this.#noted({
        proxy: node.id,
        message: `the mesh cannot be emitted, its last form is kept: ${messageOf(error)}`,
      });
      return this.#emitter.emit(this.#good, node);
    }
  }

  onChange(cb: (scope: ChangeScope) => void): () => void {
    this.#listeners.add(cb);
    return () => this.#listeners.delete(cb);
  }

  /** Where only slices and pods changed: the cost is that of the change, not of the mesh. False: look at everything. */
  #follow(changes: readonly ObjectChange[]): boolean {
    const previous = this.#translation;
    if (previous === undefined) return false;
    if (!changes.every(({ before, after }) => ENDPOINT_KINDS.has((after ?? before)?.kind ?? ''))) return false;
    const decoded = this.#store.follow(changes);
    const moved = decoded === null ? null : this.#transaction.follow(decoded, previous);
    if (moved === null) return false;
    const { translation, services } = moved;
    this.#translation = translation;
    const byHost = services.map((service) => [service.host, service] as const);
    const scope = changeScope(previous.mesh, translation.mesh, this.#emitter.captures, byHost);
    if (scope !== 'config') this.#emitter.moveEndpoints(previous.mesh, translation.mesh, services);
    if (this.#good === previous.mesh) this.#good = translation.mesh;
    this.#tell(scope, identitiesMoved(previous.mesh, byHost));
    return true;
  }

  #refresh(): void {
    const before = this.mesh;
    const { objects, findings } = this.#source.state;
    const decoded = this.#store.update(objects);
    const all = [...findings, ...decoded.findings];
    try {
      this.#translation = this.#transaction.apply(decoded.objects, this.#translation);
    } catch (error) {
      this.#log.error(`the config cannot be translated, the last mesh is kept: ${messageOf(error)}`);
    }
    this.#report([...all, ...(this.#translation?.findings ?? [])]);
    const written = before.routes !== this.mesh.routes || before.policies !== this.mesh.policies;
    const scope = changeScope(before, this.mesh, this.#emitter.captures);
    // What changes nothing is in force everywhere already.
    if (scope !== null) this.#epoch++;
    this.#tell(scope, written || identitiesMoved(before, this.mesh.services));
  }

  /** Endpoints do not wait for the weights that they shift; but what somebody wrote, or who answers, goes out as one. */
  #tell(scope: ChangeScope | null, whole: boolean): void {
    if (scope === null) return;
    for (const listener of this.#listeners) {
      if (!whole) listener('endpoints');
      if (scope === 'config') listener('config');
    }
  }

  #report(findings: readonly Finding[]): void {
    const now = new Map(findings.map((finding) => [formatFinding(finding), finding]));
    const before = this.#findings;
    this.#findings = now;
    for (const [text, { severity }] of now) {
      if (before.has(text)) continue;
      if (severity === 'error') this.#log.error(text);
      else this.#log.warn(text);
    }
    for (const text of before.keys()) if (!now.has(text)) this.#log.info(`cured: ${text}`);
  }

  #noted({ proxy, message }: EmitNote): void {
    const text = `${proxy}: ${message}`;
    if (this.#notes.has(text)) return;
    if (this.#notes.size >= MAX_NOTES) this.#notes.clear();
    this.#notes.add(text);
    this.#log.warn(message, { proxy });
  }
}
