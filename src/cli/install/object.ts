export type Json = Readonly<Record<string, unknown>>;

/** Metadata of an object of ours; cluster-scoped without a namespace. */
export function labelled(name: string, namespace?: string): Json {
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    labels: { 'app.kubernetes.io/name': name, 'app.kubernetes.io/part-of': 'remora' },
  };
}

/** What Pod Security's `restricted` profile asks of a container. */
export function restricted(): Json {
  return {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
    readOnlyRootFilesystem: true,
    runAsNonRoot: true,
    runAsUser: 1337,
    runAsGroup: 1337,
    seccompProfile: { type: 'RuntimeDefault' },
  };
}
