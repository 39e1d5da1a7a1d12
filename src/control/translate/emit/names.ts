/** The names that Istio gives to what it emits; dashboards, EnvoyFilters and people's eyes know them. */

/** `outbound|9080|v1|reviews.default.svc.cluster.local` */
export function outboundCluster(port: number, subset: string, host: string): string {
  return `outbound|${port}|${subset}|${host}`;
}

/** `inbound|9080||`, name of the cluster and of its route. */
export function inboundCluster(port: number): string {
  return `inbound|${port}||`;
}

/** The parts of an outbound cluster's name; null for any other. */
export function parseOutbound(name: string): { port: number; subset: string; host: string } | null {
  const [direction, port, subset, host, more] = name.split('|');
  if (direction !== 'outbound' || host === undefined || more !== undefined) return null;
  return { port: Number(port), subset: subset ?? '', host };
}

/** Istio ends it with `;`, which separates the name from the stat behind it: the name itself has dots. */
export function statName(cluster: string): string {
  return `${cluster};`;
}

/** Route configuration of addresses that no listener is for. */
export const INSTANCES = 'instances';

/** Route configuration of the explicit proxy's listener, and the listener itself. */
export const HTTP_PROXY = 'http_proxy';

/** `http.80`, `http.80.10.0.0.1` */
export function gatewayRoutes(port: number, bind: string): string {
  return `http.${port}${bind === '' ? '' : `.${bind}`}`;
}

/** Of one server that ends TLS, as Istio: `https.443.https.front.default`. */
export function tlsRoutes(port: number, portName: string, gateway: string): string {
  const [namespace = '', name = ''] = gateway.split('/');
  return `https.${port}.${portName}.${name}.${namespace}`;
}

/** An IPv6 address in brackets, everything else as it is. */
export function domainHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

export function withPort(host: string, port: number): string {
  return `${domainHost(host)}:${port}`;
}

/** Where an object is in the Kubernetes API, as Istio writes it into `istio.config`; '' when it cannot be told. */
export function configPath(object: string): string {
  const [kind = '', name = ''] = object.split(' ', 2);
  const slash = name.indexOf('/');
  if (slash < 0) return '';
  const kebab = kind.replace(/(?<=[a-z])[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
  return `/apis/networking.istio.io/v1/namespaces/${name.slice(0, slash)}/${kebab}/${name.slice(slash + 1)}`;
}
