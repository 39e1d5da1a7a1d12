import { GRPC_CODES } from '../../../protocol/grpc/status.ts';
import type { Path, Sink } from '../../source/schema/type.ts';
import { hostMatches, isAddress } from '../names.ts';
import {
  checkAuthority,
  checkExportTo,
  checkHeaderValue,
  checkPathText,
  checkPort,
  checkRange,
  checkRegex,
  isHeaderName,
  isLabel,
  isWildcardHost,
} from './check.ts';
import type {
  HeadersSpec,
  HttpDestinationSpec,
  HttpMatchSpec,
  HttpRouteSpec,
  StringMatchSpec,
  VirtualServiceSpec,
} from './fields/virtual-service.ts';
import { checkRetryOn } from './retry-on.ts';
import { checkTlsRoute } from './tls-route-check.ts';

/** What Istio's own validation asks of a VirtualService beyond the types; a weight sum of 0 is accepted. */
export function checkVirtualService(spec: VirtualServiceSpec, sink: Sink): void {
  const hosts = spec.hosts ?? [];
  const gateways = spec.gateways ?? [];
  const delegate = hosts.length === 0;
  if (delegate && gateways.length > 0) {
    sink.error(
      'conflicting-fields',
      ['spec', 'gateways'],
      'a VirtualService without hosts is a delegate: it takes the gateways of the one that names it',
    );
  }
  checkHosts(hosts, gateways, sink);
  for (const [i, gateway] of gateways.entries()) checkGatewayName(gateway, ['spec', 'gateways', i], sink);
  checkExportTo(spec.exportTo, ['spec', 'exportTo'], sink);
  for (const [i, route] of (spec.http ?? []).entries()) checkRoute(route, delegate, ['spec', 'http', i], sink);
  for (const [i, route] of (spec.tls ?? []).entries()) checkTlsRoute(route, hosts, ['spec', 'tls', i], sink);
}

function checkHosts(hosts: readonly string[], gateways: readonly string[], sink: Sink): void {
  const onMesh = gateways.length === 0 || gateways.includes('mesh');
  for (const [i, host] of hosts.entries()) {
    const path = ['spec', 'hosts', i];
    if (!isWildcardHost(host) && !isAddress(host)) {
      sink.error('invalid-host', path, `${JSON.stringify(host)} is not a host: write a name, *.name or *`);
    } else if (host === '*' && onMesh) {
      sink.error(
        'invalid-host',
        path,
        '"*" would take every call of the mesh: name the hosts, or bind it to a gateway',
      );
    }
    const other = hosts.slice(0, i).find((earlier) => hostMatches(host, earlier) || hostMatches(earlier, host));
    if (other !== undefined) sink.error('duplicate-host', path, `${host} overlaps with ${other} of the same object`);
  }
}

function checkGatewayName(name: string, path: Path, sink: Sink): void {
  const parts = name.split('/');
  const legacy = parts.length === 1 && name.includes('.');
  const valid =
    parts.length === 2
      ? (parts[0] === '.' || isLabel(parts[0] ?? '')) && isLabel(parts[1] ?? '')
      : legacy || isLabel(name);
  if (parts.length > 2 || !valid) {
    sink.error('invalid-value', path, `expected "mesh", a name or namespace/name, got ${JSON.stringify(name)}`);
  } else if (legacy) {
    const [gateway = '', space = ''] = name.split('.');
    sink.warning('deprecated', path, `the form name.namespace is deprecated: write ${space}/${gateway}`);
  }
}

function checkRoute(route: HttpRouteSpec, delegate: boolean, path: Path, sink: Sink): void {
  checkAction(route, delegate, path, sink);
  for (const [i, match] of (route.match ?? []).entries()) checkMatch(match, [...path, 'match', i], sink);
  checkHeaders(route.headers, [...path, 'headers'], sink);
  checkRedirect(route, [...path, 'redirect'], sink);
  checkRewrite(route, path, sink);
  checkFault(route, [...path, 'fault'], sink);
  checkCors(route, [...path, 'corsPolicy'], sink);
  if (route.directResponse !== undefined) {
    checkRange(route.directResponse.status, 200, 599, [...path, 'directResponse', 'status'], sink);
    const body = route.directResponse.body;
    const size = body?.bytes?.length ?? Buffer.byteLength(body?.string ?? '');
    if (size > 1024 * 1024)
      sink.error('out-of-range', [...path, 'directResponse', 'body'], 'the body is larger than 1 MiB');
  }
  if (route.retries !== undefined) {
    checkRange(route.retries.attempts, 0, 1000, [...path, 'retries', 'attempts'], sink);
    checkRetryOn(route.retries.retryOn ?? '', [...path, 'retries', 'retryOn'], sink);
    if (!route.retries.attempts && Object.keys(route.retries).some((key) => key !== 'attempts')) {
      sink.warning(
        'no-effect',
        [...path, 'retries'],
        'without attempts (or with 0) retries are off, and the rest has no effect',
      );
    }
  }
  for (const [i, destination] of (route.route ?? []).entries())
    checkDestination(destination, [...path, 'route', i], sink);
}

function checkAction(route: HttpRouteSpec, delegate: boolean, path: Path, sink: Sink): void {
  const forwards = (route.route ?? []).length > 0;
  if (route.delegate !== undefined) {
    if (delegate) sink.error('conflicting-fields', [...path, 'delegate'], 'a delegate cannot delegate further');
    if (forwards)
      sink.error('conflicting-fields', [...path, 'route'], 'a route that delegates cannot have destinations');
    if (route.redirect !== undefined)
      sink.error('conflicting-fields', [...path, 'redirect'], 'a route that delegates cannot redirect');
    return;
  }
  const actions = [
    forwards ? 'route' : '',
    route.redirect === undefined ? '' : 'redirect',
    route.directResponse === undefined ? '' : 'directResponse',
  ].filter(Boolean);
  if (actions.length === 0) sink.error('missing-field', path, 'one of route, redirect and directResponse is required');
  if (actions.length > 1)
    sink.error('conflicting-fields', [...path, actions[1] ?? ''], `only one of ${actions.join(' and ')} may be given`);
  if (!forwards) {
    for (const key of ['fault', 'rewrite'] as const) {
      if (route[key] !== undefined)
        sink.error('conflicting-fields', [...path, key], `${key} needs a route: ${actions[0]} answers by itself`);
    }
  }
}

function checkMatch(match: HttpMatchSpec, path: Path, sink: Sink): void {
  for (const key of ['uri', 'scheme', 'method', 'authority'] as const) {
    const text = match[key];
    if (text === undefined) continue;
    if (Object.keys(text).length === 0)
      sink.error('missing-field', [...path, key], 'one of exact, prefix and regex is required');
    else checkText(text, key === 'uri', [...path, key], sink);
  }
  for (const key of ['headers', 'withoutHeaders', 'queryParams'] as const) {
    for (const [name, text] of Object.entries(match[key] ?? {})) {
      const at = [...path, key, name];
      if (name.startsWith('@request.auth.'))
        sink.error('refused-field', at, 'claims of tokens cannot be matched yet: tokens are not checked');
      else if (key !== 'queryParams' && !isHeaderName(name) && !/^:(method|scheme|authority|path)$/.test(name)) {
        sink.error('invalid-header', at, `${JSON.stringify(name)} is not a header name`);
      } else if (key === 'queryParams' && (name === '' || Buffer.byteLength(name) > 1024)) {
        sink.error('invalid-value', at, 'a query parameter has a name, of at most 1024 bytes');
      }
      if (text.regex !== '*') checkText(text, false, at, sink);
    }
  }
  if (match.uri === undefined && match.ignoreUriCase === true) {
    sink.warning('no-effect', [...path, 'ignoreUriCase'], 'ignoreUriCase has no effect without uri');
  }
  if (match.uri?.regex !== undefined && match.ignoreUriCase === true) {
    sink.warning('no-effect', [...path, 'ignoreUriCase'], 'ignoreUriCase has no effect on a regex: begin it with (?i)');
  }
  if (match.port !== 0) checkPort(match.port, [...path, 'port'], sink);
  for (const [i, gateway] of (match.gateways ?? []).entries())
    checkGatewayName(gateway, [...path, 'gateways', i], sink);
  if ((match.gateways ?? []).length > 0) {
    for (const key of ['sourceLabels', 'sourceNamespace'] as const) {
      if (match[key] !== undefined)
        sink.warning('no-effect', [...path, key], `${key} has no effect where gateways are matched`);
    }
  }
}

function checkText(text: StringMatchSpec, emptyPrefix: boolean, path: Path, sink: Sink): void {
  if (text.prefix === '' && !emptyPrefix)
    sink.error('invalid-value', [...path, 'prefix'], 'an empty prefix matches everything: leave the match out');
  if (text.regex !== undefined) checkRegex(text.regex, [...path, 'regex'], sink);
}

export function isAuthority(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === 'host' || lower === ':authority';
}

function checkHeaders(headers: HeadersSpec | undefined, path: Path, sink: Sink): void {
  for (const direction of ['request', 'response'] as const) {
    const operations = headers?.[direction];
    for (const key of ['set', 'add'] as const) {
      for (const [name, value] of Object.entries(operations?.[key] ?? {})) {
        const at = [...path, direction, key, name];
        if (!isHeaderName(name) && !(direction === 'request' && isAuthority(name)))
          sink.error(
            'invalid-header',
            at,
            `${JSON.stringify(name)} is not a header that can be ${key === 'set' ? 'set' : 'added'}`,
          );
        else if (direction === 'response' && isAuthority(name))
          sink.error('invalid-header', at, 'a response has no Host header');
        if (isAuthority(name)) checkAuthority(value, at, sink);
        checkHeaderValue(value, at, sink);
      }
    }
    for (const [i, name] of (operations?.remove ?? []).entries()) {
      if (!isHeaderName(name) || isAuthority(name))
        sink.error('invalid-header', [...path, direction, 'remove', i], `${JSON.stringify(name)} cannot be removed`);
    }
  }
}

function checkRedirect({ redirect, match }: HttpRouteSpec, path: Path, sink: Sink): void {
  if (redirect === undefined) return;
  if (Object.keys(redirect).every((key) => key === 'redirectCode')) {
    sink.error('missing-field', path, 'one of uri, prefixRewrite, authority, port, derivePort and scheme is required');
  }
  if (redirect.uri && redirect.prefixRewrite)
    sink.error('conflicting-fields', [...path, 'prefixRewrite'], 'only one of uri and prefixRewrite may be given');
  if (redirect.prefixRewrite && (match ?? []).some((one) => one.uri !== undefined && one.uri.prefix === undefined)) {
    sink.error('conflicting-fields', [...path, 'prefixRewrite'], 'prefixRewrite needs every uri match to be a prefix');
  }
  if (redirect.scheme && redirect.scheme !== 'http' && redirect.scheme !== 'https')
    sink.error(
      'invalid-value',
      [...path, 'scheme'],
      `expected "http" or "https", got ${JSON.stringify(redirect.scheme)}`,
    );
  if (![0, 301, 302, 303, 307, 308].includes(redirect.redirectCode ?? 0))
    sink.error(
      'out-of-range',
      [...path, 'redirectCode'],
      `expected 301, 302, 303, 307 or 308, got ${redirect.redirectCode}`,
    );
  checkPort(redirect.port, [...path, 'port'], sink);
  checkAuthority(redirect.authority, [...path, 'authority'], sink);
  checkPathText(redirect.uri, [...path, 'uri'], sink);
  checkPathText(redirect.prefixRewrite, [...path, 'prefixRewrite'], sink);
}

function checkRewrite(route: HttpRouteSpec, base: Path, sink: Sink): void {
  const { rewrite, headers } = route;
  const path = [...base, 'rewrite'];
  if (rewrite !== undefined) {
    if (!rewrite.uri && !rewrite.authority && rewrite.uriRegexRewrite === undefined)
      sink.error('missing-field', path, 'one of uri, authority and uriRegexRewrite is required');
    if (rewrite.uri && rewrite.uriRegexRewrite !== undefined)
      sink.error(
        'conflicting-fields',
        [...path, 'uriRegexRewrite'],
        'only one of uri and uriRegexRewrite may be given',
      );
    checkAuthority(rewrite.authority, [...path, 'authority'], sink);
    checkPathText(rewrite.uri, [...path, 'uri'], sink);
    if (rewrite.uriRegexRewrite !== undefined) checkRegexRewrite(rewrite.uriRegexRewrite, path, sink);
  }
  const operations = headers?.request;
  const names = [...Object.keys(operations?.set ?? {}), ...Object.keys(operations?.add ?? {})].filter(isAuthority);
  if (names.length + (rewrite?.authority ? 1 : 0) > 1)
    sink.error(
      'conflicting-fields',
      [...base, 'headers'],
      'the authority is set more than once (rewrite.authority, Host and :authority are the same)',
    );
}

function checkRegexRewrite(regexRewrite: { match: string; rewrite?: string }, base: Path, sink: Sink): void {
  const { match, rewrite = '' } = regexRewrite;
  const path = [...base, 'uriRegexRewrite'];
  const regex = checkRegex(match, [...path, 'match'], sink);
  checkPathText(rewrite, [...path, 'rewrite'], sink);
  const wrong = regex === null ? null : regex.checkSubstitution(rewrite);
  if (wrong !== null) sink.error('invalid-value', [...path, 'rewrite'], `${JSON.stringify(rewrite)} ${wrong}`);
}

function checkPercent(value: number | undefined, path: Path, sink: Sink): void {
  if (value === undefined) return;
  if (value < 0 || value > 100 || (value > 0 && value < 0.0001))
    sink.error('out-of-range', path, `expected 0, or 0.0001 to 100, got ${value}`);
}

function checkFault({ fault }: HttpRouteSpec, path: Path, sink: Sink): void {
  if (fault === undefined) return;
  const { delay, abort } = fault;
  if (delay === undefined && abort === undefined)
    sink.error('missing-field', path, 'one of delay and abort is required');
  if (delay !== undefined) {
    checkRange(delay.percent, 0, 100, [...path, 'delay', 'percent'], sink);
    checkPercent(delay.percentage?.value, [...path, 'delay', 'percentage', 'value'], sink);
    if (delay.fixedDelay === undefined) sink.error('missing-field', [...path, 'delay'], 'fixedDelay is required');
    else if (delay.fixedDelay <= 0)
      sink.error('out-of-range', [...path, 'delay', 'fixedDelay'], 'expected more than 0s: without delay leave it out');
    if (delay.percent === undefined && delay.percentage === undefined)
      sink.warning(
        'no-effect',
        [...path, 'delay'],
        'without percentage no request is delayed: write percentage: {value: 100}',
      );
  }
  if (abort !== undefined) {
    checkPercent(abort.percentage?.value, [...path, 'abort', 'percentage', 'value'], sink);
    checkRange(abort.httpStatus, 200, 599, [...path, 'abort', 'httpStatus'], sink);
    if (abort.grpcStatus !== undefined && !GRPC_CODES.some((code) => code === abort.grpcStatus))
      sink.error(
        'invalid-value',
        [...path, 'abort', 'grpcStatus'],
        `expected a status name such as "NOT_FOUND", got ${JSON.stringify(abort.grpcStatus)}`,
      );
    if (abort.httpStatus === undefined && abort.grpcStatus === undefined)
      sink.warning('no-effect', [...path, 'abort'], 'abort has no effect without httpStatus or grpcStatus');
    else if (abort.percentage === undefined)
      sink.warning(
        'no-effect',
        [...path, 'abort'],
        'without percentage no request is aborted: write percentage: {value: 100}',
      );
  }
}

const CORS_METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', '*']);

function checkCors({ corsPolicy }: HttpRouteSpec, path: Path, sink: Sink): void {
  if (corsPolicy === undefined) return;
  for (const [i, origin] of (corsPolicy.allowOrigins ?? []).entries()) {
    if (!origin.exact && !origin.prefix && !origin.regex)
      sink.error('missing-field', [...path, 'allowOrigins', i], 'one of exact, prefix and regex is required');
    else checkText(origin, false, [...path, 'allowOrigins', i], sink);
  }
  for (const [i, method] of (corsPolicy.allowMethods ?? []).entries()) {
    if (!CORS_METHODS.has(method))
      sink.error('invalid-value', [...path, 'allowMethods', i], `${JSON.stringify(method)} is not a method`);
  }
  for (const key of ['allowHeaders', 'exposeHeaders'] as const) {
    for (const [i, name] of (corsPolicy[key] ?? []).entries()) {
      if (name !== '*' && !isHeaderName(name))
        sink.error('invalid-header', [...path, key, i], `${JSON.stringify(name)} is not a header name`);
    }
  }
  if ((corsPolicy.maxAge ?? 0) % 1000 !== 0)
    sink.error('out-of-range', [...path, 'maxAge'], 'maxAge is told to browsers in whole seconds');
  if ((corsPolicy.allowOrigin ?? []).length > 0 && (corsPolicy.allowOrigins ?? []).length > 0)
    sink.warning('no-effect', [...path, 'allowOrigin'], 'allowOrigin has no effect beside allowOrigins');
}

function checkDestination(route: HttpDestinationSpec, path: Path, sink: Sink): void {
  const { host, subset, port } = route.destination;
  const at = [...path, 'destination'];
  if (host.includes('*') || (!isWildcardHost(host) && !isAddress(host)))
    sink.error('invalid-host', [...at, 'host'], `${JSON.stringify(host)} is not a host that can be called`);
  if (subset !== undefined && subset !== '' && !isLabel(subset))
    sink.error(
      'invalid-value',
      [...at, 'subset'],
      `${JSON.stringify(subset)} is not a subset's name: lower case letters, digits and -`,
    );
  if (port !== undefined) checkPort(port.number ?? 0, [...at, 'port', 'number'], sink);
  if (route.weight !== undefined && route.weight < 0)
    sink.error('out-of-range', [...path, 'weight'], `expected a weight of at least 0, got ${route.weight}`);
  checkHeaders(route.headers, [...path, 'headers'], sink);
}
