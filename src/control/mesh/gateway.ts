import type { Written } from './mesh.ts';

/** One server of a Gateway. */
export interface GatewayServer {
  /** `namespace/name` of the Gateway. */
  readonly gateway: string;
  /** Labels a gateway proxy must have. */
  readonly selector: Readonly<Record<string, string>>;
  readonly port: number;
  readonly portName: string;
  readonly protocol: 'HTTP' | 'HTTPS' | 'HTTP2' | 'GRPC' | 'TCP' | 'TLS';
  /** '' all addresses. */
  readonly bind: string;
  /** Hosts with their namespace filter: `*`/`.`/name → host. */
  readonly hosts: readonly { readonly namespace: string; readonly host: string }[];
  readonly httpsRedirect: boolean;
  readonly written: Written;
}
