import { ConfigError } from '../../base/errors.ts';

/** What the kubelet would do to an application, done from inside its pod. */
export type ProbeAction =
  | {
      readonly kind: 'http';
      readonly port: number;
      readonly path: string;
      readonly tls: boolean;
      readonly headers: readonly (readonly [name: string, value: string])[];
    }
  | { readonly kind: 'tcp'; readonly port: number }
  | { readonly kind: 'grpc'; readonly port: number; readonly service: string };

export interface AppProber {
  /** The path that asks for it: `/app-health/<container>/readyz`. */
  readonly path: string;
  readonly action: ProbeAction;
  readonly timeoutMs: number;
}

/** What `prometheus.io/*` said before injection; null where the application is not scraped. */
export interface AppMetrics {
  readonly port: number;
  readonly path: string;
}

/** More than a pod has. */
const MAX_PROBERS = 256;
/** Of a kubelet's probe that says nothing else. */
const DEFAULT_TIMEOUT_S = 1;

/** Reads ISTIO_KUBE_APP_PROBERS, which injection wrote: Istio's `status.KubeAppProbers`. Throws ConfigError. */
export function readAppProbers(text: string): AppProber[] {
  const name = 'ISTIO_KUBE_APP_PROBERS';
  const entries = Object.entries(record(parse(text, name), name));
  if (entries.length > MAX_PROBERS) throw new ConfigError(`${name}: more than ${MAX_PROBERS} probes`);
  return entries.map(([path, value]) => {
    const at = `${name}: ${path}`;
    if (!/^\/app-(?:health|lifecycle)\/[a-z0-9-]{1,63}\/[a-z]{1,20}$/.test(path))
      throw new ConfigError(`${at}: must be /app-health/<container>/<probe>`);
    const prober = record(value, at);
    const seconds = prober.timeoutSeconds ?? DEFAULT_TIMEOUT_S;
    if (typeof seconds !== 'number' || !(seconds > 0) || seconds > 3600)
      throw new ConfigError(`${at}: timeoutSeconds must be a number of seconds above 0`);
    return { path, action: action(prober, at), timeoutMs: seconds * 1000 };
  });
}

/** Reads ISTIO_PROMETHEUS_ANNOTATIONS. Throws ConfigError. */
export function readAppMetrics(text: string): AppMetrics | null {
  const name = 'ISTIO_PROMETHEUS_ANNOTATIONS';
  const { scrape, port, path } = record(parse(text, name), name);
  if (scrape !== 'true') return null;
  return { port: portOf(Number(port), name), path: pathOf(path ?? '/metrics', name) };
}

function action(prober: Readonly<Record<string, unknown>>, at: string): ProbeAction {
  const { httpGet, tcpSocket, grpc } = prober;
  if (httpGet !== undefined) {
    const { path, port, scheme, httpHeaders = [] } = record(httpGet, at);
    if (!Array.isArray(httpHeaders)) throw new ConfigError(`${at}: httpHeaders must be a list`);
    return {
      kind: 'http',
      port: portOf(port, at),
      path: pathOf(path ?? '/', at),
      tls: scheme === 'HTTPS',
      headers: httpHeaders.map((header) => headerOf(header, at)),
    };
  }
  if (tcpSocket !== undefined) return { kind: 'tcp', port: portOf(record(tcpSocket, at).port, at) };
  if (grpc === undefined) throw new ConfigError(`${at}: has none of httpGet, tcpSocket, grpc`);
  const { port, service = '' } = record(grpc, at);
  if (typeof service !== 'string') throw new ConfigError(`${at}: service must be text`);
  return { kind: 'grpc', port: portOf(port, at), service };
}

function parse(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ConfigError(`${name}: is not JSON`, [], error);
  }
}

function record(value: unknown, at: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ConfigError(`${at}: must be an object`);
  return value as Readonly<Record<string, unknown>>;
}

function portOf(value: unknown, at: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 65535)
    throw new ConfigError(`${at}: port must be 1 to 65535`);
  return value;
}

/** What goes into a request line must not end it. */
function pathOf(value: unknown, at: string): string {
  if (typeof value !== 'string' || !/^[\x21-\x7e]*$/.test(value))
    throw new ConfigError(`${at}: path must be text without blanks`);
  return value.startsWith('/') ? value : `/${value}`;
}

function headerOf(value: unknown, at: string): readonly [string, string] {
  const { name, value: text } = record(value, at);
  if (typeof name !== 'string' || !/^[\w!#$%&'*+.^`|~-]+$/.test(name))
    throw new ConfigError(`${at}: a header needs a name that is a token`);
  if (typeof text !== 'string' || !/^[\x20-\x7e\x80-\xff\t]*$/.test(text))
    throw new ConfigError(`${at}: the value of header ${name} must be text on one line`);
  return [name, text];
}
