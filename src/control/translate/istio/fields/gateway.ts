import { list, map, message } from '../../../source/schema/message.ts';
import { bool, boolValue, enumeration, string, uint32 } from '../../../source/schema/scalar.ts';
import { effective, type Read, refused, reported, required } from '../../../source/schema/type.ts';

const TLS = 'gateways do not terminate TLS yet, and without it the server would speak plain text';
const tlsValue = { state: 'refused', reason: TLS } as const;

const tlsProtocol = enumeration('TLSProtocol', {
  TLS_AUTO: tlsValue,
  TLSV1_0: tlsValue,
  TLSV1_1: tlsValue,
  TLSV1_2: tlsValue,
  TLSV1_3: tlsValue,
});

const tlsCertificate = message('ServerTLSSettings.TLSCertificate', {
  serverCertificate: refused(string, TLS),
  privateKey: refused(string, TLS),
  caCertificates: refused(string, TLS),
});

export const serverTls = message('ServerTLSSettings', {
  httpsRedirect: effective(bool),
  mode: refused(
    enumeration('TLSmode', {
      PASSTHROUGH: tlsValue,
      SIMPLE: tlsValue,
      MUTUAL: tlsValue,
      AUTO_PASSTHROUGH: tlsValue,
      ISTIO_MUTUAL: tlsValue,
      OPTIONAL_MUTUAL: tlsValue,
    }),
    TLS,
  ),
  serverCertificate: refused(string, TLS),
  privateKey: refused(string, TLS),
  caCertificates: refused(string, TLS),
  caCrl: refused(string, TLS),
  credentialName: refused(string, TLS),
  credentialNames: refused(list(string), TLS),
  caCertCredentialName: refused(string, TLS),
  tlsCertificates: refused(list(tlsCertificate), TLS),
  subjectAltNames: refused(list(string), TLS),
  verifyCertificateSpki: refused(list(string), TLS),
  verifyCertificateHash: refused(list(string), TLS),
  minProtocolVersion: refused(tlsProtocol, TLS),
  maxProtocolVersion: refused(tlsProtocol, TLS),
  cipherSuites: refused(list(string), TLS),
  insecureSkipVerify: refused(boolValue, TLS),
});

export const gatewayPort = message('Port', {
  number: required(uint32),
  protocol: required(string),
  name: effective(string),
  targetPort: reported(uint32, 'the gateway listens on number itself', { deprecated: 'leave it out' }),
});

export const gatewayServer = message('Server', {
  port: required(gatewayPort),
  bind: effective(string),
  hosts: required(list(string)),
  tls: effective(serverTls),
  defaultEndpoint: reported(string, 'Istio never implemented it; requests that no VirtualService routes get 404'),
  name: effective(string),
});

export const gateway = message('Gateway', {
  servers: required(list(gatewayServer)),
  selector: effective(map(string)),
});

export type GatewaySpec = Read<typeof gateway>;

export const GATEWAY_MESSAGES = {
  Gateway: gateway,
  Server: gatewayServer,
  Port: gatewayPort,
  ServerTLSSettings: serverTls,
  'ServerTLSSettings.TLSCertificate': tlsCertificate,
} as const;
