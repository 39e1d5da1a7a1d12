import { list, map, message } from '../../../source/schema/message.ts';
import {
  bool,
  boolValue,
  doubleValue,
  duration,
  enumeration,
  int32,
  string,
  uint32,
  uint32Value,
  uint64,
  uint64Value,
} from '../../../source/schema/scalar.ts';
import { effective, type Read, refused, reported, required } from '../../../source/schema/type.ts';
import { portSelector } from './virtual-service.ts';

const HASH = 'consistent hashing comes with traffic policy; requests are balanced by least request instead';
const LOCALITY = 'localities are not weighted or ordered yet; every endpoint is used alike';
const WARMUP = 'a new endpoint gets its full share at once';
const HTTP2 = 'upstream connections are HTTP/1.1 until the HTTP/2 engine is there';
const CREDENTIAL = 'Secrets are not handed to proxies yet: mount the files and name them';
const TUNNEL = 'tunnels are not built yet, and without one the traffic would go straight to the host';
const PROXY_PROTOCOL = 'it is not sent yet, and a server that expects it would misread every connection';

const ringHash = message('LoadBalancerSettings.ConsistentHashLB.RingHash', {
  minimumRingSize: reported(uint64, HASH),
});
const magLev = message('LoadBalancerSettings.ConsistentHashLB.MagLev', { tableSize: reported(uint64, HASH) });
const cookieAttribute = message('LoadBalancerSettings.ConsistentHashLB.HTTPCookie.Attribute', {
  name: reported(string, HASH),
  value: reported(string, HASH),
});
const httpCookie = message('LoadBalancerSettings.ConsistentHashLB.HTTPCookie', {
  name: reported(string, HASH),
  path: reported(string, HASH),
  ttl: reported(duration, HASH),
  attributes: reported(list(cookieAttribute), HASH),
});
const consistentHash = message('LoadBalancerSettings.ConsistentHashLB', {
  httpHeaderName: reported(string, HASH, { oneof: 'hash_key' }),
  httpCookie: reported(httpCookie, HASH, { oneof: 'hash_key' }),
  useSourceIp: reported(bool, HASH, { oneof: 'hash_key' }),
  httpQueryParameterName: reported(string, HASH, { oneof: 'hash_key' }),
  ringHash: reported(ringHash, HASH, { oneof: 'hash_algorithm' }),
  maglev: reported(magLev, HASH, { oneof: 'hash_algorithm' }),
  minimumRingSize: reported(uint64, HASH, { deprecated: 'write ringHash: {minimumRingSize: N}' }),
});

const localityDistribute = message('LocalityLoadBalancerSetting.Distribute', {
  from: reported(string, LOCALITY),
  to: reported(map(uint32), LOCALITY),
});
const localityFailover = message('LocalityLoadBalancerSetting.Failover', {
  from: reported(string, LOCALITY),
  to: reported(string, LOCALITY),
});
const localitySetting = message('LocalityLoadBalancerSetting', {
  distribute: reported(list(localityDistribute), LOCALITY),
  failover: reported(list(localityFailover), LOCALITY),
  failoverPriority: reported(list(string), LOCALITY),
  enabled: reported(boolValue, LOCALITY),
});
const zoneFailover = message('ZoneAwareLoadBalancerSetting.Failover', {
  from: reported(string, LOCALITY),
  to: reported(string, LOCALITY),
});
const zoneSetting = message('ZoneAwareLoadBalancerSetting', {
  enabled: reported(boolValue, LOCALITY),
  failover: reported(list(zoneFailover), LOCALITY),
  failoverPriority: reported(list(string), LOCALITY),
  minClusterSize: reported(uint64Value, LOCALITY),
});

const warmup = message('WarmupConfiguration', {
  duration: reported(duration, WARMUP),
  minimumPercent: reported(doubleValue, WARMUP),
  aggression: reported(doubleValue, WARMUP),
});

export const simpleLb = enumeration('SimpleLB', {
  UNSPECIFIED: 'effective',
  LEAST_CONN: 'effective',
  RANDOM: 'effective',
  PASSTHROUGH: 'effective',
  ROUND_ROBIN: 'effective',
  LEAST_REQUEST: 'effective',
});

export const loadBalancer = message('LoadBalancerSettings', {
  simple: effective(simpleLb, { oneof: 'lb_policy' }),
  consistentHash: reported(consistentHash, HASH, { oneof: 'lb_policy' }),
  localityLbSetting: reported(localitySetting, LOCALITY),
  zoneAwareLbSetting: reported(zoneSetting, LOCALITY),
  warmupDurationSecs: reported(duration, WARMUP, { deprecated: 'write warmup: {duration: D}' }),
  warmup: reported(warmup, WARMUP),
});

export const tcpKeepalive = message('ConnectionPoolSettings.TCPSettings.TcpKeepalive', {
  probes: effective(uint32),
  time: effective(duration),
  interval: effective(duration),
});
export type TcpKeepaliveSpec = Read<typeof tcpKeepalive>;
export const tcpSettings = message('ConnectionPoolSettings.TCPSettings', {
  maxConnections: effective(int32),
  connectTimeout: effective(duration),
  tcpKeepalive: effective(tcpKeepalive),
  maxConnectionDuration: reported(duration, 'a connection lives until it is idle or closed'),
  idleTimeout: effective(duration),
});
const connectionKeepalive = message('ConnectionPoolSettings.HTTPSettings.ConnectionKeepalive', {
  interval: reported(duration, HTTP2),
  timeout: reported(duration, HTTP2),
});
export const httpSettings = message('ConnectionPoolSettings.HTTPSettings', {
  http1MaxPendingRequests: effective(int32),
  http2MaxRequests: effective(int32),
  maxRequestsPerConnection: effective(int32),
  maxRetries: effective(int32),
  idleTimeout: effective(duration),
  h2UpgradePolicy: reported(
    enumeration('H2UpgradePolicy', {
      DEFAULT: { state: 'reported', reason: HTTP2 },
      DO_NOT_UPGRADE: { state: 'reported', reason: HTTP2 },
      UPGRADE: { state: 'reported', reason: HTTP2 },
    }),
    HTTP2,
  ),
  useClientProtocol: reported(bool, HTTP2),
  maxConcurrentStreams: reported(int32, HTTP2),
  http2KeepAlive: reported(connectionKeepalive, HTTP2),
});
export const connectionPool = message('ConnectionPoolSettings', {
  tcp: effective(tcpSettings),
  http: effective(httpSettings),
});

export const outlierDetection = message('OutlierDetection', {
  consecutiveErrors: effective(int32, { deprecated: 'write consecutiveGatewayErrors, as which it is read' }),
  splitExternalLocalOriginErrors: effective(bool),
  consecutiveLocalOriginFailures: effective(uint32Value),
  consecutiveGatewayErrors: effective(uint32Value),
  consecutive5xxErrors: effective(uint32Value),
  interval: effective(duration),
  baseEjectionTime: effective(duration),
  maxEjectionPercent: effective(int32),
  minHealthPercent: effective(int32),
  outlierDetectionHttpErrorCodes: reported(list(uint32), 'errors are 5xx answers, whatever is listed here'),
});

export const clientTls = message('ClientTLSSettings', {
  mode: effective(
    enumeration('TLSmode', {
      DISABLE: 'effective',
      SIMPLE: 'effective',
      MUTUAL: 'effective',
      ISTIO_MUTUAL: 'effective',
    }),
  ),
  clientCertificate: effective(string),
  privateKey: effective(string),
  caCertificates: effective(string),
  credentialName: refused(string, CREDENTIAL),
  subjectAltNames: effective(list(string)),
  sni: effective(string),
  insecureSkipVerify: effective(boolValue),
  caCrl: effective(string),
});

const tunnelSettings = message('TrafficPolicy.TunnelSettings', {
  protocol: refused(string, TUNNEL),
  targetHost: refused(string, TUNNEL),
  targetPort: refused(uint32, TUNNEL),
});
const proxyProtocolValue = { state: 'refused', reason: PROXY_PROTOCOL } as const;
const proxyProtocol = message('TrafficPolicy.ProxyProtocol', {
  version: refused(enumeration('VERSION', { V1: proxyProtocolValue, V2: proxyProtocolValue }), PROXY_PROTOCOL),
});
export const retryBudget = message('TrafficPolicy.RetryBudget', {
  percent: effective(doubleValue),
  minRetryConcurrency: effective(uint32),
  budgetInterval: reported(duration, 'the budget counts requests that are under way, not those of an interval'),
});

export const portTrafficPolicy = message('TrafficPolicy.PortTrafficPolicy', {
  port: required(portSelector),
  loadBalancer: effective(loadBalancer),
  connectionPool: effective(connectionPool),
  outlierDetection: effective(outlierDetection),
  tls: effective(clientTls),
});

export const trafficPolicy = message('TrafficPolicy', {
  loadBalancer: effective(loadBalancer),
  connectionPool: effective(connectionPool),
  outlierDetection: effective(outlierDetection),
  tls: effective(clientTls),
  portLevelSettings: effective(list(portTrafficPolicy)),
  tunnel: refused(tunnelSettings, TUNNEL),
  proxyProtocol: refused(proxyProtocol, PROXY_PROTOCOL),
  retryBudget: effective(retryBudget),
});

export const subset = message('Subset', {
  name: required(string),
  labels: effective(map(string)),
  trafficPolicy: effective(trafficPolicy),
});

export const typeWorkloadSelector = message('WorkloadSelector', { matchLabels: effective(map(string)) });

export const destinationRule = message('DestinationRule', {
  host: required(string),
  trafficPolicy: effective(trafficPolicy),
  subsets: effective(list(subset)),
  exportTo: effective(list(string)),
  workloadSelector: effective(typeWorkloadSelector),
});

export type DestinationRuleSpec = Read<typeof destinationRule>;
export type TrafficPolicySpec = Read<typeof trafficPolicy>;
export type PortTrafficPolicySpec = Read<typeof portTrafficPolicy>;
export type SubsetSpec = Read<typeof subset>;

export const DESTINATION_RULE_MESSAGES = {
  DestinationRule: destinationRule,
  TrafficPolicy: trafficPolicy,
  'TrafficPolicy.PortTrafficPolicy': portTrafficPolicy,
  'TrafficPolicy.TunnelSettings': tunnelSettings,
  'TrafficPolicy.ProxyProtocol': proxyProtocol,
  'TrafficPolicy.RetryBudget': retryBudget,
  Subset: subset,
  'LoadBalancerSettings.ConsistentHashLB.RingHash': ringHash,
  'LoadBalancerSettings.ConsistentHashLB.MagLev': magLev,
  'LoadBalancerSettings.ConsistentHashLB.HTTPCookie.Attribute': cookieAttribute,
  'LoadBalancerSettings.ConsistentHashLB.HTTPCookie': httpCookie,
  'LoadBalancerSettings.ConsistentHashLB': consistentHash,
  LoadBalancerSettings: loadBalancer,
  WarmupConfiguration: warmup,
  'ConnectionPoolSettings.TCPSettings.TcpKeepalive': tcpKeepalive,
  'ConnectionPoolSettings.TCPSettings': tcpSettings,
  'ConnectionPoolSettings.HTTPSettings.ConnectionKeepalive': connectionKeepalive,
  'ConnectionPoolSettings.HTTPSettings': httpSettings,
  ConnectionPoolSettings: connectionPool,
  OutlierDetection: outlierDetection,
  ClientTLSSettings: clientTls,
  'LocalityLoadBalancerSetting.Distribute': localityDistribute,
  'LocalityLoadBalancerSetting.Failover': localityFailover,
  LocalityLoadBalancerSetting: localitySetting,
  'ZoneAwareLoadBalancerSetting.Failover': zoneFailover,
  ZoneAwareLoadBalancerSetting: zoneSetting,
} as const;
