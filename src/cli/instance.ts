import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import { isAlive } from './process.ts';

/** One running copy of a service on this machine, as the mesh sees it. */
export interface Instance {
  readonly pod: string;
  readonly service: string;
  readonly namespace: string;
  readonly version: string;
  /** Port that callers name, when the service is not in the mesh's YAML. */
  readonly servicePort: number;
  /** `127.0.0.1` port of the sidecar's inbound listener. */
  readonly inboundPort: number;
  /** Service account of its certificate; absent: its sidecar has none, and is called in plain text. */
  readonly serviceAccount?: string;
}

/**
 * Announces an instance to the mesh: a Pod and an EndpointSlice in the instances folder, and a Service where
 * the user's YAML has none of that name. Returns what takes the announcement back.
 */
export function announce(instance: Instance, folder: string, portName: string, makeService: boolean): () => void {
  const { pod, service, namespace, version, serviceAccount } = instance;
  const mutual = serviceAccount === undefined ? {} : { 'security.istio.io/tlsMode': 'istio' };
  const labels = { app: service, version, ...mutual };
  const documents: object[] = [
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: pod, namespace, labels },
      ...(serviceAccount === undefined ? {} : { spec: { serviceAccountName: serviceAccount } }),
      status: { phase: 'Running', podIP: '127.0.0.1', conditions: [{ type: 'Ready', status: 'True' }] },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: pod, namespace, labels: { 'kubernetes.io/service-name': service } },
      addressType: 'IPv4',
      ports: [{ name: portName, port: instance.inboundPort, protocol: 'TCP' }],
      endpoints: [
        { addresses: ['127.0.0.1'], conditions: { ready: true }, targetRef: { kind: 'Pod', name: pod, namespace } },
      ],
    },
  ];
  if (makeService) writeWhole(join(folder, `service-${service}.yaml`), [serviceFor(instance, portName)]);
  const file = join(folder, `${pod}.${process.pid}.yaml`);
  writeWhole(file, documents);
  return () => rmSync(file, { force: true });
}

function serviceFor({ service, namespace, servicePort }: Instance, portName: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: service, namespace },
    spec: { selector: { app: service }, ports: [{ name: portName, port: servicePort }] },
  };
}

/** Takes back the announcements of processes that ended without doing so. */
export function sweepInstances(folder: string): void {
  for (const name of readdirSync(folder)) {
    const pid = /\.(\d+)\.yaml$/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(folder, name), { force: true });
  }
}

/** In one step, so that a watcher never reads half a file. */
function writeWhole(file: string, documents: readonly object[]): void {
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, documents.map((document) => stringify(document)).join('---\n'), { mode: 0o600 });
  renameSync(temporary, file);
}

/** The port of a Service in the user's YAML: its number and name; null when there is no such Service. */
export function findServicePort(
  paths: readonly string[],
  service: string,
  namespace: string,
): { number: number; name: string } | null {
  for (const path of paths) {
    for (const file of yamlFiles(path)) {
      const found = servicePortIn(file, service, namespace);
      if (found !== null) return found;
    }
  }
  return null;
}

function yamlFiles(path: string): string[] {
  const state = statSync(path, { throwIfNoEntry: false });
  if (state === undefined || state.isFile()) return state === undefined ? [] : [path];
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.ya?ml$/.test(name))
    .map((name) => join(path, name));
}

interface ServiceShape {
  kind?: unknown;
  metadata?: { name?: unknown; namespace?: unknown };
  spec?: { ports?: { port?: unknown; name?: unknown }[] };
}

function servicePortIn(file: string, service: string, namespace: string): { number: number; name: string } | null {
  for (const document of parseAllDocuments(readFileSync(file, 'utf8'))) {
    // A file that is broken is the control server's to complain about.
    if (document.errors.length > 0) continue;
    const object = document.toJS({ maxAliasCount: 100 }) as ServiceShape | null;
    if (object?.kind !== 'Service' || object.metadata?.name !== service) continue;
    if ((object.metadata.namespace ?? 'default') !== namespace) continue;
    const port = object.spec?.ports?.[0];
    if (typeof port?.port === 'number') {
      return { number: port.port, name: typeof port.name === 'string' ? port.name : '' };
    }
  }
  return null;
}
