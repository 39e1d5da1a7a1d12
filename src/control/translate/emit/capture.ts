import { isAddress } from '../names.ts';
import type { EmitNode } from './scope.ts';

/** What becomes of calls to where no service is known (Istio's MeshConfig outboundTrafficPolicy). */
export type OutboundPolicy = 'ALLOW_ANY' | 'REGISTRY_ONLY';

/** IP families of a pod. */
export type Families = '4' | '6' | '46';

/** A sidecar that iptables redirect its pod's connections to. */
export interface CaptureFacts {
  /** The pod's own addresses. */
  readonly addresses: readonly string[];
  readonly families: Families;
  /** Inbound connections come by TPROXY: they have the address that the client called. */
  readonly transparent: boolean;
  /** It answers DNS for its app (Istio's DNS_CAPTURE). */
  readonly dns: boolean;
  readonly ports: CapturePorts;
  /** And gives out addresses for hosts that have none; Istio's DNS_AUTO_ALLOCATE, unless it is `false`. */
  readonly allocates: boolean;
}

/** Where the rules of `remora iptables` lead. */
export interface CapturePorts {
  readonly outbound: number;
  readonly inbound: number;
}

/** Istio's; another proxy says so in its node's OUTBOUND_PORT and INBOUND_PORT. */
export const CAPTURE_PORTS: CapturePorts = { outbound: 15001, inbound: 15006 };

/**
 * Connections from these go to the app itself, and iptables leave them alone: the pod's own address would lead to the
 * proxy again. Istio's; `::6` must be given to the loopback interface.
 */
const TO_APP: Readonly<Record<'4' | '6', string>> = { 4: '127.0.0.6', 6: '::6' };
const WILDCARDS: Readonly<Record<'4' | '6', string>> = { 4: '0.0.0.0', 6: '::' };

/** null: nothing is redirected to it. Who names its ports itself, as on a laptop, is called by them. */
export function captureFacts(node: EmitNode): CaptureFacts | null {
  const { interceptionMode: mode = '' } = node;
  if (node.kind !== 'sidecar' || node.metadata?.REMORA !== undefined) return null;
  if (mode !== 'REDIRECT' && mode !== 'TPROXY') return null;
  const addresses = (node.addresses ?? []).filter(isAddress);
  const six = addresses.some((address) => address.includes(':'));
  const four = addresses.some((address) => !address.includes(':'));
  const dns = flag(node.metadata?.DNS_CAPTURE) === true;
  return {
    addresses,
    families: six ? (four ? '46' : '6') : '4',
    transparent: mode === 'TPROXY',
    dns,
    ports: {
      outbound: portOf(node.metadata?.OUTBOUND_PORT, CAPTURE_PORTS.outbound),
      inbound: portOf(node.metadata?.INBOUND_PORT, CAPTURE_PORTS.inbound),
    },
    allocates: dns && flag(node.metadata?.DNS_AUTO_ALLOCATE) !== false,
  };
}

function portOf(value: unknown, otherwise: number): number {
  const port = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : 0;
  return port >= 1 && port <= 65_535 ? port : otherwise;
}

/** Istio's agents write truth as text. */
function flag(value: unknown): boolean | undefined {
  if (typeof value === 'boolean') return value;
  return value === 'true' ? true : value === 'false' ? false : undefined;
}

/** `0.0.0.0` and `::`, as the pod has them. */
export function wildcards(families: Families): readonly string[] {
  return [...families].map((family) => WILDCARDS[family as '4' | '6']);
}

export function sourcesToApp(families: Families): readonly string[] {
  return [...families].map((family) => TO_APP[family as '4' | '6']);
}
