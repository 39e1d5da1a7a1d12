import type { TLSSocket } from 'node:tls';
import { errorCode, messageOf } from '../../base/errors.ts';
import { opensslReason } from '../../base/pem.ts';
import type { CertificateInfo, TlsInfo } from '../telemetry/tls-info.ts';
import { Certificate } from './certificate-info.ts';
import type { LoadedCertificate } from './load.ts';
import type { ChainResult } from './validator.ts';

/** The part of Node's TLS handle that tells OpenSSL's verdict; `authorized` is only set by Node's own servers. */
interface Handle {
  // Not `ssl`: after an attempt at another address (autoSelectFamily) that is the handle before.
  readonly _handle?: { verifyError(): { readonly code?: string; readonly message?: string } | null | undefined } | null;
}

/** OpenSSL's verdict on the peer's chain: '' when it held. */
export function chainResult(socket: TLSSocket): ChainResult {
  const { _handle: ssl } = socket as unknown as Handle;
  if (ssl === undefined || ssl === null) return 'UNSPECIFIED';
  const error = ssl.verifyError();
  return error === null || error === undefined ? '' : error.code || 'UNSPECIFIED';
}

/** The peer's certificate; null when it sent none. Throws RangeError for one that cannot be read. */
export function peerCertificate(socket: TLSSocket): Certificate | null {
  const x509 = socket.getPeerX509Certificate();
  return x509 === undefined ? null : new Certificate(x509);
}

/** Which of ours the handshake used. */
export function localCertificate(socket: TLSSocket, ours: readonly LoadedCertificate[]): CertificateInfo | null {
  if (ours.length < 2) return ours[0]?.leaf ?? null;
  const raw = socket.getX509Certificate()?.raw;
  return raw === undefined ? null : (ours.find(({ leaf }) => leaf.x509.raw.equals(raw))?.leaf ?? null);
}

/** What a finished handshake showed. */
export function tlsInfo(
  socket: TLSSocket,
  peer: CertificateInfo | null,
  validated: boolean,
  local: CertificateInfo | null,
): TlsInfo {
  const { servername, alpnProtocol } = socket as TLSSocket & { servername?: string | false | null };
  return {
    version: socket.getProtocol() ?? '',
    cipher: socket.getCipher().name,
    requestedServerName: typeof servername === 'string' ? servername : '',
    alpn: typeof alpnProtocol === 'string' ? alpnProtocol : '',
    peer,
    validated,
    local,
    sessionReused: socket.isSessionReused(),
  };
}

/** Whether TLS itself failed, and not the connection below. */
export function isTlsError(error: unknown): boolean {
  return /^ERR_(?:SSL|TLS)_/.test(errorCode(error) ?? '');
}

/** Why a handshake failed, in words. */
export function handshakeFailure(error: unknown): string {
  const code = errorCode(error) ?? '';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'connection reset during the handshake';
  if (isTlsError(error)) return opensslReason(error);
  return messageOf(error);
}
