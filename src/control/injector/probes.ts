import { isRecord } from '../source/schema/type.ts';
import { type PatchOperation, pointer } from './json-patch.ts';
import { PROXY_NAME } from './settings.ts';

/**
 * The kubelet knows nothing of mTLS and dials the pod's address, where the proxy would take it for a stranger. So its
 * probes go to the proxy's health port, and the proxy asks the application from inside, as Istio's agent does: the
 * originals travel in one environment variable, by the path that asks for them.
 */
export interface RewrittenProbes {
  /** `/app-health/<container>/readyz` → what to do for it: the JSON of ISTIO_KUBE_APP_PROBERS. */
  readonly probers: Readonly<Record<string, Prober>>;
  readonly patch: readonly PatchOperation[];
  readonly warnings: readonly { readonly field: string; readonly message: string }[];
}

/** Istio's `status.Prober`: the probe's own action with its ports as numbers. */
export type Prober = Readonly<Record<string, unknown>>;

interface Hook {
  /** From the container. */
  readonly path: readonly string[];
  readonly url: string;
}

const HOOKS: readonly Hook[] = [
  { path: ['livenessProbe'], url: 'livez' },
  { path: ['readinessProbe'], url: 'readyz' },
  { path: ['startupProbe'], url: 'startupz' },
  { path: ['lifecycle', 'postStart'], url: 'poststartz' },
  { path: ['lifecycle', 'preStop'], url: 'prestopz' },
];

const ACTIONS = ['httpGet', 'tcpSocket', 'grpc'] as const;
type Action = (typeof ACTIONS)[number];

/** `spec` is the pod's; `healthPort` where the proxy answers. */
export function rewriteProbes(spec: Readonly<Record<string, unknown>>, healthPort: number): RewrittenProbes {
  const probers: Record<string, Prober> = {};
  const patch: PatchOperation[] = [];
  const warnings: { field: string; message: string }[] = [];
  for (const list of ['containers', 'initContainers'] as const) {
    const containers = spec[list];
    if (!Array.isArray(containers)) continue;
    for (const [index, container] of containers.entries()) {
      if (!isRecord(container) || typeof container.name !== 'string' || container.name === PROXY_NAME) continue;
      const ports = namedPorts(container);
      for (const { path, url } of HOOKS) {
        const hook = path.reduce<unknown>((node, part) => (isRecord(node) ? node[part] : undefined), container);
        if (!isRecord(hook)) continue;
        const action = ACTIONS.find((one) => isRecord(hook[one]));
        if (action === undefined) continue;
        const field = `spec.${list}[${index}].${path.join('.')}.${action}`;
        const given = hook[action] as Readonly<Record<string, unknown>>;
        // It asks somebody else: not this pod's affair.
        if (typeof given.host === 'string' && given.host !== '') continue;
        const port = portOf(given.port, ports);
        if (port === null) {
          warnings.push({
            field,
            message: `its port ${JSON.stringify(given.port)} is none of the container’s, so it stays as it is: name a port of the container`,
          });
          continue;
        }
        const isLifecycle = path[0] === 'lifecycle';
        const at = `/app-${isLifecycle ? 'lifecycle' : 'health'}/${container.name}/${url}`;
        const timeout = hook.timeoutSeconds;
        probers[at] = {
          [action]: proberAction(action, given, port),
          ...(typeof timeout === 'number' ? { timeoutSeconds: timeout } : {}),
        };
        const where = ['spec', list, index, ...path];
        const httpGet = { path: at, port: healthPort, scheme: 'HTTP' };
        // Comments beside a probe's periods stay where only its action changes.
        if (action === 'httpGet') patch.push({ op: 'replace', path: pointer([...where, action]), value: httpGet });
        else patch.push({ op: 'replace', path: pointer(where), value: rewritten(hook, action, httpGet) });
      }
    }
  }
  return { probers, patch, warnings };
}

function namedPorts(container: Readonly<Record<string, unknown>>): ReadonlyMap<string, number> {
  const ports = new Map<string, number>();
  if (!Array.isArray(container.ports)) return ports;
  for (const port of container.ports) {
    if (isRecord(port) && typeof port.name === 'string' && typeof port.containerPort === 'number')
      ports.set(port.name, port.containerPort);
  }
  return ports;
}

/** A number, its digits, or a name of the container's ports. */
function portOf(given: unknown, ports: ReadonlyMap<string, number>): number | null {
  const number = typeof given === 'string' ? (ports.get(given) ?? (/^\d+$/.test(given) ? Number(given) : 0)) : given;
  return typeof number === 'number' && Number.isInteger(number) && number >= 1 && number <= 65535 ? number : null;
}

function proberAction(action: Action, given: Readonly<Record<string, unknown>>, port: number): Prober {
  if (action === 'httpGet') {
    const { path, scheme, httpHeaders } = given;
    return {
      path: typeof path === 'string' && path !== '' ? path : '/',
      port,
      scheme: scheme === 'HTTPS' ? 'HTTPS' : 'HTTP',
      ...(Array.isArray(httpHeaders) && httpHeaders.length > 0 ? { httpHeaders } : {}),
    };
  }
  if (action === 'tcpSocket') return { port };
  return { port, ...(typeof given.service === 'string' && given.service !== '' ? { service: given.service } : {}) };
}

/** The same probe with its periods and thresholds, asking the proxy; members in their old order. */
function rewritten(hook: Readonly<Record<string, unknown>>, action: Action, httpGet: unknown): unknown {
  return Object.fromEntries(
    Object.entries(hook).map(([name, value]) => (name === action ? ['httpGet', httpGet] : [name, value])),
  );
}
