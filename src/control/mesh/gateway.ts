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
  /** TLS goes on unread, by its server name. */
  readonly passthrough: boolean;
  /** How it ends TLS; null: it does not. */
  readonly tls: ServerTls | null;
  readonly written: Written;
}

export type TlsVersion = 'TLSV1_0' | 'TLSV1_1' | 'TLSV1_2' | 'TLSV1_3';

/** A Gateway server's TLS. */
export interface ServerTls {
  readonly mode: 'SIMPLE' | 'MUTUAL' | 'OPTIONAL_MUTUAL' | 'ISTIO_MUTUAL';
  /** Name of the Secret, in the Gateway's namespace; '' files. */
  readonly credential: string;
  /** Paths on the gateway's machine; '' none. */
  readonly files: { readonly certificate: string; readonly key: string; readonly roots: string };
  readonly subjectAltNames: readonly string[];
  readonly spki: readonly string[];
  readonly hashes: readonly string[];
  /** null: the default. */
  readonly minVersion: TlsVersion | null;
  readonly maxVersion: TlsVersion | null;
  readonly cipherSuites: readonly string[];
}
