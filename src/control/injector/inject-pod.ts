import type { Finding, Severity } from '../source/collection.ts';
import { isRecord, show } from '../source/schema/type.ts';
import { type PodOptions, readAnnotations } from './annotations.ts';
import { type ContainerInput, initContainer, proxyContainer, proxyUser, volumes } from './containers.ts';
import { decide } from './decide.ts';
import { type PatchOperation, type PatchPath, pointer } from './json-patch.ts';
import { preStopDelay, preStopPatch } from './pre-stop.ts';
import { rewriteProbes } from './probes.ts';
import { INIT_NAME, type InjectionSettings, PROXY_NAME } from './settings.ts';
import type { Workload } from './workload.ts';

/** Where a pod comes from, and what is known of its surroundings. */
export interface PodContext {
  readonly settings: InjectionSettings;
  readonly workload: Workload;
  /** Null when nobody knows them. */
  readonly namespaceLabels: Readonly<Record<string, string>> | null;
  /** Inject where neither pod nor namespace says anything. */
  readonly otherwise: boolean;
}

export type Injection =
  | { readonly kind: 'injected'; readonly patch: readonly PatchOperation[]; readonly warnings: readonly Finding[] }
  | { readonly kind: 'skipped'; readonly reason: string }
  | { readonly kind: 'refused'; readonly problems: readonly Finding[] };

/**
 * What has to be done to a pod (or a pod template; `{metadata, spec}`, untrusted) to put it on the mesh. Pure: manual
 * injection and the webhook apply the same patch.
 */
export function injectPod(pod: unknown, context: PodContext): Injection {
  const { settings, workload } = context;
  const report = new Report(`${workload.kind} ${workload.namespace}/${workload.name}`);
  const read = readPod(pod, report);
  if (read === null) return { kind: 'refused', problems: report.findings };
  const { metadata, spec, labels, annotations, containers, initContainers } = read;

  const decision = decide({
    namespace: workload.namespace,
    namespaceLabels: context.namespaceLabels,
    labels,
    annotations,
    hostNetwork: spec.hostNetwork === true,
    containers: [...containers, ...initContainers].map(({ name }) => String(name)),
    revision: settings.revision,
    otherwise: context.otherwise,
  });
  if ('refused' in decision) {
    report.error('value', decision.field, decision.message);
    return { kind: 'refused', problems: report.findings };
  }
  if (!decision.inject) return { kind: 'skipped', reason: decision.reason };

  const options = readAnnotations(annotations, settings.proxyConfig, {
    error: (name, message) => report.error('annotation', `metadata.annotations["${name}"]`, message),
    warning: (name, message) => report.warning('annotation', `metadata.annotations["${name}"]`, message),
  });
  const mode = options.interceptionMode ?? options.config.interceptionMode ?? settings.interceptionMode;
  const healthPort = options.statusPort ?? options.config.statusPort ?? settings.ports.health;
  const native = options.nativeSidecar ?? settings.nativeSidecar;
  checkConflicts(read, options, healthPort, settings, report);
  const probes =
    (options.rewriteProbes ?? settings.rewriteProbes)
      ? rewriteProbes(spec, healthPort)
      : { probers: {}, patch: [], warnings: [] };
  for (const { field, message } of probes.warnings) report.warning('probe', field, message);
  if (report.hasErrors) return { kind: 'refused', problems: report.findings };

  const scrape = scraped(annotations, options.mergeMetrics ?? settings.mergeMetrics, settings.ports.prometheus);
  const graceS = graceOf(spec.terminationGracePeriodSeconds);
  const delayS = options.preStopDelayS ?? settings.preStopDelayS;
  const input: ContainerInput = {
    settings,
    options,
    workload,
    mode,
    native,
    healthPort,
    graceS,
    preStopDelayS: preStopDelay({ delayS, graceS, kind: workload.kind }),
    containers,
    probers: probes.probers,
    scrape: scrape.app,
  };
  const proxy = proxyContainer(input);
  const added = volumes(input);
  const init = mode === 'NONE' ? [] : [initContainer(input)];
  const before = native ? [...init, proxy] : init;
  const patch = new PodPatch();
  patch.operations.push(...probes.patch, ...preStopPatch(containers, input.preStopDelayS));
  patch.prepend(['spec', 'initContainers'], spec.initContainers, before);
  if (!native) patch.prepend(['spec', 'containers'], spec.containers, [proxy]);
  patch.append(['spec', 'volumes'], spec.volumes, added);
  const status = {
    initContainers: before.map(({ name }) => name),
    containers: native ? [] : [PROXY_NAME],
    volumes: added.map(({ name }) => name),
    revision: settings.revision,
  };
  patch.metadata(metadata, {
    labels: missingFrom(labels, meshLabels(labels, workload)),
    annotations: {
      ...missingFrom(annotations, defaultContainer(containers)),
      ...scrape.annotations,
      'sidecar.istio.io/status': JSON.stringify(status),
    },
  });
  return { kind: 'injected', patch: patch.operations, warnings: report.findings };
}

type Json = Readonly<Record<string, unknown>>;
type Texts = Readonly<Record<string, string>>;

interface PodParts {
  readonly metadata: Json | null;
  readonly spec: Json;
  readonly labels: Texts;
  readonly annotations: Texts;
  readonly containers: readonly Json[];
  readonly initContainers: readonly Json[];
}

/** Null after an error: the pod is none that Kubernetes would take either. */
function readPod(pod: unknown, report: Report): PodParts | null {
  const { metadata = null, spec } = isRecord(pod) ? pod : {};
  if (metadata !== null && !isRecord(metadata)) {
    report.error('pod', 'metadata', `must be an object, got ${show(metadata)}`);
    return null;
  }
  if (!isRecord(spec)) {
    report.error('pod', 'spec', `a pod needs a spec with containers, got ${show(spec ?? null)}`);
    return null;
  }
  const labels = textMap(metadata?.labels, 'metadata.labels', report);
  const annotations = textMap(metadata?.annotations, 'metadata.annotations', report);
  const containers = containerList(spec.containers, 'spec.containers', report);
  const initContainers = containerList(spec.initContainers, 'spec.initContainers', report);
  if (containers.length === 0 && !report.hasErrors)
    report.error('pod', 'spec.containers', 'a pod needs at least one container');
  if (spec.volumes != null && !Array.isArray(spec.volumes))
    report.error('pod', 'spec.volumes', `must be a list, got ${show(spec.volumes)}`);
  return report.hasErrors ? null : { metadata, spec, labels, annotations, containers, initContainers };
}

function textMap(value: unknown, field: string, report: Report): Texts {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) {
    report.error('pod', field, `must be an object, got ${show(value)}`);
    return {};
  }
  const wrong = Object.entries(value).find(([, text]) => typeof text !== 'string');
  if (wrong !== undefined)
    report.error('pod', `${field}["${wrong[0]}"]`, `must be text, got ${show(wrong[1])}: put it in quotes`);
  return value as Texts;
}

function containerList(value: unknown, field: string, report: Report): readonly Json[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value) && value.every((item) => isRecord(item) && typeof item.name === 'string')) return value;
  report.error('pod', field, 'must be a list of containers, each with its name');
  return [];
}

/** What would break the pod, or leave it outside the mesh without anybody knowing. */
function checkConflicts(
  { spec, containers, initContainers }: PodParts,
  options: PodOptions,
  healthPort: number,
  settings: InjectionSettings,
  report: Report,
): void {
  const own = new Set([INIT_NAME, PROXY_NAME]);
  const proxyId = proxyUser(settings, options);
  for (const [list, items] of [
    ['containers', containers],
    ['initContainers', initContainers],
  ] as const) {
    for (const [i, { name, ports, securityContext }] of items.entries()) {
      if (own.has(String(name)))
        report.error(
          'name',
          `spec.${list}[${i}].name`,
          `${String(name)} is the name of an injected container: choose another`,
        );
      const ours = new Set<unknown>([...Object.values(settings.ports), healthPort]);
      for (const [j, port] of (Array.isArray(ports) ? ports : []).entries()) {
        if (isRecord(port) && ours.has(port.containerPort))
          report.error(
            'port',
            `spec.${list}[${i}].ports[${j}].containerPort`,
            `the proxy listens on ${String(port.containerPort)}: choose another port`,
          );
      }
      const user = isRecord(securityContext) ? securityContext.runAsUser : undefined;
      const podUser = isRecord(spec.securityContext) ? spec.securityContext.runAsUser : undefined;
      if ((user ?? podUser) === proxyId)
        report.warning(
          'uid',
          `spec.${list}[${i}].securityContext.runAsUser`,
          `${proxyId} is the proxy’s user: what this container sends goes past the proxy; choose another, or give the proxy another by remora.dev/proxyUser`,
        );
    }
  }
  const names = new Set(
    (Array.isArray(spec.volumes) ? spec.volumes : []).map((one) => (isRecord(one) ? one.name : '')),
  );
  const added = ['istiod-ca-cert', 'istio-token', 'istio-podinfo', 'istio-data', 'remora-tmp', 'remora-run'];
  for (const name of added)
    if (names.has(name))
      report.error('name', 'spec.volumes', `${name} is the name of an injected volume: choose another`);
  for (const name of Object.keys(options.userVolumes ?? {}))
    if (names.has(name) || added.includes(name))
      report.error(
        'annotation',
        'metadata.annotations["sidecar.istio.io/userVolume"]',
        `the pod has a volume ${name} already: choose another name`,
      );
  for (const name of Object.keys(options.userVolumeMounts ?? {}))
    if (!names.has(name) && options.userVolumes?.[name] === undefined)
      report.error(
        'annotation',
        'metadata.annotations["sidecar.istio.io/userVolumeMount"]',
        `there is no volume ${name}: give it in sidecar.istio.io/userVolume`,
      );
}

/** What a stock Prometheus scrapes: the proxy's port, where the application's metrics are merged in. */
function scraped(
  annotations: Texts,
  merge: boolean,
  port: number,
): { app: { port: string; path: string } | null; annotations: Texts } {
  // Who says that nothing is to be scraped is not overruled.
  if (!merge || annotations['prometheus.io/scrape'] === 'false') return { app: null, annotations: {} };
  const wants = annotations['prometheus.io/scrape'] === 'true';
  return {
    app: wants
      ? { port: annotations['prometheus.io/port'] ?? '80', path: annotations['prometheus.io/path'] ?? '/metrics' }
      : null,
    annotations: {
      'prometheus.io/scrape': 'true',
      'prometheus.io/port': String(port),
      'prometheus.io/path': '/stats/prometheus',
    },
  };
}

/** Kubernetes' default where the pod says nothing. */
function graceOf(seconds: unknown): number {
  return typeof seconds === 'number' && Number.isInteger(seconds) && seconds >= 0 && seconds < 1_000_000 ? seconds : 30;
}

function meshLabels(labels: Texts, workload: Workload): Texts {
  return {
    'security.istio.io/tlsMode': 'istio',
    'service.istio.io/canonical-name': labels['app.kubernetes.io/name'] ?? labels.app ?? workload.name,
    'service.istio.io/canonical-revision': labels['app.kubernetes.io/version'] ?? labels.version ?? 'latest',
  };
}

/** `kubectl logs` and `kubectl exec` mean the application. */
function defaultContainer([first]: readonly Json[]): Texts {
  const name = String(first?.name);
  return { 'kubectl.kubernetes.io/default-container': name, 'kubectl.kubernetes.io/default-logs-container': name };
}

function missingFrom(given: Texts, wanted: Texts): Texts {
  return Object.fromEntries(Object.entries(wanted).filter(([name]) => given[name] === undefined));
}

/** Gathers operations, each valid after those before it. */
class PodPatch {
  readonly operations: PatchOperation[] = [];

  prepend(path: PatchPath, present: unknown, items: readonly unknown[]): void {
    if (items.length === 0) return;
    if (!isFilled(present)) this.#add(path, items);
    else for (const [i, item] of items.entries()) this.#add([...path, i], item);
  }

  append(path: PatchPath, present: unknown, items: readonly unknown[]): void {
    if (!isFilled(present)) this.#add(path, items);
    else for (const item of items) this.#add([...path, '-'], item);
  }

  metadata(present: Json | null, parts: Readonly<Record<'labels' | 'annotations', Texts>>): void {
    if (present === null) {
      this.#add(['metadata'], parts);
      return;
    }
    for (const [name, texts] of Object.entries(parts)) {
      const path = ['metadata', name];
      if (present[name] == null) this.#add(path, texts);
      else for (const [key, text] of Object.entries(texts)) this.#add([...path, key], text);
    }
  }

  #add(path: PatchPath, value: unknown): void {
    this.operations.push({ op: 'add', path: pointer(path), value });
  }
}

function isFilled(list: unknown): boolean {
  return Array.isArray(list) && list.length > 0;
}

class Report {
  readonly findings: Finding[] = [];
  readonly #object: string;

  constructor(object: string) {
    this.#object = object;
  }
  get hasErrors(): boolean {
    return this.findings.some(({ severity }) => severity === 'error');
  }
  error(code: string, field: string, message: string): void {
    this.#add('error', code, field, message);
  }
  warning(code: string, field: string, message: string): void {
    this.#add('warning', code, field, message);
  }
  #add(severity: Severity, code: string, field: string, message: string): void {
    this.findings.push({ severity, code: `inject-${code}`, object: this.#object, field, message, file: '', line: 0 });
  }
}
