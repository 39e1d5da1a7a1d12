import { RemoraError } from '../../base/errors.ts';
import type { Mesh } from '../../control/mesh/mesh.ts';
import type { Workload } from '../../control/mesh/service.ts';
import { nearest } from '../../control/source/schema/suggest.ts';
import { isAddress } from '../../control/translate/names.ts';
import { hostOf, type Question } from './answer.ts';

/** Whose proxy is asked. */
export interface Caller {
  readonly kind: 'sidecar' | 'router';
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  /** As people call it. */
  readonly called: string;
}

/** The name of a gateway in `--from`. */
const GATEWAY = 'gateway';

export function gatewayCaller(namespace: string): Caller {
  return { kind: 'router', name: GATEWAY, namespace, labels: {}, called: 'the gateway' };
}

export function anySidecar(namespace: string): Caller {
  return { kind: 'sidecar', name: 'any', namespace, labels: {}, called: `a sidecar in namespace ${namespace}` };
}

/** The proxy that a request would meet first: a sidecar for the names of services, the gateway for what comes from outside. */
export function defaultCaller(question: Question): Caller {
  const host = hostOf(question);
  const inside = host !== 'localhost' && !isAddress(host) && (!host.includes('.') || /\.svc(\.|$)/.test(host));
  return inside ? anySidecar(question.namespace) : gatewayCaller(question.namespace);
}

/** Finds the caller in the mesh: by the name of a pod, by `app` and `version` (`reviews-v2`), by `app`, or by service. */
export function callerIn(mesh: Mesh, question: Question): Caller {
  const { from, namespace } = question;
  if (from === undefined) return knowsHost(mesh, question) ? anySidecar(namespace) : defaultCaller(question);
  if (from === GATEWAY) return gatewayCaller(namespace);
  const slash = from.indexOf('/');
  const space = slash < 0 ? namespace : from.slice(0, slash);
  const name = from.slice(slash + 1);
  const here = mesh.workloads.filter((workload) => workload.namespace === space);
  const found =
    here.find((workload) => workload.name === name) ??
    here.find((workload) => appAndVersion(workload) === name) ??
    here.find((workload) => workload.labels.app === name) ??
    here.find((workload) => workload.name.startsWith(`${name}-`));
  if (found !== undefined) return sidecarOf(found.labels.app === name ? name : found.name, found);
  const service = [...mesh.services.values()].find((one) => one.name === name && one.namespace === space);
  if (service !== undefined) return sidecarOf(name, { namespace: space, labels: { app: name } });
  const known = [GATEWAY, ...new Set(here.flatMap((one) => [appAndVersion(one), one.labels.app ?? '']))].filter(
    Boolean,
  );
  const near = nearest(name, known);
  const hint = near === undefined ? `there is ${known.join(', ')}` : `did you mean ${near}?`;
  throw new RemoraError('unknown_workload', `no workload ${name} in namespace ${space}: ${hint}`, { source: 'user' });
}

function sidecarOf(name: string, { namespace, labels }: Pick<Workload, 'namespace' | 'labels'>): Caller {
  const where = namespace === 'default' ? '' : ` in namespace ${namespace}`;
  return { kind: 'sidecar', name, namespace, labels, called: `the sidecar of ${name}${where}` };
}

function appAndVersion({ labels }: Workload): string {
  return labels.version === undefined ? '' : `${labels.app ?? ''}-${labels.version}`;
}

/** Hosts of ServiceEntries look like anybody's. */
function knowsHost(mesh: Mesh, question: Question): boolean {
  return mesh.services.has(hostOf(question));
}

/** The caller as a control server sees it, which knows no mesh of ours to look it up in. */
export function callerUnseen(question: Question): Caller {
  const { from, namespace } = question;
  if (from === undefined) return defaultCaller(question);
  if (from === GATEWAY) return gatewayCaller(namespace);
  const slash = from.indexOf('/');
  const name = from.slice(slash + 1);
  const version = /^(.+)-(v\d+)$/.exec(name);
  const labels: Record<string, string> = version === null ? { app: name } : { app: version[1]!, version: version[2]! };
  return sidecarOf(name, { namespace: slash < 0 ? namespace : from.slice(0, slash), labels });
}
