import { ConfigError } from '../base/errors.ts';
import type { KubeAccess } from '../control/source/kube/access.ts';

/** Flags that name a cluster. */
export interface KubeFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly inCluster?: true;
}

/** null when no flag names a cluster. */
export async function kubeAccess({ kubeconfig, context, inCluster }: KubeFlags): Promise<KubeAccess | null> {
  if (context !== undefined && kubeconfig === undefined) throw new ConfigError('--context needs --kubeconfig');
  if (kubeconfig === undefined && inCluster !== true) return null;
  const access = await import('../control/source/kube/access.ts');
  if (kubeconfig === undefined) {
    const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '' } = process.env;
    return access.inClusterAccess(host, port);
  }
  if (inCluster === true) throw new ConfigError('--kubeconfig and --in-cluster exclude each other');
  return access.kubeconfigAccess(kubeconfig, context);
}
