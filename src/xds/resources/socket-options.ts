import type { Listener } from '../../model/listener.ts';
import type { SocketOption } from '../proto/gen/envoy/config/core/v3.ts';
import type { Decoding } from './decoding.ts';

/** Linux' numbers, which Envoy's configs are written with. */
const SOL_SOCKET = 1;
const SO_KEEPALIVE = 9;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_KEEPIDLE = 4;

/** What Node can set of an accepted socket: keepalive and its first delay. The rest is reported one by one. */
export function decodeKeepAlive(
  options: readonly SocketOption[] | undefined,
  path: string,
  s: Decoding,
): Listener['keepAlive'] {
  let enabled: boolean | null = null;
  let idleMs = 0;
  for (const [i, option] of (options ?? []).entries()) {
    const { level, name, int_value: value } = option;
    if (level === SOL_SOCKET && name === SO_KEEPALIVE && value !== undefined) enabled = value !== 0;
    else if (level === IPPROTO_TCP && name === TCP_KEEPIDLE && value !== undefined) idleMs = value * 1000;
    else if (level === IPPROTO_TCP && name === TCP_NODELAY && value === 1) continue;
    else {
      const known = level === IPPROTO_TCP && (name === 5 || name === 6);
      s.noEffect(
        `${path}[${i}]`,
        known ? 'Node sends keepalive probes each second, ten at most' : 'Node sets no raw socket options',
      );
    }
  }
  // Without SO_KEEPALIVE its delay means nothing.
  return enabled === null ? null : { enabled, idleMs };
}
