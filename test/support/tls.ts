import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { type ConnectionOptions, createSecureContext, TLSSocket, connect as tlsConnect } from 'node:tls';
import { onTestFinished } from 'vitest';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { LogRoot } from '../../src/base/log.ts';
import { TimerWheel } from '../../src/base/timer-wheel.ts';
import type { DownstreamTlsConfig, TlsSecret, UpstreamTlsConfig } from '../../src/model/tls.ts';
import { acceptTls, type ClientHelloFacts, type DownstreamTls } from '../../src/proxy/listener/tls.ts';
import { StatStore } from '../../src/proxy/telemetry/metrics/store.ts';
import type { TlsInfo } from '../../src/proxy/telemetry/tls-info.ts';
import { TlsContexts } from '../../src/proxy/tls/contexts.ts';
import { fromJson, type MessageType, Problems } from '../../src/xds/proto/codec.ts';
import {
  DownstreamTlsContext,
  Secret,
  UpstreamTlsContext,
} from '../../src/xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import { type ContextParts, decodeContext } from '../../src/xds/resources/context.ts';
import { Decoding } from '../../src/xds/resources/decoding.ts';
import { decodeSecret } from '../../src/xds/resources/secret.ts';
import { decodeDownstreamTls, decodeUpstreamTls } from '../../src/xds/resources/tls-context.ts';
import { certPath, key, pem } from './certs/index.ts';

type Json = Record<string, unknown>;

/** `tls_certificates` entry of one of the test certificates, inline. */
export function inlineCertificate(name: string, keyName = name.replace(/-chain$/, '')): Json {
  return { certificate_chain: { inline_string: pem(name) }, private_key: { inline_string: key(keyName) } };
}

/** The same, by the names of its files. */
export function fileCertificate(name: string): Json {
  return {
    certificate_chain: { filename: certPath(`${name}.pem`) },
    private_key: { filename: certPath(`${name.replace(/-chain$/, '')}.key`) },
  };
}

export function trusting(...roots: string[]): Json {
  return { trusted_ca: { inline_string: roots.map(pem).join('') } };
}

/** What decoding a message of TLS gave, with all that is wrong. */
export function decodeTls<W extends object, M>(
  type: MessageType<W>,
  json: Json,
  decode: (message: W, s: Decoding) => M,
  parts: ContextParts = {},
): { model: M; errors: string[]; warnings: string[] } {
  const problems = new Problems();
  const message = fromJson(type, json, problems);
  const s = new Decoding(decodeContext(parts), problems);
  if (problems.ok) s.check(type, message, '');
  const model = decode(message, s);
  const say = ({ path, reason }: { path: string; reason: string }): string => `${path}: ${reason}`;
  return { model, errors: problems.list.map(say), warnings: s.warnings.list.map(say) };
}

function whole<M>({ model, errors }: { model: M; errors: string[] }): M {
  if (errors.length > 0) throw new Error(errors.join('\n'));
  return model;
}

export function downstreamConfig(json: Json, handshakeTimeoutMs?: number): DownstreamTlsConfig {
  return whole(
    decodeTls(DownstreamTlsContext, json, (message, s) => decodeDownstreamTls(message, 'tls', handshakeTimeoutMs, s)),
  );
}

export function upstreamConfig(json: Json): UpstreamTlsConfig {
  return whole(decodeTls(UpstreamTlsContext, json, (message, s) => decodeUpstreamTls(message, 'tls', s)));
}

export function secret(json: Json): TlsSecret {
  const decoded = whole(decodeTls(Secret, json, (message, s) => decodeSecret(message, '', s)));
  if (decoded === undefined) throw new Error('no secret');
  return decoded;
}

/** What TLS contexts share, with the log and the stats to look at. */
export class TestContexts extends TlsContexts {
  readonly lines: string[];

  constructor(clock: Clock = systemClock, secrets: TlsSecret[] = []) {
    const lines: string[] = [];
    const log = new LogRoot(clock, (line) => lines.push(line), 'debug').logger();
    const wheel = new TimerWheel(clock);
    super({ clock, wheel, log, stats: new StatStore(), secrets });
    this.lines = lines;
    onTestFinished(() => {
      this.close();
      wheel.close();
    });
  }

  stat(dotted: string): number {
    for (const series of this.stats.series()) if (series.dotted === dotted) return this.stats.value(series.id);
    return 0;
  }
}

/** One handshake as the server saw it. */
export type Accepted = { socket: TLSSocket; info: TlsInfo } | null;

/** A server whose every connection goes through `acceptTls`; it answers each chunk with itself. */
export class TlsEcho {
  readonly port: number;
  readonly accepted: Accepted[] = [];
  readonly #wakers: (() => void)[] = [];

  static async start(
    tls: DownstreamTls,
    options: { hello?: ClientHelloFacts; sniff?: boolean } = {},
  ): Promise<TlsEcho> {
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => sockets.delete(socket));
      const accept = (): void => acceptTls(socket, tls, (result) => echo.#onAccepted(result), options.hello);
      if (options.sniff !== true) accept();
      else {
        socket.once('data', (chunk) => {
          socket.pause();
          socket.unshift(chunk);
          accept();
        });
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const echo = new TlsEcho((server.address() as AddressInfo).port);
    onTestFinished(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    });
    return echo;
  }

  private constructor(port: number) {
    this.port = port;
  }

  /** What came of handshake number `index`, once it is known. */
  async result(index: number): Promise<Accepted> {
    while (this.accepted.length <= index) await new Promise<void>((resolve) => this.#wakers.push(resolve));
    return this.accepted[index]!;
  }

  #onAccepted(result: Accepted): void {
    this.accepted.push(result);
    for (const wake of this.#wakers.splice(0)) wake();
    if (result === null) return;
    const { socket } = result;
    socket.on('error', () => {});
    socket.on('data', (chunk) => socket.write(chunk));
    socket.on('end', () => socket.end());
  }
}

/** A client's connection; `failure` is '' while it has none. */
export interface TlsClient {
  readonly socket: TLSSocket;
  readonly failure: string;
  /** The last session ticket that came. */
  readonly session: () => Buffer | undefined;
}

/**
 * Connects, and says something if the handshake succeeds: resolves once the echo is back, or the connection is over.
 * (In TLS 1.3 a client has finished before the server has looked at its certificate.)
 */
export function tlsClient(port: number, options: ConnectionOptions = {}): Promise<TlsClient> {
  return new Promise((resolve) => {
    let session: Buffer | undefined;
    const socket = tlsConnect({
      host: '127.0.0.1',
      port,
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...options,
    });
    onTestFinished(() => {
      socket.destroy();
    });
    let failure = '';
    const done = (): void => resolve({ socket, failure, session: () => session });
    socket.on('session', (ticket) => {
      session = ticket;
    });
    socket.on('error', (error) => {
      failure ||= `${(error as NodeJS.ErrnoException).code ?? ''} ${error.message}`;
    });
    socket.on('close', () => {
      failure ||= 'closed';
      done();
    });
    socket.on('secureConnect', () => socket.write('hi'));
    socket.once('data', done);
  });
}

/** A client whose records can be mixed with bytes that are none. */
export interface BrokenClient {
  readonly tls: TLSSocket;
  /** Writes below TLS. */
  inject(bytes: Buffer): void;
  reset(): void;
  /** What the server sent below TLS since the first {@link inject}, once it has ended the connection. */
  readonly ended: Promise<Buffer>;
}

/** A stream that carries TLS over `raw`, which can then be written to by others too. `seen`: what comes. */
function wireOver(raw: Socket, seen: (chunk: Buffer) => void = () => {}): Duplex {
  const wire = new Duplex({
    read() {},
    write: (chunk, _, done) => raw.write(chunk, () => done()),
  });
  raw.on('data', (chunk: Buffer) => {
    seen(chunk);
    wire.push(chunk);
  });
  raw.on('error', () => {});
  return wire;
}

/** A connection to {@link brokenServer}. */
export interface BrokenAccepted {
  readonly tls: TLSSocket;
  readonly raw: Socket;
}

/** A TLS server whose records can be mixed with bytes that are none, written to `raw`. */
export async function brokenServer(
  onRequest: (to: BrokenAccepted) => void,
  closeLater: (close: () => Promise<void>) => void,
  name = 'server',
): Promise<number> {
  const open = new Set<Socket>();
  const secureContext = createSecureContext({ cert: pem(name), key: key(name) });
  const server = createServer({ noDelay: true }, (raw) => {
    const tls = new TLSSocket(wireOver(raw), { isServer: true, secureContext });
    tls.on('error', () => {});
    tls.on('data', () => onRequest({ tls, raw }));
    open.add(raw);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeLater(async () => {
    for (const raw of open) raw.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

/** Shakes hands over a duplex of our own. */
export async function brokenClient(port: number, options: ConnectionOptions = {}): Promise<BrokenClient> {
  const raw = connect({ port, host: '127.0.0.1', noDelay: true });
  onTestFinished(() => {
    raw.destroy();
  });
  const after: Buffer[] = [];
  let injected = false;
  const wire = wireOver(raw, (chunk) => {
    if (injected) after.push(chunk);
  });
  const ended = new Promise<Buffer>((resolve) => raw.on('close', () => resolve(Buffer.concat(after))));
  const tls = tlsConnect({ socket: wire, rejectUnauthorized: false, checkServerIdentity: () => undefined, ...options });
  tls.on('error', () => {});
  await new Promise((resolve) => tls.once('secureConnect', resolve));
  return {
    tls,
    ended,
    inject(bytes) {
      injected = true;
      raw.write(bytes);
    },
    reset: () => void raw.resetAndDestroy(),
  };
}

/** Sends raw bytes and resolves when the server closes. */
export function rawBytes(port: number, bytes: Buffer | string, end = false): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.resume();
    if (end) socket.end(bytes);
    else socket.write(bytes);
    onTestFinished(() => {
      socket.destroy();
    });
  });
}
