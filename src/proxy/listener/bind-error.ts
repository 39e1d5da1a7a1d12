import { errorCode, messageOf, RemoraError } from '../../base/errors.ts';
import { formatAddress, type SocketAddress } from '../../model/address.ts';

/** Why a listener cannot listen, and what to do. */
export function bindError(listener: string, address: SocketAddress, error: unknown): RemoraError {
  const at = formatAddress(address);
  const why =
    errorCode(error) === 'EADDRINUSE'
      ? `${at} is in use: stop what listens there or change the listener's port`
      : errorCode(error) === 'EACCES'
        ? `no permission to listen on ${at}: ports below 1024 need privileges`
        : errorCode(error) === 'EADDRNOTAVAIL'
          ? `${at} is not an address of this machine`
          : `cannot listen on ${at}: ${messageOf(error)}`;
  return new RemoraError('bind', `listener ${listener}: ${why}`, { source: 'user', cause: error });
}
