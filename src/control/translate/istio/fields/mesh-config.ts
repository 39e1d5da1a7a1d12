import { list, message } from '../../../source/schema/message.ts';
import { bool, boolValue, duration, enumeration, int32, string } from '../../../source/schema/scalar.ts';
import { effective, type Read, reported, type Type } from '../../../source/schema/type.ts';
import { tcpKeepalive } from './destination-rule.ts';
import { httpRetry } from './virtual-service.ts';

/** What is inside of a field without effect is not looked at. */
const anything = (name: string): Type<unknown> => ({ name, message: null, enumeration: null, read: (value) => value });
const none = <T>(type: Type<T>, reason: string) => reported(type, reason);

const TELEMETRY = 'telemetry has no providers yet; metrics are read from port 15090';
const INJECTION = 'injection has settings of its own: --inject-settings of the control server';
const INGRESS = 'Ingress objects are not read: write a Gateway';
const EXPORT = 'write exportTo on the objects';
const LOCALITY = 'localities have no weights and no failover yet; a Service’s trafficDistribution has an effect';
const AUTHORITY = 'the mesh’s CA is the control server’s: its flags, or the Secret cacerts';
const VERSIONS = 'TLS 1.2 and 1.3 are spoken, with Istio’s ciphers';
const NAMES = 'statistics have Istio’s default names';
const ALL = 'every namespace and service is read; a Sidecar’s egress says what its workloads see';

const outboundTrafficPolicy = message('MeshConfig.OutboundTrafficPolicy', {
  mode: effective(enumeration('Mode', { REGISTRY_ONLY: 'effective', ALLOW_ANY: 'effective' })),
  tls: none(anything('ClientTLSSettings'), 'unknown hosts are called as the app calls them'),
});

/** istio.mesh.v1alpha1.MeshConfig. */
export const meshConfig = message('MeshConfig', {
  proxyListenPort: none(int32, 'captured connections come to port 15001, as the init container’s rules say'),
  proxyInboundListenPort: none(int32, 'captured connections come to port 15006, as the init container’s rules say'),
  proxyHttpPort: none(int32, 'a captured pod has no explicit HTTP proxy'),
  connectTimeout: effective(duration),
  hboneIdleTimeout: none(duration, 'there is no ambient mode'),
  protocolDetectionTimeout: none(duration, 'it is not needed: whoever speaks first says what a connection is'),
  tcpKeepalive: effective(tcpKeepalive),
  ingressClass: none(string, INGRESS),
  ingressService: none(string, INGRESS),
  ingressControllerMode: none(anything('IngressControllerMode'), INGRESS),
  ingressSelector: none(string, INGRESS),
  enableTracing: none(bool, 'there is no tracing yet'),
  accessLogFile: effective(string),
  accessLogFormat: effective(string),
  accessLogEncoding: effective(enumeration('AccessLogEncoding', { TEXT: 'effective', JSON: 'effective' })),
  enableEnvoyAccessLogService: none(bool, 'access logs are written, not sent'),
  disableEnvoyListenerLog: none(bool, 'listeners write no log of their own'),
  // Its own fields are read by `proxy-config.ts`.
  defaultConfig: effective(anything('ProxyConfig')),
  outboundTrafficPolicy: effective(outboundTrafficPolicy),
  inboundTrafficPolicy: none(anything('InboundTrafficPolicy'), 'the app is called at the address that was called'),
  configSources: none(list(anything('ConfigSource')), 'sources are flags of the control server: --files, --kubeconfig'),
  enableAutoMtls: effective(boolValue),
  trustDomain: effective(string),
  trustDomainAliases: none(list(string), 'one trust domain is known yet: calls of others are refused under STRICT'),
  caCertificates: none(list(anything('CertificateData')), AUTHORITY),
  defaultServiceExportTo: effective(list(string)),
  defaultVirtualServiceExportTo: effective(list(string)),
  defaultDestinationRuleExportTo: effective(list(string)),
  rootNamespace: effective(string),
  localityLbSetting: none(anything('LocalityLoadBalancerSetting'), LOCALITY),
  zoneAwareLbSetting: none(anything('ZoneAwareLoadBalancerSetting'), LOCALITY),
  dnsRefreshRate: effective(duration),
  h2UpgradePolicy: none(anything('H2UpgradePolicy'), 'a connection speaks what its port says'),
  inboundClusterStatName: none(string, NAMES),
  outboundClusterStatName: none(string, NAMES),
  certificates: none(list(anything('Certificate')), AUTHORITY),
  serviceSettings: none(list(anything('ServiceSettings')), 'there is one cluster: everything is local to it'),
  serviceScopeConfigs: none(list(anything('ServiceScopeConfigs')), 'there is no ambient mode'),
  enablePrometheusMerge: none(boolValue, INJECTION),
  verifyCertificateAtClient: none(
    boolValue,
    'a DestinationRule says whom a client believes; without roots the system’s',
  ),
  ca: none(anything('CA'), AUTHORITY),
  extensionProviders: none(list(anything('ExtensionProvider')), TELEMETRY),
  defaultProviders: none(anything('DefaultProviders'), TELEMETRY),
  discoverySelectors: none(list(anything('LabelSelector')), ALL),
  pathNormalization: none(anything('ProxyPathNormalization'), 'paths are normalised as by BASE'),
  defaultHttpRetryPolicy: effective(httpRetry),
  meshMTLS: none(anything('TLSConfig'), VERSIONS),
  tlsDefaults: none(anything('TLSConfig'), VERSIONS),
  defaultTrafficPolicy: none(anything('DefaultTrafficPolicy'), 'write a DestinationRule for *.cluster.local'),
  serviceEntryVisibility: none(anything('ServiceEntryVisibility'), EXPORT),
});

export type MeshConfigValue = Read<typeof meshConfig>;
