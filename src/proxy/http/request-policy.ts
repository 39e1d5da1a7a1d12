import { isIP } from '../../base/ip.ts';
import { uuid } from '../../base/random.ts';
import type { Headers } from '../../protocol/http/headers.ts';
import type { RequestHead } from '../../protocol/http/message.ts';
import type { LocalReply } from '../filters/filter.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import { applyClientCert } from './client-cert.ts';
import type { ConnectionManager } from './connection-manager.ts';
import { asMapped, detected } from './original-ip.ts';
import { originalIpReply } from './replies.ts';

/**
 * What a connection manager does to every request head before routing: who the client is, whether it may be
 * trusted, and the headers that follow from both (Envoy: conn_manager_utility.cc `mutateRequestHeaders`).
 */

/** Headers that steer the proxy: honoured from internal callers, removed from others (Envoy: `cleanInternalHeaders`). */
const STEERING_HEADERS: ReadonlySet<string> = new Set([
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-force-trace',
  'x-envoy-hedge-on-per-try-timeout',
  'x-envoy-ip-tags',
  'x-envoy-max-retries',
  'x-envoy-original-url',
  'x-envoy-retriable-header-names',
  'x-envoy-retriable-status-codes',
  'x-envoy-retry-grpc-on',
  'x-envoy-retry-on',
  'x-envoy-upstream-alt-stat-name',
  'x-envoy-upstream-rq-per-try-timeout-ms',
  'x-envoy-upstream-rq-timeout-alt-response',
  'x-envoy-upstream-rq-timeout-ms',
  'x-envoy-upstream-stream-duration-ms',
]);

/** What only proxies of ours say: removed as well where strangers come in. */
const PROXY_HEADERS: ReadonlySet<string> = new Set([
  'x-envoy-decorator-operation',
  'x-envoy-downstream-service-cluster',
  'x-envoy-downstream-service-node',
  'x-envoy-original-host',
  'x-envoy-original-path',
]);

/** What one pass over the header lines found; reused, since it is read at once. */
const found = {
  forwardedFor: -1,
  forwardedProto: -1,
  requestId: -1,
  clientCert: false,
  envoy: false,
  underscore: false,
};

/**
 * Prepares a head for routing. Answers true when the caller is trusted (internal), so that `x-envoy-*`
 * headers may steer the request; or the refusal of one whose address must be known and is not.
 */
export function applyRequestPolicy(
  head: RequestHead,
  info: StreamInfo,
  manager: ConnectionManager,
): boolean | LocalReply {
  const { config } = manager;
  const { headers } = head;
  const peer = info.connection.remote.host;
  const options = manager.requestOptions;
  if (options !== null) {
    info.remote = peer;
    options.mutateEarly(head, info);
  }
  scan(head);
  const forwardedFor = found.forwardedFor >= 0 ? headers.getJoined('x-forwarded-for') : undefined;
  // Not the scheme of the target, which is the client's to say.
  const spoken = info.connection.tlsVersion === '' ? 'http' : 'https';
  let internal: boolean;
  let address = '';
  if (config.useRemoteAddress) {
    if (config.xffNumTrustedHops > 0 && forwardedFor !== undefined) {
      address = addressFromEnd(forwardedFor, config.xffNumTrustedHops - 1);
    }
    info.remote = address || peer;
    internal = forwardedFor === undefined && manager.internal.contains(peer);
    if (!config.skipXffAppend) {
      appendForwardedFor(headers, forwardedFor, options?.mapped ? asMapped(peer) : peer);
    }
    if (found.forwardedProto < 0 || config.xffNumTrustedHops === 0) headers.set('x-forwarded-proto', spoken);
  } else if (options?.originalIp) {
    options.originalIp.detect(head);
    if (detected.rejectStatus > 0) return originalIpReply(detected.rejectStatus);
    info.remote = detected.address || peer;
    internal = detected.trusted && manager.internal.contains(detected.address);
    if (found.forwardedProto < 0) headers.add('x-forwarded-proto', spoken);
  } else {
    if (forwardedFor !== undefined) address = addressFromEnd(forwardedFor, config.xffNumTrustedHops);
    info.remote = address || peer;
    // A single internal address in X-Forwarded-For is a call between internal services; without it nobody vouches.
    internal = address !== '' && !forwardedFor!.includes(',') && manager.internal.contains(address);
    if (found.forwardedProto < 0) headers.add('x-forwarded-proto', spoken);
  }
  if (options !== null) options.setTarget(head, info);
  const edge = config.useRemoteAddress && !internal;
  if (found.envoy) sanitize(headers, internal, edge);
  const internalOnly = manager.tableFor(head)?.config.internalOnlyHeaders;
  if (internalOnly !== undefined && !internal) for (const name of internalOnly) headers.remove(name);
  if (options !== null) options.setCaller(head);
  if (edge) headers.set('x-envoy-external-address', options?.mapped ? asMapped(info.remote) : info.remote);
  if (internal) headers.set('x-envoy-internal', 'true');
  if (config.generateRequestId) {
    if (found.requestId < 0) headers.add('x-request-id', uuid(manager.env.random));
    else if (edge && !config.preserveExternalRequestId) headers.set('x-request-id', uuid(manager.env.random));
  }
  if (found.clientCert || config.clientCert !== undefined) {
    applyClientCert(headers, found.clientCert, config.clientCert, info.connection.tls);
  }
  if (config.via !== '') headers.add('via', config.via);
  return internal;
}

/** Takes off what the caller may not say. Between sidecars there is always a line to look at, so others are passed by. */
function sanitize(headers: Headers, internal: boolean, edge: boolean): void {
  const { raw, offsets, count, added } = headers;
  for (let i = 0; i < count; i++) {
    if (offsets[i * 4 + 1]! < 0 || !isEnvoyName(raw, offsets[i * 4]!)) continue;
    if (isForbidden(headers.nameAt(i).toLowerCase(), internal, edge)) headers.removeLine(i);
  }
  for (let i = added.length - 2; i >= 0; i -= 2) {
    const name = added[i]!;
    if (isEnvoyName(name, 0) && isForbidden(name.toLowerCase(), internal, edge)) added.splice(i, 2);
  }
}

/** Whether `x-e` stands there. */
function isEnvoyName(text: string, at: number): boolean {
  return (
    (text.charCodeAt(at) | 0x20) === 0x78 &&
    text.charCodeAt(at + 1) === 0x2d &&
    (text.charCodeAt(at + 2) | 0x20) === 0x65
  );
}

function isForbidden(name: string, internal: boolean, edge: boolean): boolean {
  if (name === 'x-envoy-internal') return true;
  return (!internal && STEERING_HEADERS.has(name)) || (edge && PROXY_HEADERS.has(name));
}

function appendForwardedFor(headers: Headers, before: string | undefined, peer: string): void {
  headers.set('x-forwarded-for', before === undefined || before === '' ? peer : `${before},${peer}`);
}

/** Whether a header name holds an underscore, for `headers_with_underscores_action`. */
export function hasUnderscoreName(head: RequestHead): boolean {
  const { headers } = head;
  for (let i = 0; i < headers.count; i++) if (headers.nameAt(i).includes('_')) return true;
  return false;
}

function scan(head: RequestHead): void {
  found.forwardedFor = -1;
  found.forwardedProto = -1;
  found.requestId = -1;
  found.clientCert = false;
  found.envoy = false;
  const { headers } = head;
  const { raw, offsets, count } = headers;
  for (let i = 0; i < count; i++) {
    const start = offsets[i * 4]!;
    const c = raw.charCodeAt(start);
    if ((c !== 0x78 && c !== 0x58) || raw.charCodeAt(start + 1) !== 0x2d) continue;
    switch (offsets[i * 4 + 1]! - start) {
      case 12:
        if (headers.lineIs(i, 'x-request-id')) found.requestId = i;
        break;
      case 15:
        if (headers.lineIs(i, 'x-forwarded-for')) found.forwardedFor = i;
        break;
      case 17:
        if (headers.lineIs(i, 'x-forwarded-proto')) found.forwardedProto = i;
        break;
      case 23:
        if (headers.lineIs(i, 'x-forwarded-client-cert')) found.clientCert = true;
        break;
      default:
    }
    const e = raw.charCodeAt(start + 2);
    if (e === 0x65 || e === 0x45) found.envoy = true;
  }
  // Headers that were added since it was read: there are few, and mostly none.
  const { added } = headers;
  for (let i = 0; i < added.length; i += 2) {
    const name = added[i]!.toLowerCase();
    if (name === 'x-request-id') found.requestId = count;
    else if (name === 'x-forwarded-for') found.forwardedFor = count;
    else if (name === 'x-forwarded-proto') found.forwardedProto = count;
    else if (name.startsWith('x-envoy-')) found.envoy = true;
  }
}

/** The `index`-th address of X-Forwarded-For counted from its end; '' when there are fewer, or it is no address. */
function addressFromEnd(forwardedFor: string, index: number): string {
  let end = forwardedFor.length;
  for (let i = 0; ; i++) {
    const comma = forwardedFor.lastIndexOf(',', end - 1);
    if (i === index) {
      const address = forwardedFor.slice(comma + 1, end).trim();
      return isIP(address) === 0 ? '' : address;
    }
    if (comma <= 0) return '';
    end = comma;
  }
}
