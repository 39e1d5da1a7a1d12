import type { Socket } from 'node:net';

/** An accepted TLS socket, as Node makes it; Node's types do not name what is below. */
interface Secured {
  readonly _parent?: Socket | null;
}

/**
 * Closes an accepted socket by RST, so that what was sent does not look complete (Envoy: `AbortReset`). Node resets TCP
 * sockets only, and throws for one of TLS: there the socket below is reset, which takes the other along.
 */
export function resetSocket(socket: Socket): void {
  if ('encrypted' in socket) {
    const { _parent: below } = socket as Secured;
    if (below?.destroyed === false) below.resetAndDestroy();
    socket.destroy();
  } else {
    socket.resetAndDestroy();
  }
}
