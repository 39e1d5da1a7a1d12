import { readFileSync } from 'node:fs';
import { ConfigError, errorCode, messageOf } from '../base/errors.ts';
import { isIP } from '../base/ip.ts';

/** What a proxy in a pod knows of it by the downward API, as injection arranges it with Istio's names. */
export interface PodIdentity {
  readonly pod: string;
  readonly namespace: string;
  readonly ip: string;
  readonly labels: Readonly<Record<string, string>>;
  /** '' where nobody says. */
  readonly serviceAccount: string;
  readonly workload: string;
  readonly clusterId: string;
  readonly interception: string;
  /** More node metadata: every other ISTIO_META_NAME as NAME. */
  readonly metadata: Readonly<Record<string, string>>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Where the volume `istio-podinfo` is. */
export const POD_LABELS = '/etc/istio/pod/labels';

const OWN = new Set(['CLUSTER_ID', 'INTERCEPTION_MODE', 'WORKLOAD_NAME']);

/** Null outside a pod: POD_NAME, POD_NAMESPACE and INSTANCE_IP make one. */
export function podIdentity(env: Environment, labelsFile = POD_LABELS): PodIdentity | null {
  const { POD_NAME: pod, POD_NAMESPACE: namespace, INSTANCE_IP: ip } = env;
  if (!pod || !namespace || !ip) return null;
  if (isIP(ip) === 0) throw new ConfigError(`INSTANCE_IP is ${JSON.stringify(ip)}: it must be the pod's address`);
  const metadata: Record<string, string> = {
    INSTANCE_IPS: env.INSTANCE_IPS || ip,
    ...(env.NODE_NAME ? { NODE_NAME: env.NODE_NAME } : {}),
    ...(env.HOST_IP ? { HOST_IP: env.HOST_IP } : {}),
  };
  for (const [name, value] of Object.entries(env)) {
    const key = name.startsWith('ISTIO_META_') ? name.slice('ISTIO_META_'.length) : '';
    if (key !== '' && value && !OWN.has(key)) metadata[key] = value;
  }
  return {
    pod,
    namespace,
    ip,
    labels: readLabels(labelsFile),
    serviceAccount: env.SERVICE_ACCOUNT ?? '',
    workload: env.ISTIO_META_WORKLOAD_NAME ?? '',
    clusterId: env.ISTIO_META_CLUSTER_ID ?? '',
    interception: env.ISTIO_META_INTERCEPTION_MODE ?? '',
    metadata,
  };
}

/** Lines of `key="value"`, the value quoted as Go does; none where there is no such file. */
function readLabels(path: string): Record<string, string> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return {};
    throw new ConfigError(`cannot read ${path}: ${messageOf(error)}`, [], error);
  }
  const labels: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const at = line.indexOf('=');
    if (at <= 0) continue;
    // A label's value holds nothing that Go and JSON quote differently.
    try {
      labels[line.slice(0, at)] = String(JSON.parse(line.slice(at + 1)));
    } catch (error) {
      throw new ConfigError(`${path}: ${JSON.stringify(line)} is not key="value"`, [], error);
    }
  }
  return labels;
}
