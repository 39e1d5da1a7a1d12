import { constants } from 'node:crypto';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { readCertificate } from '../../base/certificate.ts';
import { messageOf, RemoraError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { parseSpiffeId, type SpiffeIdentity } from '../../base/spiffe.ts';
import type { Watch } from '../../base/watch.ts';

/** What a TLS server shows and trusts, as PEM. */
export interface ServerMaterial {
  readonly cert: string;
  readonly key: string;
  readonly roots: string;
}

export interface DoorOptions {
  readonly host: string;
  readonly port: number;
  readonly material: Watch<ServerMaterial>;
  readonly trustDomain: string;
  readonly log: Logger;
  /** Takes over a connection whose handshake is done. */
  readonly admit: (socket: TLSSocket) => void;
}

const HANDSHAKE_MS = 10_000;
const MAX_CONNECTIONS = 12_000;

/**
 * TLS before gRPC: certificates are renewed without a restart, and a client's own is asked for and not insisted on, which
 * the gRPC library's credentials cannot do. A certificate that does not hold is as good as none.
 */
export class SecureDoor {
  readonly #options: DoorOptions;
  readonly #server: Server;
  readonly #clients = new Map<string, SpiffeIdentity | null>();
  readonly #sockets = new Set<TLSSocket>();
  readonly #unsubscribe: () => void;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        ...contextOf(options.material.value),
        ALPNProtocols: ['h2'],
        requestCert: true,
        rejectUnauthorized: false,
        handshakeTimeout: HANDSHAKE_MS,
      },
      (socket) => this.#admit(socket),
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on('tlsClientError', (error) => options.log.debug('no handshake', { reason: messageOf(error) }));
    this.#unsubscribe = options.material.subscribe((material) => this.#server.setSecureContext(contextOf(material)));
  }

  async listen(): Promise<number> {
    const { host, port } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) => {
        const message = `cannot listen on ${host}:${port} for xDS over TLS: ${messageOf(error)}`;
        reject(new RemoraError('ads_bind', message, { source: 'user', cause: error }));
      });
      this.#server.listen(port, host, resolve);
    });
    return this.port;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Whose certificate the connection from there showed; null none that holds. */
  clientAt(peer: string): SpiffeIdentity | null {
    return this.#clients.get(peer) ?? null;
  }

  close(): Promise<void> {
    this.#unsubscribe();
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  #admit(socket: TLSSocket): void {
    socket.on('error', () => {});
    if (socket.alpnProtocol !== 'h2') {
      socket.destroy();
      return;
    }
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#clients.set(peer, this.#identityOf(socket));
    this.#sockets.add(socket);
    socket.on('close', () => {
      this.#clients.delete(peer);
      this.#sockets.delete(socket);
    });
    this.#options.admit(socket);
  }

  #identityOf(socket: TLSSocket): SpiffeIdentity | null {
    const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
    if (certificate === undefined) return null;
    try {
      const { sans, isCa } = readCertificate(certificate.raw);
      const uris = sans.filter(({ kind }) => kind === 'URI');
      // X509-SVID, 2: one URI, and a leaf.
      const identity = uris.length === 1 && !isCa ? parseSpiffeId(uris[0]?.value ?? '') : null;
      return identity?.trustDomain === this.#options.trustDomain ? identity : null;
    } catch {
      return null;
    }
  }
}

function contextOf({ cert, key, roots }: ServerMaterial) {
  // A resumed session would outlive the certificates that it was made with.
  return { cert, key, ca: roots, minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_TICKET } as const;
}
