import type { ConfigObject } from '../source/collection.ts';
import type { DestinationRuleSpec } from './istio/fields/destination-rule.ts';
import type { GatewaySpec } from './istio/fields/gateway.ts';
import type { PeerAuthenticationSpec } from './istio/fields/peer-authentication.ts';
import type { ResiliencePolicySpec } from './istio/fields/resilience-policy.ts';
import type { ServiceEntrySpec, WorkloadEntrySpec } from './istio/fields/service-entry.ts';
import type { SidecarSpec } from './istio/fields/sidecar.ts';
import type { VirtualServiceSpec } from './istio/fields/virtual-service.ts';
import type {
  ConfigMapValue,
  EndpointSliceValue,
  EndpointsValue,
  PodValue,
  SecretValue,
  ServiceValue,
} from './kubernetes/fields.ts';

/** What the spec (or the whole object, for Kubernetes' own) of each kind reads to. */
export interface KindValues {
  VirtualService: VirtualServiceSpec;
  DestinationRule: DestinationRuleSpec;
  Gateway: GatewaySpec;
  ServiceEntry: ServiceEntrySpec;
  WorkloadEntry: WorkloadEntrySpec;
  Sidecar: SidecarSpec;
  PeerAuthentication: PeerAuthenticationSpec;
  ResiliencePolicy: ResiliencePolicySpec;
  Service: ServiceValue;
  EndpointSlice: EndpointSliceValue;
  Endpoints: EndpointsValue;
  Pod: PodValue;
  ConfigMap: ConfigMapValue;
  Secret: SecretValue;
  Namespace: object;
  Node: object;
}
export type KindName = keyof KindValues;

/** An object that has been read and checked. */
export interface Decoded<K extends KindName = KindName> {
  readonly kind: K;
  readonly object: ConfigObject;
  readonly value: KindValues[K];
}

/** An object in force that came (`before` is null), went (`after` is null) or is otherwise now. */
export interface DecodedChange {
  readonly before: Decoded | null;
  readonly after: Decoded | null;
}
