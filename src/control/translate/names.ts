/** The domain of Kubernetes' services until it can be set. */
export const DOMAIN = 'cluster.local';

/** A host as Istio resolves it: a name without dots is a service of the object's own namespace. */
export function fullHost(host: string, namespace: string, domain: string = DOMAIN): string {
  const lower = host.toLowerCase();
  if (lower === '' || lower.includes('*') || lower.includes('.') || lower.includes(':')) return lower;
  return `${lower}.${namespace}.svc.${domain}`;
}

/** `namespace/name` of a gateway reference; `mesh` stays. Older references are `name.namespace[.svc.…]`. */
export function gatewayName(reference: string, namespace: string): string {
  if (reference === 'mesh') return reference;
  const slash = reference.indexOf('/');
  if (slash >= 0) {
    const space = reference.slice(0, slash);
    return `${space === '.' ? namespace : space}/${reference.slice(slash + 1)}`;
  }
  const [name = '', space] = reference.split('.', 2);
  return `${space ?? namespace}/${name}`;
}

/** Namespaces that see an object; `.` is resolved, nothing given means all, `~` alone none. */
export function exportedTo(exportTo: readonly string[] | undefined, namespace: string): readonly string[] {
  if (exportTo === undefined || exportTo.length === 0) return ['*'];
  const spaces = exportTo.filter((space) => space !== '~').map((space) => (space === '.' ? namespace : space));
  return spaces.includes('*') ? ['*'] : [...new Set(spaces)].sort();
}

export function visibleTo(exportTo: readonly string[], namespace: string): boolean {
  return exportTo.includes('*') || exportTo.includes(namespace);
}

/** Whether a host, or every host of a wildcard, is one of those that `pattern` names. */
export function hostMatches(pattern: string, host: string): boolean {
  if (pattern === '*' || pattern === host) return true;
  if (!pattern.startsWith('*')) return false;
  const suffix = pattern.slice(1);
  return host.startsWith('*') ? host.slice(1).endsWith(suffix) : host.endsWith(suffix) && host.length > suffix.length;
}

/** Most specific first: names before wildcards, longer wildcards before shorter, then by the alphabet. */
export function compareHosts(a: string, b: string): number {
  const wildA = a.startsWith('*');
  const wildB = b.startsWith('*');
  if (wildA !== wildB) return wildA ? 1 : -1;
  if (wildA && a.length !== b.length) return b.length - a.length;
  return compareText(a, b);
}

export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Older first; without creation times (files), by namespace and name. The order in which objects take precedence. */
export function compareAge(
  a: { readonly createdAt: number; readonly namespace: string; readonly name: string },
  b: { readonly createdAt: number; readonly namespace: string; readonly name: string },
): number {
  return a.createdAt - b.createdAt || compareText(a.namespace, b.namespace) || compareText(a.name, b.name);
}

export function labelsMatch(
  selector: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}

export { isAddress } from '../source/schema/scalar.ts';
