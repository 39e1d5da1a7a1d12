import type { Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import type { SharedCounts } from '../../base/shared-counts.ts';
import { SharedTokenBucket, TokenBucket } from '../../base/token-bucket.ts';
import type { SocketAddress } from '../../model/address.ts';
import type { ConnectionRateLimit, ListenerFilter, PortPredicate, ProxyProtocol } from '../../model/listener.ts';
import { type HttpPreface, HttpPrefaceSniffer } from '../../protocol/sniff/http-preface.ts';
import { sniffProxyHeader, versionOf } from '../../protocol/sniff/proxy-protocol.ts';
import { ClientHelloSniffer } from '../../protocol/sniff/tls-client-hello.ts';
import { plainAddress } from '../http/addresses.ts';
import type { StatStore } from '../telemetry/metrics/store.ts';

/** What is known of a connection before its chain is chosen; listener filters add to it. */
export interface ConnectionFacts {
  readonly directRemote: SocketAddress;
  remote: SocketAddress;
  local: SocketAddress;
  /** `local` is where the client wanted to go, as the kernel or a PROXY header says. */
  restored: boolean;
  serverName: string;
  /** '' until something is detected. */
  transportProtocol: string;
  applicationProtocols: readonly string[];
}

/** What a filter makes of the bytes so far: how many it takes away (0 or more: it is done), or one of these. */
export const Verdict = { More: -1, Close: -2 } as const;

/** A filter at work on one connection; `bytes`: all that was received and not taken, from the same start each time. */
export type Inspect = (bytes: Buffer) => number;

/** A listener filter compiled; shared by all connections of its listener. */
export interface ListenerFilterStep {
  readonly kind: ListenerFilter['kind'];
  /** True for destination ports where it is left out. */
  readonly disabled: ((port: number) => boolean) | null;
  /** Null: it needs no bytes, and is done; `close`: it does not want the connection. */
  begin(facts: ConnectionFacts, socket: Socket): Inspect | null | 'close';
}

/** What the filters need of the process. */
export interface ListenerFilterEnvironment {
  readonly stats: StatStore;
  readonly clock: Clock;
  readonly runtime: { boolean(key: string, fallback: boolean): boolean };
  /** Where a client wanted to go; null: it was not redirected, or nobody can tell. */
  originalDestination(socket: Socket): SocketAddress | null;
  /** Numbers that workers share, for the listener of that name; null: this thread is the only one. */
  readonly shared: { readonly counts: SharedCounts; readonly listener: string } | null;
}

export function compileListenerFilters(
  filters: readonly ListenerFilter[],
  env: ListenerFilterEnvironment,
): ListenerFilterStep[] {
  return filters.map((filter, i) => ({
    kind: filter.kind,
    disabled: filter.disabled === null ? null : compilePredicate(filter.disabled),
    begin: compileBegin(filter, i, env),
  }));
}

function compileBegin(filter: ListenerFilter, at: number, env: ListenerFilterEnvironment): ListenerFilterStep['begin'] {
  switch (filter.kind) {
    case 'proxy-protocol':
      return proxyProtocol(filter.proxyProtocol, env.stats);
    case 'tls-inspector':
      return tlsInspector(env.stats);
    case 'http-inspector':
      return httpInspector(env.stats);
    case 'original-dst':
      return (facts, socket) => {
        const destination = env.originalDestination(socket);
        if (destination === null) return null;
        facts.local = destination;
        facts.restored = true;
        return null;
      };
    case 'local-rate-limit':
      return localRateLimit(filter.limit, at, env);
  }
}

export function compilePredicate(predicate: PortPredicate): (port: number) => boolean {
  switch (predicate.kind) {
    case 'any':
      return () => true;
    case 'not': {
      const test = compilePredicate(predicate.of);
      return (port) => !test(port);
    }
    case 'or': {
      const tests = predicate.of.map(compilePredicate);
      return (port) => tests.some((test) => test(port));
    }
    case 'and': {
      const tests = predicate.of.map(compilePredicate);
      return (port) => tests.every((test) => test(port));
    }
    case 'ports':
      return (port) => port >= predicate.start && port < predicate.end;
  }
}

/** Envoy's counters outside the listener's tree, made on first use. */
function counters(store: StatStore, prefix: string): (name: string) => void {
  return (name) => {
    const dotted = `${prefix}${name}`;
    store.inc(store.counter(`envoy_${dotted.replaceAll('.', '_')}`, {}, dotted));
  };
}

/** Connections without a token are closed. */
function localRateLimit(
  limit: ConnectionRateLimit,
  at: number,
  env: ListenerFilterEnvironment,
): ListenerFilterStep['begin'] {
  const count = counters(env.stats, `listener_local_ratelimit.${limit.statPrefix}.`);
  const { maxTokens, tokensPerFill, fillIntervalMs } = limit;
  const { shared } = env;
  const bucket =
    shared === null
      ? new TokenBucket(maxTokens, tokensPerFill, fillIntervalMs)
      : new SharedTokenBucket(
          shared.counts,
          `listener ${shared.listener} ${at}`,
          maxTokens,
          tokensPerFill,
          fillIntervalMs,
        );
  const { byDefault, runtimeKey } = limit.enabled;
  return () => {
    const enabled = runtimeKey === '' ? byDefault : env.runtime.boolean(runtimeKey, byDefault);
    if (!enabled || bucket.take(env.clock.now())) return null;
    count('rate_limited');
    return 'close';
  };
}

function proxyProtocol(config: ProxyProtocol, store: StatStore): ListenerFilterStep['begin'] {
  const count = counters(store, `proxy_proto.${config.statPrefix === '' ? '' : `${config.statPrefix}.`}`);
  const legacy = counters(store, '');
  // Where a header may be missing, one of a version that is not allowed is none (Envoy's rule).
  const looked = config.optional ? config.versions : undefined;
  const refuse = (): number => {
    legacy('downstream_cx_proxy_proto_error');
    return Verdict.Close;
  };
  return (facts) => (bytes) => {
    const version = versionOf(bytes, looked);
    if (version === 'more') return Verdict.More;
    if (version === null) {
      count(config.optional ? 'not_found_allowed' : 'not_found_disallowed');
      return config.optional ? 0 : refuse();
    }
    if (!config.versions.includes(version)) {
      count(`versions.v${version}.found`);
      count(`versions.v${version}.disallowed`);
      return Verdict.Close;
    }
    const answer = sniffProxyHeader(bytes);
    if (answer.kind === 'more') return Verdict.More;
    if (answer.kind !== 'found') {
      count(`versions.v${version}.error`);
      return refuse();
    }
    count(`versions.v${version}.found`);
    const { addresses } = answer.value;
    if (addresses !== null) {
      facts.remote = { host: plainAddress(addresses.source.host), port: addresses.source.port };
      facts.local = { host: plainAddress(addresses.destination.host), port: addresses.destination.port };
      facts.restored = true;
    }
    return answer.length;
  };
}

function tlsInspector(store: StatStore): ListenerFilterStep['begin'] {
  const count = counters(store, 'tls_inspector.');
  return (facts) => {
    const sniffer = new ClientHelloSniffer();
    return (bytes) => {
      const answer = sniffer.read(bytes);
      if (answer.kind === 'more') return Verdict.More;
      if (answer.kind === 'found') {
        const { serverName, protocols } = answer.value;
        count('tls_found');
        count(serverName === '' ? 'sni_not_found' : 'sni_found');
        count(protocols.length === 0 ? 'alpn_not_found' : 'alpn_found');
        facts.transportProtocol = 'tls';
        facts.serverName = serverName;
        if (protocols.length > 0) facts.applicationProtocols = protocols;
        return 0;
      }
      if (answer.kind === 'malformed' && answer.tooLarge) {
        count('client_hello_too_large');
        return Verdict.Close;
      }
      // A broken ClientHello is for whoever speaks TLS to refuse, with an alert.
      count('tls_not_found');
      return 0;
    };
  };
}

const HTTP_STATS: Readonly<Record<HttpPreface, string>> = {
  'http/1.0': 'http10_found',
  'http/1.1': 'http11_found',
  h2c: 'http2_found',
};

function httpInspector(store: StatStore): ListenerFilterStep['begin'] {
  const count = counters(store, 'http_inspector.');
  return (facts) => {
    if (facts.transportProtocol !== '') return null;
    const sniffer = new HttpPrefaceSniffer();
    return (bytes) => {
      const answer = sniffer.read(bytes);
      if (answer.kind === 'more') return Verdict.More;
      if (answer.kind === 'found') {
        count(HTTP_STATS[answer.value]);
        facts.applicationProtocols = [answer.value];
        return 0;
      }
      if (answer.kind === 'malformed') {
        count('read_error');
        return Verdict.Close;
      }
      count('http_not_found');
      return 0;
    };
  };
}
