import { list, map, message } from '../../../source/schema/message.ts';
import { bool, boolValue, enumeration, string, uint32 } from '../../../source/schema/scalar.ts';
import { effective, type Read, refused, reported, required } from '../../../source/schema/type.ts';

const PASSED = 'gateways do not pass TLS on to whatever its name says; write PASSTHROUGH and a VirtualService';
const TLS = 'it is not looked at yet, and without it the server would trust more than it says';
const MORE = 'a server shows one certificate yet: write credentialName';

const tlsProtocol = enumeration('TLSProtocol', {
  TLS_AUTO: 'effective',
  TLSV1_0: 'effective',
  TLSV1_1: 'effective',
  TLSV1_2: 'effective',
  TLSV1_3: 'effective',
});

const tlsCertificate = message('ServerTLSSettings.TLSCertificate', {
  serverCertificate: refused(string, MORE),
  privateKey: refused(string, MORE),
  caCertificates: refused(string, MORE),
});

export const serverTls = message('ServerTLSSettings', {
  httpsRedirect: effective(bool),
  mode: effective(
    enumeration('TLSmode', {
      PASSTHROUGH: 'effective',
      SIMPLE: 'effective',
      MUTUAL: 'effective',
      AUTO_PASSTHROUGH: { state: 'refused', reason: PASSED },
      ISTIO_MUTUAL: 'effective',
      OPTIONAL_MUTUAL: 'effective',
    }),
  ),
  serverCertificate: effective(string),
  privateKey: effective(string),
  caCertificates: effective(string),
  caCrl: refused(string, TLS),
  credentialName: effective(string),
  credentialNames: refused(list(string), MORE),
  caCertCredentialName: refused(string, MORE),
  tlsCertificates: refused(list(tlsCertificate), MORE),
  subjectAltNames: effective(list(string)),
  verifyCertificateSpki: effective(list(string)),
  verifyCertificateHash: effective(list(string)),
  minProtocolVersion: effective(tlsProtocol),
  maxProtocolVersion: effective(tlsProtocol),
  cipherSuites: effective(list(string)),
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
