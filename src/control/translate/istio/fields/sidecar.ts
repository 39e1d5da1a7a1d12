import { list, message } from '../../../source/schema/message.ts';
import { enumeration, string, uint32 } from '../../../source/schema/scalar.ts';
import { effective, type Read, refused, reported } from '../../../source/schema/type.ts';
import { connectionPool } from './destination-rule.ts';
import { serverTls } from './gateway.ts';
import { workloadSelector } from './service-entry.ts';
import { destination } from './virtual-service.ts';

const INGRESS =
  "inbound ports are those of the workload's services; leave ingress out, or the app would be reached by other ports than it says";
const LISTENER = 'sidecars listen as the ports of services say';

export const sidecarPort = message('SidecarPort', {
  number: reported(uint32, LISTENER),
  protocol: reported(string, LISTENER),
  name: reported(string, LISTENER),
  targetPort: reported(uint32, LISTENER),
});

export const captureMode = enumeration('CaptureMode', {
  DEFAULT: 'effective',
  IPTABLES: { state: 'reported', reason: LISTENER },
  NONE: { state: 'reported', reason: LISTENER },
});

export const ingressListener = message('IstioIngressListener', {
  port: refused(sidecarPort, INGRESS),
  bind: refused(string, INGRESS),
  captureMode: refused(captureMode, INGRESS),
  defaultEndpoint: refused(string, INGRESS),
  tls: refused(serverTls, INGRESS),
  connectionPool: refused(connectionPool, INGRESS),
});

export const egressListener = message('IstioEgressListener', {
  port: reported(sidecarPort, 'its hosts can be called at all of their ports'),
  bind: reported(string, LISTENER),
  captureMode: effective(captureMode),
  hosts: effective(list(string)),
});

export const outboundTrafficPolicy = message('OutboundTrafficPolicy', {
  mode: effective(enumeration('Mode', { REGISTRY_ONLY: 'effective', ALLOW_ANY: 'effective' })),
  egressProxy: refused(destination, 'unknown hosts are called directly; an egress gateway is a VirtualService'),
});

export const sidecar = message('Sidecar', {
  workloadSelector: effective(workloadSelector),
  ingress: refused(list(ingressListener), INGRESS),
  egress: effective(list(egressListener)),
  inboundConnectionPool: reported(connectionPool, 'limits of calls are those of the callers (DestinationRule)'),
  outboundTrafficPolicy: effective(outboundTrafficPolicy),
});

export type SidecarSpec = Read<typeof sidecar>;

export const SIDECAR_MESSAGES = {
  Sidecar: sidecar,
  IstioIngressListener: ingressListener,
  IstioEgressListener: egressListener,
  WorkloadSelector: workloadSelector,
  OutboundTrafficPolicy: outboundTrafficPolicy,
  SidecarPort: sidecarPort,
} as const;
