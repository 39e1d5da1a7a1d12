import type { Socket } from 'node:net';
import type { SecureContext, TLSSocket } from 'node:tls';
import { errorCode } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { WheelTimer } from '../../base/timer-wheel.ts';
import type { DownstreamTlsConfig } from '../../model/tls.ts';
import type { CertificateInfo, TlsInfo } from '../telemetry/tls-info.ts';
import type { TlsContext } from '../tls/context.ts';
import type { TlsContexts } from '../tls/contexts.ts';
import {
  chainResult,
  handshakeFailure,
  isTlsError,
  localCertificate,
  peerCertificate,
  tlsInfo,
} from '../tls/handshake.ts';
import { MaterialSource } from '../tls/material.ts';
import { buildServerContext, TicketKeys } from '../tls/server-context.ts';
import { TlsStats } from '../tls/stats.ts';
import type { PeerVerdict } from '../tls/validator.ts';

/** What a ClientHello says before the handshake goes on. */
export interface ClientHelloFacts {
  /** SNI; '' none. */
  readonly serverName: string;
  readonly alpn: readonly string[];
}

/** Shared by all whose context says nothing of peers. */
const NOT_ASKED: PeerVerdict = { failure: null, validated: false };

/**
 * The TLS of a filter chain: made once from its transport socket, and following its secrets and files from then on. New
 * handshakes use what came last; connections keep what they were made with.
 */
export class DownstreamTls {
  readonly config: DownstreamTlsConfig;
  readonly stats: TlsStats;
  readonly contexts: TlsContexts;
  readonly log: Logger;
  readonly #source: MaterialSource;
  readonly #tickets: TicketKeys;
  /** In force; null until its secrets have come. */
  current: TlsContext | null = null;

  /** `listener`: its name, for the log. `statPrefix`: of its stats. */
  constructor(config: DownstreamTlsConfig, listener: string, contexts: TlsContexts, statPrefix = listener) {
    this.config = config;
    this.contexts = contexts;
    this.log = contexts.log;
    this.stats = new TlsStats(contexts.stats, 'listener', statPrefix.replaceAll(':', '_'));
    this.#tickets = new TicketKeys(config, contexts);
    this.#source = new MaterialSource(config.common, `listener ${listener}`, contexts, (material) => {
      this.current = buildServerContext(config, material, this.#tickets.current(), () => contexts.clock.wall());
    });
    this.#tickets.onChange(this.#source.refresh);
    contexts.add(this);
  }

  /** Why it takes no connections; '' when it does. */
  get reason(): string {
    return this.current === null ? this.#source.reason : '';
  }

  /** Reads its files again. */
  refresh(): void {
    this.#source.refresh();
  }

  /** From the end of the handshake: bytes that are no record end the connection, and are counted as in Envoy (SslSocket::drainErrorQueue). */
  watch(secured: TLSSocket): void {
    // As Node's own server does: until then an error of TLS is told to nobody.
    (secured as unknown as { _releaseControl?: () => void })._releaseControl?.();
    secured.on('error', (error) => {
      if (!isTlsError(error)) return;
      this.stats.count('connection_error');
      this.log.debug('TLS connection broken', { reason: handshakeFailure(error) });
      // Node has sent OpenSSL's alert, and leaves the socket open.
      secured.destroy();
    });
  }

  /** Stops following; connections go on. */
  close(): void {
    this.#source.close();
    this.#tickets.close();
    this.contexts.remove(this);
  }
}

/**
 * Wraps an accepted socket, whose first bytes may have been put back with `socket.unshift()`. Calls back once: with a
 * secured socket and what the handshake showed, or with null and why it failed; that has then been counted and logged,
 * and the socket destroyed.
 *
 * `hello`: what its ClientHello says, where that was read. Its name chooses the certificates; without it Node asks for
 * a context in the handshake, and takes but one certificate of that, ECDSA before RSA, unless it is the default context.
 * And it decides whether to agree on a protocol: where none of ours is offered none is agreed on, as in
 * Envoy, while without it such a handshake fails with `no_application_protocol` (RFC 7301, 3.2).
 */
export function acceptTls(
  socket: Socket,
  context: DownstreamTls,
  onDone: (secured: { socket: TLSSocket; info: TlsInfo } | null, failure?: string) => void,
  hello?: ClientHelloFacts,
): void {
  const { current } = context;
  if (current === null) {
    context.stats.secretsNotReady();
    context.log.debug('no TLS handshake', { reason: context.reason });
    socket.destroy();
    onDone(null, `Secret is not supplied by SDS: ${context.reason}`);
    return;
  }
  new Handshake(socket, context, current, onDone, hello).start();
}

class Handshake {
  readonly #socket: Socket;
  readonly #tls: DownstreamTls;
  readonly #context: TlsContext;
  readonly #onDone: (secured: { socket: TLSSocket; info: TlsInfo } | null, failure?: string) => void;
  readonly #hello: ClientHelloFacts | undefined;
  readonly #timer: WheelTimer;
  #secured: TLSSocket | null = null;
  #done = false;

  constructor(
    socket: Socket,
    tls: DownstreamTls,
    context: TlsContext,
    onDone: (secured: { socket: TLSSocket; info: TlsInfo } | null, failure?: string) => void,
    hello: ClientHelloFacts | undefined,
  ) {
    this.#socket = socket;
    this.#tls = tls;
    this.#context = context;
    this.#onDone = onDone;
    this.#hello = hello;
    this.#timer = new WheelTimer(() => {
      this.#tls.stats.handshakeTimeout();
      this.#fail('the handshake took too long', false);
    });
  }

  start(): void {
    const { config, contexts } = this.#tls;
    const { TLSSocket: Secured } = process.getBuiltinModule('node:tls');
    const { byName, secure: fallback } = this.#context;
    const serverName = this.#hello?.serverName;
    const secure = serverName === undefined ? fallback : (byName?.find(serverName) ?? fallback);
    const alpn = this.#protocols();
    const secured = new Secured(this.#socket, {
      isServer: true,
      secureContext: secure,
      // What comes of the verification is decided here, not by Node: only here is it counted and explained. Of a
      // server without Node's `tls.Server` the option means only that no certificate is a failure, with OpenSSL's alert.
      requestCert: this.#asksPeer,
      rejectUnauthorized: this.#needsPeer,
      ...(alpn.length === 0 ? {} : { ALPNProtocols: alpn }),
      ...(byName === null || serverName !== undefined
        ? {}
        : {
            SNICallback: (name: string, chosen: (error: Error | null, context?: SecureContext) => void) => {
              const named = byName.find(name);
              // Not answering leaves the default context whole.
              if (named === undefined || named === secure) chosen(null);
              else chosen(null, named);
            },
          }),
    });
    this.#secured = secured;
    secured.on('secure', this.#onSecure);
    secured.on('error', this.#onError);
    secured.on('end', this.#onEnd);
    secured.on('close', this.#onClose);
    if (config.handshakeTimeoutMs > 0) contexts.wheel.arm(this.#timer, config.handshakeTimeoutMs);
  }

  get #asksPeer(): boolean {
    return this.#tls.config.requireClientCertificate || this.#context.validator?.asks === true;
  }

  get #needsPeer(): boolean {
    return this.#tls.config.requireClientCertificate || this.#context.validator?.needsCertificate === true;
  }

  #protocols(): string[] {
    const { alpn } = this.#tls.config.common;
    const offered = this.#hello?.alpn;
    return offered === undefined || alpn.some((protocol) => offered.includes(protocol)) ? [...alpn] : [];
  }

  readonly #onSecure = (): void => {
    const secured = this.#secured!;
    const { config, stats } = this.#tls;
    let peer: CertificateInfo | null = null;
    let verdict = NOT_ASKED;
    try {
      if (this.#asksPeer) {
        const certificate = peerCertificate(secured);
        peer = certificate;
        if (certificate === null && config.requireClientCertificate) {
          stats.count('fail_verify_no_cert');
          this.#fail('the client sent no certificate, and one is required', false);
          return;
        }
        verdict = this.#context.validator?.check(certificate, chainResult(secured)) ?? NOT_ASKED;
      }
    } catch (error) {
      stats.count('fail_verify_error');
      this.#fail(`the client's certificate cannot be read: ${handshakeFailure(error)}`, false);
      return;
    }
    if (verdict.failure !== null) {
      stats.count(verdict.failure.stat);
      this.#fail(verdict.failure.reason, false);
      return;
    }
    if (verdict.forgiven !== undefined) stats.count(verdict.forgiven);
    const { certificates } = this.#context.material;
    const info = tlsInfo(secured, peer, verdict.validated, localCertificate(secured, certificates));
    if (config.requireSni && info.requestedServerName === '') {
      this.#fail('the client named no server (SNI), and a name is required');
      return;
    }
    stats.handshake(info.version, info.cipher, info.sessionReused);
    if (peer === null) stats.count('no_certificate');
    this.#settle();
    this.#tls.watch(secured);
    this.#onDone({ socket: secured, info });
  };

  readonly #onError = (error: Error): void => {
    const noCertificate = errorCode(error) === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE';
    if (noCertificate) this.#tls.stats.count('fail_verify_no_cert');
    this.#fail(
      noCertificate ? 'the client sent no certificate, and one is required' : handshakeFailure(error),
      // Who goes away is no error of TLS (Envoy: SslSocket::drainErrorQueue).
      isTlsError(error) && !noCertificate,
    );
  };
  readonly #onEnd = (): void => this.#fail('the client ended the connection during the handshake', false);
  readonly #onClose = (): void => this.#fail('the connection closed during the handshake', false);

  /** No longer a matter of the handshake: the listeners of whoever takes over are the only ones. */
  #settle(): void {
    const secured = this.#secured!;
    this.#done = true;
    this.#tls.contexts.wheel.release(this.#timer);
    secured.off('secure', this.#onSecure);
    secured.off('error', this.#onError);
    secured.off('end', this.#onEnd);
    secured.off('close', this.#onClose);
  }

  #fail(reason: string, connectionError = true): void {
    if (this.#done) return;
    this.#settle();
    const { stats, log } = this.#tls;
    if (connectionError) stats.count('connection_error');
    log.debug('TLS handshake failed', { client: this.#socket.remoteAddress, reason });
    // Errors that come after the end are nobody's.
    this.#secured!.on('error', () => {});
    this.#secured!.destroy();
    this.#socket.destroy();
    this.#onDone(null, reason);
  }
}
