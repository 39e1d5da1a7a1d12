import { list, map, message } from '../../../source/schema/message.ts';
import {
  bool,
  boolValue,
  bytes,
  double,
  duration,
  enumeration,
  int32,
  named,
  string,
  uint32,
  uint32Value,
} from '../../../source/schema/scalar.ts';
import { effective, type Read, refused, reported, required } from '../../../source/schema/type.ts';

const MIRROR = 'requests are not mirrored until traffic policy is complete; the route itself works';
const L4 = 'TCP routes are not matched yet: such traffic goes to the called service itself';
const SUBNETS = 'gateways pass TLS on by its server name, whatever address was called';

export const percent = message('Percent', { value: effective(double) });

export const stringMatch = message('StringMatch', {
  exact: effective(string, { oneof: 'match_type' }),
  prefix: effective(string, { oneof: 'match_type' }),
  regex: effective(string, { oneof: 'match_type' }),
});

export const portSelector = message('PortSelector', { number: effective(uint32) });

export const destination = message('Destination', {
  host: required(string),
  subset: effective(string),
  port: effective(portSelector),
});

export const delegate = message('Delegate', { name: required(string), namespace: effective(string) });

export const headerOperations = message('Headers.HeaderOperations', {
  set: effective(map(string)),
  add: effective(map(string)),
  remove: effective(list(string)),
});

export const headers = message('Headers', {
  request: effective(headerOperations),
  response: effective(headerOperations),
});

export const httpMatchRequest = message('HTTPMatchRequest', {
  name: effective(string),
  uri: effective(stringMatch),
  scheme: effective(stringMatch),
  method: effective(stringMatch),
  authority: effective(stringMatch),
  headers: effective(map(stringMatch)),
  port: effective(uint32),
  sourceLabels: effective(map(string)),
  gateways: effective(list(string)),
  queryParams: effective(map(stringMatch)),
  ignoreUriCase: effective(bool),
  withoutHeaders: effective(map(stringMatch)),
  sourceNamespace: effective(string),
  statPrefix: effective(string),
});

export const httpRouteDestination = message('HTTPRouteDestination', {
  destination: required(destination),
  weight: effective(int32),
  headers: effective(headers),
});

/** Destinations of TLS and TCP routes. */
const routeDestination = message('RouteDestination', {
  destination: required(destination),
  weight: effective(int32),
});

const l4MatchAttributes = message('L4MatchAttributes', {
  destinationSubnets: reported(list(string), L4),
  port: reported(uint32, L4),
  sourceSubnet: reported(string, L4),
  sourceLabels: reported(map(string), L4),
  gateways: reported(list(string), L4),
  sourceNamespace: reported(string, L4),
});

const tlsMatchAttributes = message('TLSMatchAttributes', {
  sniHosts: required(list(string)),
  destinationSubnets: reported(list(string), SUBNETS),
  port: effective(uint32),
  sourceLabels: effective(map(string)),
  gateways: effective(list(string)),
  sourceNamespace: effective(string),
});

const tlsRoute = message('TLSRoute', {
  match: required(list(tlsMatchAttributes)),
  route: required(list(routeDestination)),
});
const tcpRoute = message('TCPRoute', {
  match: reported(list(l4MatchAttributes), L4),
  route: reported(list(routeDestination), L4),
});

export const httpRedirect = message('HTTPRedirect', {
  uri: effective(string),
  authority: effective(string),
  port: effective(uint32, { oneof: 'redirect_port' }),
  derivePort: effective(
    enumeration('RedirectPortSelection', { FROM_PROTOCOL_DEFAULT: 'effective', FROM_REQUEST_PORT: 'effective' }),
    { oneof: 'redirect_port' },
  ),
  scheme: effective(string),
  redirectCode: effective(uint32),
  prefixRewrite: effective(string),
});

export const httpBody = message('HTTPBody', {
  string: effective(string, { oneof: 'specifier' }),
  bytes: effective(bytes, { oneof: 'specifier' }),
});

export const httpDirectResponse = message('HTTPDirectResponse', {
  status: required(uint32),
  body: effective(httpBody),
});

export const regexRewrite = message('RegexRewrite', { match: required(string), rewrite: required(string) });

export const httpRewrite = message('HTTPRewrite', {
  uri: effective(string),
  authority: effective(string),
  uriRegexRewrite: effective(regexRewrite),
});

export const httpRetry = message('HTTPRetry', {
  attempts: effective(int32),
  perTryTimeout: effective(duration),
  retryOn: effective(string),
  retryRemoteLocalities: reported(
    boolValue,
    'localities have no priorities yet, so a retry may go to any locality anyway',
  ),
  retryIgnorePreviousHosts: effective(boolValue),
  backoff: effective(duration),
});

export const corsPolicy = message('CorsPolicy', {
  allowOrigin: effective(list(string), { deprecated: 'write allowOrigins: [{exact: ORIGIN}]' }),
  allowOrigins: effective(list(stringMatch)),
  allowMethods: effective(list(string)),
  allowHeaders: effective(list(string)),
  exposeHeaders: effective(list(string)),
  maxAge: effective(duration),
  allowCredentials: effective(boolValue),
  unmatchedPreflights: effective(
    enumeration('UnmatchedPreflights', { UNSPECIFIED: 'effective', FORWARD: 'effective', IGNORE: 'effective' }),
  ),
});

export const faultDelay = message('HTTPFaultInjection.Delay', {
  percent: effective(int32, { deprecated: 'write percentage: {value: PERCENT}' }),
  fixedDelay: effective(duration, { oneof: 'http_delay_type' }),
  exponentialDelay: refused(duration, 'Istio never implemented it; write fixedDelay', { oneof: 'http_delay_type' }),
  percentage: effective(percent),
});

export const faultAbort = message('HTTPFaultInjection.Abort', {
  httpStatus: effective(int32, { oneof: 'error_type' }),
  grpcStatus: effective(string, { oneof: 'error_type' }),
  http2Error: refused(string, 'Istio never implemented it; write httpStatus or grpcStatus', { oneof: 'error_type' }),
  percentage: effective(percent),
});

export const httpFaultInjection = message('HTTPFaultInjection', {
  delay: effective(faultDelay),
  abort: effective(faultAbort),
});

const httpMirrorPolicy = message('HTTPMirrorPolicy', {
  destination: reported(destination, MIRROR),
  percentage: reported(percent, MIRROR),
});

export const httpRoute = message('HTTPRoute', {
  name: effective(string),
  match: effective(list(httpMatchRequest)),
  route: effective(list(httpRouteDestination)),
  redirect: effective(httpRedirect),
  directResponse: effective(httpDirectResponse),
  delegate: effective(delegate),
  rewrite: effective(httpRewrite),
  timeout: effective(duration),
  retries: effective(httpRetry),
  fault: effective(httpFaultInjection),
  mirror: reported(destination, MIRROR),
  mirrors: reported(list(httpMirrorPolicy), MIRROR),
  mirrorPercent: reported(named('google.protobuf.UInt32Value', uint32Value), MIRROR, {
    deprecated: 'write mirrorPercentage',
  }),
  mirrorPercentage: reported(percent, MIRROR),
  corsPolicy: effective(corsPolicy),
  headers: effective(headers),
});

export const virtualService = message('VirtualService', {
  hosts: effective(list(string)),
  gateways: effective(list(string)),
  http: effective(list(httpRoute)),
  tls: effective(list(tlsRoute)),
  tcp: reported(list(tcpRoute), L4),
  exportTo: effective(list(string)),
});

export type VirtualServiceSpec = Read<typeof virtualService>;
export type TlsRouteSpec = Read<typeof tlsRoute>;
export type HttpRouteSpec = Read<typeof httpRoute>;
export type HttpMatchSpec = Read<typeof httpMatchRequest>;
export type HttpDestinationSpec = Read<typeof httpRouteDestination>;
export type StringMatchSpec = Read<typeof stringMatch>;
export type HeadersSpec = Read<typeof headers>;

/** Messages that only appear inside others, for the table of all fields. */
export const VIRTUAL_SERVICE_MESSAGES = {
  VirtualService: virtualService,
  Destination: destination,
  HTTPRoute: httpRoute,
  Delegate: delegate,
  Headers: headers,
  'Headers.HeaderOperations': headerOperations,
  TLSRoute: tlsRoute,
  TCPRoute: tcpRoute,
  HTTPMatchRequest: httpMatchRequest,
  HTTPRouteDestination: httpRouteDestination,
  RouteDestination: routeDestination,
  L4MatchAttributes: l4MatchAttributes,
  TLSMatchAttributes: tlsMatchAttributes,
  HTTPRedirect: httpRedirect,
  HTTPDirectResponse: httpDirectResponse,
  HTTPBody: httpBody,
  HTTPRewrite: httpRewrite,
  RegexRewrite: regexRewrite,
  StringMatch: stringMatch,
  HTTPRetry: httpRetry,
  CorsPolicy: corsPolicy,
  HTTPFaultInjection: httpFaultInjection,
  'HTTPFaultInjection.Delay': faultDelay,
  'HTTPFaultInjection.Abort': faultAbort,
  HTTPMirrorPolicy: httpMirrorPolicy,
  PortSelector: portSelector,
  Percent: percent,
} as const;
