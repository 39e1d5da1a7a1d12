import { type NetConnectOpts, type OnReadOpts, Socket } from 'node:net';
import type { DuplexOptions } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { errorCode } from '../../base/errors.ts';
import { isIP } from '../../base/ip.ts';
import type { TransportSocketMatch, UpstreamTlsConfig } from '../../model/tls.ts';
import type { TlsInfo } from '../telemetry/tls-info.ts';
import type { Certificate } from '../tls/certificate-info.ts';
import { buildContext, type TlsContext } from '../tls/context.ts';
import type { TlsContexts } from '../tls/contexts.ts';
import {
  chainResult,
  handshakeFailure,
  isTlsError,
  localCertificate,
  peerCertificate,
  tlsInfo,
} from '../tls/handshake.ts';
import { MaterialSource, secretsOfContext } from '../tls/material.ts';
import { TlsStats } from '../tls/stats.ts';
import { fingerprint } from './fingerprint.ts';

/** Whom a connection is for, where requests say so (`auto_sni`, `auto_san_validation`); '' for what they do not. */
export interface ServerIdentity {
  readonly sni: string;
  /** The name that the server's certificate must have. */
  readonly san: string;
  /** HTTP/1.1 is what will be spoken. */
  readonly http?: true;
}

export const ANY_SERVER: ServerIdentity = { sni: '', san: '' };
export const ANY_HTTP_SERVER: ServerIdentity = { sni: '', san: '', http: true };

/**
 * What is offered for HTTP/1.1 where a cluster offers Istio's `istio` alone, because only its connections say what is
 * spoken: what Istio's own ALPN filter offers then (istio.io/istio, xds/filters: ALPNOverride).
 */
const ISTIO_HTTP = ['istio-http/1.1', 'istio', 'http/1.1'];

/** What only agrees on HTTP/2, which is not spoken yet, is not offered. */
function httpProtocolsOf(configured: readonly string[]): readonly string[] {
  const alpn = configured.filter((name) => name !== 'h2' && name !== 'istio-h2');
  const inMesh = alpn.includes('istio') && alpn.every((name) => name === 'istio' || name === 'istio-peer-exchange');
  return inMesh ? ISTIO_HTTP : alpn;
}

/** Why a TLS connection was not made; the message is the whole reason. */
export class TlsFailure extends Error {}

export type ConnectOptions = NetConnectOpts & DuplexOptions & { readonly onread?: OnReadOpts | undefined };

/** Endpoints and names whose sessions are kept; beyond, the oldest are forgotten. */
const MAX_SESSION_OWNERS = 1000;

interface Session {
  readonly ticket: Buffer;
  /** What the full handshake showed: a resumed one shows no certificate. */
  readonly peer: Certificate | null;
  readonly validated: boolean;
  /** TLS 1.3 tickets are used once (RFC 8446, C.4). */
  readonly once: boolean;
}

const infos = new WeakMap<Socket, TlsInfo>();

/** What the handshake of an upstream connection showed; null for plain TCP. */
export function upstreamTlsInfo(socket: Socket): TlsInfo | null {
  return infos.get(socket) ?? null;
}

/** The TLS of a transport socket towards endpoints: follows its secrets and files, keeps sessions, verifies servers. */
export class UpstreamTls {
  readonly #config: UpstreamTlsConfig;
  readonly #contexts: TlsContexts;
  readonly #stats: TlsStats;
  readonly #cluster: string;
  #source: MaterialSource | null = null;
  readonly #sessions = new Map<string, Session[]>();
  readonly #httpProtocols: readonly string[];
  /** In force; null until its secrets have come. */
  current: TlsContext | null = null;

  /** `cluster`: its name for stats and the log. */
  constructor(config: UpstreamTlsConfig, cluster: string, contexts: TlsContexts) {
    this.#config = config;
    this.#contexts = contexts;
    this.#httpProtocols = httpProtocolsOf(config.common.alpn);
    this.#stats = new TlsStats(contexts.stats, 'cluster', cluster);
    this.#cluster = cluster;
    // A context costs a millisecond and tens of kB. In a mesh of a thousand services most are never called, and this
    // process's own identity is there when they are.
    if (!secretsOfContext(config.common).some(({ from }) => from === 'agent')) this.#source = this.#followSource();
    contexts.add(this);
  }

  #followSource(): MaterialSource {
    const { common } = this.#config;
    return new MaterialSource(common, `cluster ${this.#cluster}`, this.#contexts, (material) => {
      this.current = buildContext(common, material, {}, () => this.#contexts.clock.wall());
      // Sessions from under other roots would skip the new ones.
      this.#sessions.clear();
    });
  }

  refresh(): void {
    this.#source?.refresh();
  }

  close(): void {
    this.#source?.close();
    this.#contexts.remove(this);
    this.#sessions.clear();
  }

  /** Connects; the socket emits `secureConnect` once the server has been verified, or `error` and `close`. */
  connect(options: ConnectOptions, address: string, server: ServerIdentity): Socket {
    this.#source ??= this.#followSource();
    const { current } = this;
    if (current === null) {
      this.#stats.secretsNotReady();
      const socket = new Socket();
      socket.destroy(new TlsFailure(`TLS error: Secret is not supplied by SDS: ${this.#source.reason}`));
      return socket;
    }
    const { common } = this.#config;
    const sni = server.sni || this.#config.sni;
    const alpn = server.http === true ? this.#httpProtocols : common.alpn;
    const owner = `${address} ${sni} ${server.san} ${server.http ?? false}`;
    const session = this.#takeSession(owner);
    const secured = process.getBuiltinModule('node:tls').connect({
      ...options,
      secureContext: current.secure,
      // What comes of the verification is decided here, not by Node.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...(sni === '' || isIP(sni) !== 0 ? {} : { servername: sni }),
      ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
      ...(session === null ? {} : { session: session.ticket }),
    });
    this.#follow(secured, current, owner, session, server.san);
    return secured;
  }

  #follow(secured: TLSSocket, context: TlsContext, owner: string, offered: Session | null, san: string): void {
    /** Where the connection is: errors before there was TCP, and after the handshake, are not of TLS. */
    let stage: 'dialling' | 'handshake' | 'ready' = 'dialling';
    secured.on('connect', () => {
      stage = 'handshake';
    });
    /** What came before the server was verified. */
    let early: Buffer | null = null;
    let verified: { peer: Certificate | null; validated: boolean } | null = null;
    const keep = (ticket: Buffer): void => {
      if (verified !== null) this.#keepSession(owner, secured, ticket, verified, context);
      else early = ticket;
    };
    secured.on('session', keep);
    secured.on('secureConnect', () => {
      const result = this.#verify(secured, context, offered, san);
      if (result === null) return;
      stage = 'ready';
      verified = result;
      if (early !== null) keep(early);
    });
    secured.on('error', (error) => {
      // A peer that goes away is no error of TLS (Envoy: SslSocket::drainErrorQueue).
      if (stage === 'handshake' && isTlsError(error)) this.#stats.count('connection_error');
      // Bytes that are no record: Node has sent OpenSSL's alert, and leaves the socket open.
      if (stage === 'ready' && isTlsError(error)) {
        this.#stats.count('connection_error');
        secured.destroy();
      }
    });
  }

  /** Lets a server in, or destroys the connection and answers null. */
  #verify(
    secured: TLSSocket,
    context: TlsContext,
    offered: Session | null,
    san: string,
  ): { peer: Certificate | null; validated: boolean } | null {
    const reused = secured.isSessionReused() && offered !== null;
    let peer: Certificate | null;
    let validated: boolean;
    if (reused) {
      ({ peer, validated } = offered);
    } else {
      try {
        peer = peerCertificate(secured);
      } catch (error) {
        this.#stats.count('fail_verify_error');
        secured.destroy(
          new TlsFailure(`TLS error: the server's certificate cannot be read: ${handshakeFailure(error)}`),
        );
        return null;
      }
      const verdict = context.validator?.check(peer, chainResult(secured), san);
      if (verdict?.failure != null) {
        this.#stats.count(verdict.failure.stat);
        secured.destroy(new TlsFailure(`TLS error: ${verdict.failure.reason}`));
        return null;
      }
      if (verdict?.forgiven !== undefined) this.#stats.count(verdict.forgiven);
      validated = verdict?.validated ?? false;
    }
    const local = localCertificate(secured, context.material.certificates);
    const info = tlsInfo(secured, peer, validated, local);
    this.#stats.handshake(info.version, info.cipher, info.sessionReused);
    infos.set(secured, info);
    return { peer, validated };
  }

  #takeSession(owner: string): Session | null {
    const sessions = this.#sessions.get(owner);
    const last = sessions?.at(-1);
    if (sessions === undefined || last === undefined) return null;
    if (last.once) sessions.pop();
    return last;
  }

  #keepSession(
    owner: string,
    secured: TLSSocket,
    ticket: Buffer,
    { peer, validated }: { peer: Certificate | null; validated: boolean },
    context: TlsContext,
  ): void {
    const { maxSessionKeys } = this.#config;
    if (maxSessionKeys === 0 || context !== this.current) return;
    let sessions = this.#sessions.get(owner);
    if (sessions === undefined) {
      const [oldest] = this.#sessions.keys();
      if (this.#sessions.size >= MAX_SESSION_OWNERS && oldest !== undefined) this.#sessions.delete(oldest);
      sessions = [];
      this.#sessions.set(owner, sessions);
    }
    sessions.push({ ticket, peer, validated, once: secured.getProtocol() === 'TLSv1.3' });
    if (sessions.length > maxSessionKeys) sessions.shift();
  }
}

/** The TLS of a cluster: one for all endpoints, or by their metadata. Shared by a cluster and who takes over from it. */
export class ClusterTls {
  readonly #default: UpstreamTls | null;
  readonly #matches: readonly {
    readonly match: readonly (readonly [string, string])[];
    readonly tls: UpstreamTls | null;
  }[];
  #users = 1;

  constructor(
    config: UpstreamTlsConfig | null,
    matches: readonly TransportSocketMatch[],
    cluster: string,
    contexts: TlsContexts,
  ) {
    const make = (one: UpstreamTlsConfig | null): UpstreamTls | null =>
      one === null ? null : new UpstreamTls(one, cluster, contexts);
    this.#default = make(config);
    this.#matches = matches.map(({ match, tls }) => ({ match: Object.entries(match), tls: make(tls) }));
  }

  /** What to connect by to an endpoint with that metadata; null: plain TCP. */
  of(metadata: Readonly<Record<string, string>> | null): UpstreamTls | null {
    for (const { match, tls } of this.#matches) {
      if (match.every(([key, value]) => metadata?.[key] === value)) return tls;
    }
    return this.#default;
  }

  retain(): this {
    this.#users++;
    return this;
  }
  release(): void {
    if (--this.#users > 0) return;
    this.#default?.close();
    for (const { tls } of this.#matches) tls?.close();
  }
}

/** The same for configs whose connections may be shared. */
export function tlsPrint(config: {
  readonly tls?: UpstreamTlsConfig;
  readonly socketMatches?: readonly TransportSocketMatch[];
}): string {
  return fingerprint([config.tls ?? null, config.socketMatches ?? []]);
}

/** The event that says that a socket may be written to. */
export function readyEvent(socket: Socket): 'connect' | 'secureConnect' {
  return 'encrypted' in socket ? 'secureConnect' : 'connect';
}

/** Why a connection ended, in a word or a sentence: a system error's code, or what TLS said. */
export function failureOf(socket: Socket, error: Error): string {
  const code = errorCode(error);
  if (!('encrypted' in socket) || code === undefined) return code ?? error.message;
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_')) return `TLS error: ${handshakeFailure(error)}`;
  if (code === 'ECONNRESET' && error.message.includes('before secure TLS connection')) {
    return 'TLS error: the server closed the connection during the handshake';
  }
  return code;
}
