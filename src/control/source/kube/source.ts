import type { Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/log.ts';
import type { Random } from '../../../base/random.ts';
import {
  type ChangeListener,
  type ConfigObject,
  type ConfigSource,
  type ConfigState,
  ENDPOINT_KINDS,
  type Finding,
  type ObjectChange,
} from '../collection.ts';
import { isRecord } from '../schema/type.ts';
import type { KubeError, KubeReader } from './client.ts';
import { Informer, type InformerOptions, type InformerState } from './informer.ts';
import { CONFIG_MAPS, ENDPOINT_SLICES, ENDPOINTS, type KubeResource, RESOURCES, SECRETS } from './resource.ts';

export interface KubeSourceOptions {
  readonly reader: KubeReader;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Where the ConfigMap `istio` holds the mesh's config; absent: it is not looked for. */
  readonly meshConfigNamespace?: string;
  readonly backoff?: InformerOptions['backoff'];
}

/** How far the picture of the cluster is to be trusted. */
export interface KubeHealth {
  /** Everything has been read once; from then on proxies are served, whatever becomes of the API server. */
  readonly synced: boolean;
  /** Kinds whose watch is not open, so that what is known of them may be old. */
  readonly stale: readonly string[];
  /** Ms for which something was stale; 0 when nothing is. */
  readonly staleMs: number;
}

/** As istiod reads it. */
const MESH_CONFIG = 'metadata.name=istio';
/** A Gateway may name this many Secrets; each is a watch. */
const MOST_SECRETS = 1000;

/**
 * The objects of a Kubernetes cluster, kept up to date by one watch a kind. While the API server is away, what was
 * known stays in force. Secrets are asked for one by one, those that Gateways name.
 */
export class KubeSource implements ConfigSource {
  readonly #options: KubeSourceOptions;
  readonly #informers = new Map<string, Watched>();
  readonly #listeners = new Set<ChangeListener>();
  #state: ConfigState | null = null;
  #pending: ObjectChange[] = [];
  #findingsChanged = false;
  #flushDue = false;
  #synced = false;
  #staleSince = 0;
  /** Of Gateways that name Secrets, with the namespaces of their pods. */
  #selectors: { readonly selector: Selector; readonly spaces: ReadonlySet<string> }[] = [];
  #whenSynced: (() => void) | null = null;
  #closed = false;

  constructor(options: KubeSourceOptions) {
    this.#options = options;
  }

  get state(): ConfigState {
    if (this.#state === null) {
      const objects: ConfigObject[] = [];
      const findings: Finding[] = [];
      for (const [name, { informer, error }] of this.#informers) {
        for (const object of informer.objects.values()) objects.push(object);
        if (informer.state === 'forbidden' && error !== null) findings.push(forbidden(name, error));
      }
      this.#state = { objects, findings };
    }
    return this.#state;
  }

  get health(): KubeHealth {
    const stale = [...this.#informers].filter(([, { informer }]) => !settled(informer.state)).map(([name]) => name);
    const staleMs = stale.length === 0 ? 0 : this.#options.clock.now() - this.#staleSince;
    return { synced: this.#synced, stale, staleMs };
  }

  /** Resolves when every kind has been read, however long the API server takes to answer. */
  async start(): Promise<void> {
    this.#staleSince = this.#options.clock.now();
    const done = new Promise<void>((resolve) => {
      this.#whenSynced = resolve;
    });
    for (const resource of RESOURCES) this.#add(resource.plural, resource);
    const { meshConfigNamespace: namespace } = this.#options;
    if (namespace !== undefined) this.#add('configmaps', CONFIG_MAPS, { namespace, fieldSelector: MESH_CONFIG });
    await done;
  }

  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { informer } of this.#informers.values()) informer.close();
    this.#listeners.clear();
    this.#whenSynced?.();
  }

  #objects(plural: string): Iterable<ConfigObject> {
    return this.#informers.get(plural)?.informer.objects.values() ?? [];
  }

  #add(name: string, resource: KubeResource, only?: Pick<InformerOptions, 'namespace' | 'fieldSelector'>): void {
    const { reader, clock, random, backoff } = this.#options;
    const informer = new Informer({
      resource,
      reader,
      clock,
      random,
      ...(backoff === undefined ? {} : { backoff }),
      ...only,
      onChange: (changes) => this.#changed(changes),
      onState: (state, error) => this.#stateOf(name, resource, state, error),
    });
    this.#informers.set(name, { informer, error: null });
    informer.start();
  }

  #changed(changes: readonly ObjectChange[]): void {
    // Not spread: a first list may have more objects than a call has arguments.
    for (const change of changes) this.#pending.push(change);
    // Before its kind counts as read: proxies are served when the Secrets are read as well.
    if (changes.some((change) => this.#movesSecrets(change))) this.#followSecrets();
    this.#flushSoon();
  }

  #movesSecrets({ before, after }: ObjectChange): boolean {
    const kind = (after ?? before)?.kind;
    if (kind !== 'Pod') return kind === 'Gateway';
    return (
      after !== null &&
      this.#selectors.some(({ selector, spaces }) => !spaces.has(after.namespace) && selects(selector, after))
    );
  }

  /** What one read of the socket brings goes together. */
  #flushSoon(): void {
    this.#state = null;
    if (this.#flushDue) return;
    this.#flushDue = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#flushDue = false;
    const changes = this.#pending;
    const findings = this.#findingsChanged;
    this.#pending = [];
    this.#findingsChanged = false;
    if (this.#closed) return;
    if (!this.#synced) return;
    const scope = !findings && changes.every((change) => ENDPOINT_KINDS.has(kindOf(change))) ? 'endpoints' : 'config';
    for (const listener of this.#listeners) {
      if (findings) listener(scope);
      else listener(scope, changes);
    }
  }

  #stateOf(name: string, resource: KubeResource, state: InformerState, error: KubeError | null): void {
    const watched = this.#informers.get(name);
    if (watched === undefined || this.#closed) return;
    const before = watched.error;
    watched.error = error;
    this.#say(name, state, before, error);
    if (before?.message !== error?.message && (before?.status === 403 || error?.status === 403)) {
      this.#findingsChanged = true;
      this.#flushSoon();
    }
    if (resource === ENDPOINT_SLICES && state === 'absent' && !this.#informers.has(ENDPOINTS.plural)) {
      this.#add(ENDPOINTS.plural, ENDPOINTS);
    }
    const stale = [...this.#informers.values()].some(({ informer }) => !settled(informer.state));
    if (!stale) this.#staleSince = this.#options.clock.now();
    if (!this.#synced && [...this.#informers.values()].every(({ informer }) => informer.state !== 'listing')) {
      this.#synced = true;
      this.#whenSynced?.();
    }
  }

  /** Once when something goes wrong, and once when it is well again. */
  #say(name: string, state: InformerState, before: KubeError | null, error: KubeError | null): void {
    const { log } = this.#options;
    if (error !== null && before?.message !== error.message) {
      const kept = state === 'listing' ? 'it is asked again' : 'what is known stays in force';
      log.warn(`${error.message}; ${kept}`, { watch: name });
    } else if (error === null && before !== null) log.info(`${name} is watched again`);
    else if (state === 'absent') log.info(`${name}: the cluster does not know this kind; it is looked for again`);
  }

  /**
   * One watch for each Secret that a Gateway names, where its pods are (Istio: pilot/pkg/model/credentials/resource.go),
   * and none for others. One that selects everything has its own namespace.
   */
  #followSecrets(): void {
    const wanted = new Map<string, { namespace: string; name: string }>();
    this.#selectors = [];
    for (const { namespace: own, raw } of this.#objects('gateways')) {
      const names = credentialNames(raw);
      if (names.length === 0) continue;
      const selector = selectorOf(raw);
      const spaces = new Set<string>();
      if (selector.length === 0) spaces.add(own);
      else for (const pod of this.#objects('pods')) if (selects(selector, pod)) spaces.add(pod.namespace);
      if (selector.length > 0) this.#selectors.push({ selector, spaces });
      for (const namespace of spaces) {
        for (const name of names)
          if (wanted.size < MOST_SECRETS) wanted.set(`secrets ${namespace}/${name}`, { namespace, name });
      }
    }
    for (const [key, { informer }] of this.#informers) {
      if (!key.startsWith('secrets ') || wanted.has(key)) continue;
      informer.close();
      this.#informers.delete(key);
      for (const before of informer.objects.values()) this.#pending.push({ before, after: null });
      if (informer.objects.size > 0) this.#flushSoon();
    }
    for (const [key, { namespace, name }] of wanted) {
      if (this.#informers.has(key)) continue;
      this.#add(key, SECRETS, { namespace, fieldSelector: `metadata.name=${name}` });
    }
  }
}

/** Labels that pods have. */
type Selector = readonly (readonly [key: string, value: unknown])[];

function selectorOf({ spec }: ConfigObject['raw']): Selector {
  return isRecord(spec) && isRecord(spec.selector) ? Object.entries(spec.selector) : [];
}

function selects(selector: Selector, { labels }: ConfigObject): boolean {
  return selector.every(([key, value]) => labels[key] === value);
}

interface Watched {
  readonly informer: Informer;
  error: KubeError | null;
}

function settled(state: InformerState): boolean {
  return state === 'current' || state === 'absent' || state === 'forbidden';
}

function kindOf({ before, after }: ObjectChange): string {
  return (after ?? before)?.kind ?? '';
}

function credentialNames({ spec }: ConfigObject['raw']): readonly string[] {
  const servers = isRecord(spec) && Array.isArray(spec.servers) ? spec.servers : [];
  return servers.flatMap((server: unknown) => {
    const name = isRecord(server) && isRecord(server.tls) ? server.tls.credentialName : undefined;
    if (typeof name !== 'string' || !/^[a-z0-9][a-z0-9.-]{0,252}$/.test(name)) return [];
    // Istio's name for a Secret with the roots of the clients alone.
    const mode = isRecord(server) && isRecord(server.tls) ? server.tls.mode : undefined;
    return mode === 'MUTUAL' || mode === 'OPTIONAL_MUTUAL' ? [name, `${name}-cacert`] : [name];
  });
}

/** `name`: of the watch. */
function forbidden(name: string, error: KubeError): Finding {
  const [, secret, namespace] = /^secrets (([^/]+)\/.+)$/.exec(name) ?? [];
  const message =
    secret === undefined
      ? `${error.message}: grant get, list and watch; what needs it is not there meanwhile`
      : `may not be read by the control server, and servers of Gateways that name it are not served: a Role in ${namespace} that grants get, list and watch of secrets comes with \`remora install --part ingress --set gatewayNamespace=${namespace}\` (${error.message})`;
  const object = secret === undefined ? '' : `Secret ${secret}`;
  return { severity: 'error', code: 'forbidden', object, field: '', message, file: '', line: 0 };
}
