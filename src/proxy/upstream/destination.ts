import { isIP } from '../../base/ip.ts';
import type { SocketAddress } from '../../model/address.ts';
import type { PickContext } from './lb/balancer.ts';

/**
 * Where an ORIGINAL_DST cluster sends a request: to the `ip:port` that its header names, if one may, and otherwise to
 * where the caller was going. Null when neither is known.
 */
export function originalDestination(context: PickContext, header: string): SocketAddress | null {
  const named = header === '' ? undefined : context.request?.headers.get(header);
  if (named !== undefined) {
    const destination = hostAndPort(named, 0);
    return destination === null || destination.port === 0 || isIP(destination.host) === 0 ? null : destination;
  }
  const original = context.originalDestination;
  return original === null || original.port === 0 || original.host === '' ? null : original;
}

/**
 * Where a dynamic forward proxy sends a request: to its own host, at the scheme's port where it names none. Null when
 * it names none, or the very address that it came in at: it would come in again for ever.
 */
export function forwardDestination({ request, originalDestination: own }: PickContext): SocketAddress | null {
  if (request === null) return null;
  const wanted = hostAndPort(request.authority, request.scheme === 'https' ? 443 : 80);
  if (wanted === null || own === null || wanted.port !== own.port) return wanted;
  return wanted.host === own.host || wanted.host === 'localhost' ? null : wanted;
}

/** `host`, `host:port`, `[v6]` or `[v6]:port`; null for anything else. */
function hostAndPort(text: string, otherwise: number): SocketAddress | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return null;
  const port = match[3] === undefined ? otherwise : Number(match[3]);
  return port > 65_535 ? null : { host: match[1] ?? match[2]!, port };
}
