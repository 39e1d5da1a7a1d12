import type { ConfigObject } from '../source/collection.ts';
import { message } from '../source/schema/message.ts';
import { effective, type Message, required, type Sink, type Type } from '../source/schema/type.ts';
import type { KindName } from './decoded.ts';
import { checkDestinationRule } from './istio/destination-rule-check.ts';
import { destinationRule } from './istio/fields/destination-rule.ts';
import { gateway } from './istio/fields/gateway.ts';
import { peerAuthentication } from './istio/fields/peer-authentication.ts';
import { resiliencePolicy } from './istio/fields/resilience-policy.ts';
import { serviceEntry, workloadEntry } from './istio/fields/service-entry.ts';
import { sidecar } from './istio/fields/sidecar.ts';
import { virtualService } from './istio/fields/virtual-service.ts';
import { checkGateway } from './istio/gateway.ts';
import { checkConfigMap } from './istio/mesh-config.ts';
import { checkPeerAuthentication } from './istio/peer-authentication.ts';
import { checkResiliencePolicy } from './istio/resilience-policy.ts';
import { checkServiceEntry, checkWorkloadEntry } from './istio/service-entry.ts';
import { checkSidecar } from './istio/sidecar.ts';
import { checkVirtualService } from './istio/virtual-service-check.ts';
import { configMap, endpointSlice, endpoints, namespace, node, pod, secret, service } from './kubernetes/fields.ts';
import { checkSecret } from './kubernetes/secret.ts';

interface Kind {
  readonly group: string;
  readonly versions: readonly string[];
  /** Fields of the whole object. */
  readonly root: Message;
  /** Whether the value is that of `spec`. */
  readonly inSpec: boolean;
  /** What the types cannot say; run when there were no errors so far. */
  check(value: never, sink: Sink, object: ConfigObject): void;
}

const NETWORKING = { group: 'networking.istio.io', versions: ['v1', 'v1beta1', 'v1alpha3'] };
const anything: Type<unknown> = { name: 'any', message: null, enumeration: null, read: (value) => value };

/** The object around a spec: beside it only what every object has. */
function withSpec(name: string, spec: Message): Message {
  return message(name, {
    apiVersion: effective(anything),
    kind: effective(anything),
    metadata: effective(anything),
    spec: required(spec),
    status: effective(anything),
  }) as never;
}

function istio(spec: unknown, name: string, check: Kind['check']): Kind {
  return { ...NETWORKING, root: withSpec(name, spec as Message), inSpec: true, check };
}
function kubernetes(root: unknown, group: string, versions: readonly string[]): Kind {
  return { group, versions, root: root as Message, inSpec: false, check: () => {} };
}

/** Every kind that is read. */
export const KINDS: Readonly<Record<KindName, Kind>> = {
  VirtualService: istio(virtualService, 'VirtualService', checkVirtualService),
  DestinationRule: istio(destinationRule, 'DestinationRule', checkDestinationRule),
  Gateway: istio(gateway, 'Gateway', checkGateway),
  ServiceEntry: istio(serviceEntry, 'ServiceEntry', checkServiceEntry),
  WorkloadEntry: istio(workloadEntry, 'WorkloadEntry', checkWorkloadEntry),
  Sidecar: istio(sidecar, 'Sidecar', checkSidecar),
  PeerAuthentication: {
    group: 'security.istio.io',
    versions: ['v1', 'v1beta1'],
    root: withSpec('PeerAuthentication', peerAuthentication as unknown as Message),
    inSpec: true,
    check: checkPeerAuthentication,
  },
  ResiliencePolicy: {
    group: 'remora.dev',
    versions: ['v1alpha1'],
    root: withSpec('ResiliencePolicy', resiliencePolicy as unknown as Message),
    inSpec: true,
    check: checkResiliencePolicy,
  },
  Service: kubernetes(service, '', ['v1']),
  EndpointSlice: kubernetes(endpointSlice, 'discovery.k8s.io', ['v1', 'v1beta1']),
  Endpoints: kubernetes(endpoints, '', ['v1']),
  Pod: kubernetes(pod, '', ['v1']),
  ConfigMap: { ...kubernetes(configMap, '', ['v1']), check: checkConfigMap },
  Secret: { ...kubernetes(secret, '', ['v1']), check: checkSecret },
  Namespace: kubernetes(namespace, '', ['v1']),
  Node: kubernetes(node, '', ['v1']),
};

/**
 * Kinds of the APIs we read that are not read yet. Those that protect something are errors: a mesh that looks as if
 * it enforced a policy and does not is worse than one that says so.
 */
export const UNREAD_KINDS: Readonly<
  Record<string, { readonly severity: 'error' | 'warning'; readonly reason: string }>
> = {
  'security.istio.io/AuthorizationPolicy': { severity: 'error', reason: 'calls are not authorised yet' },
  'security.istio.io/RequestAuthentication': { severity: 'error', reason: 'tokens are not checked yet' },
};

/** Groups in which an unknown kind is worth a word; everywhere else it is somebody else's object. */
export const OUR_GROUPS: readonly string[] = [
  'networking.istio.io',
  'security.istio.io',
  'telemetry.istio.io',
  'extensions.istio.io',
  'gateway.networking.k8s.io',
  'remora.dev',
];
