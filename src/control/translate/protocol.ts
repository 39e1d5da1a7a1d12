import type { PortProtocol } from '../mesh/service.ts';

/** Ports on which the server speaks first: looking for HTTP there would hang the client. */
const SERVER_FIRST = new Set([25, 53, 3306, 27017]);

const BY_NAME: Readonly<Record<string, PortProtocol>> = {
  http: 'http',
  http2: 'http2',
  grpc: 'grpc',
  https: 'https',
  tls: 'tls',
  tcp: 'tcp',
  mongo: 'tcp',
  mysql: 'tcp',
  redis: 'tcp',
};

/**
 * The protocol of a port: its appProtocol, else the part of its name before the first `-`, as Istio has it.
 * null for UDP, which is not forwarded.
 */
export function portProtocol(
  port: number,
  name: string,
  transport: string,
  appProtocol: string | undefined,
): PortProtocol | null {
  if (transport === 'UDP' || transport === 'SCTP') return null;
  if (appProtocol === 'kubernetes.io/h2c') return 'http2';
  if (appProtocol === 'kubernetes.io/ws') return 'http';
  if (appProtocol === 'kubernetes.io/wss') return 'https';
  const text = (appProtocol ?? name).toLowerCase();
  // gRPC-Web is plain HTTP on the wire, and its name has a hyphen.
  if (text.startsWith('grpc-web')) return 'http';
  const prefix = text.split('-', 1)[0] ?? '';
  if (prefix === 'udp') return null;
  if (Object.hasOwn(BY_NAME, prefix)) return BY_NAME[prefix] ?? 'auto';
  return SERVER_FIRST.has(port) ? 'tcp' : 'auto';
}
