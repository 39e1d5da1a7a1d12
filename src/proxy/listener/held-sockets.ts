import type { Socket } from 'node:net';

/** As long a queue as a kernel would keep. */
const MAX_HELD = 64;

/** What of Node's socket says whether it is read. (lib/net.js) */
interface Handle {
  reading: boolean;
  readStart(): number;
  readStop(): number;
}

/**
 * Connections that were accepted and wait unread until the process is short of nothing: as in the kernel's queue, since
 * Node cannot leave them there. Paused alone a socket would fill its buffer, 1 MiB by default, and what is held would be
 * the very pressure that it waits for to go.
 */
export class HeldSockets {
  readonly #held: Socket[] = [];

  /** Takes a socket in the turn that it was accepted in; false: too many wait already. */
  hold(socket: Socket): boolean {
    if (this.#held.length >= MAX_HELD) return false;
    socket.on('error', ignore);
    const handle = handleOf(socket);
    if (handle !== null) {
      handle.reading = false;
      handle.readStop();
    }
    this.#held.push(socket);
    return true;
  }

  /** All of them, to be served: read again, from their first byte. */
  take(): Socket[] {
    const sockets = this.#held.splice(0).filter(({ destroyed }) => !destroyed);
    for (const socket of sockets) {
      socket.removeListener('error', ignore);
      const handle = handleOf(socket);
      if (handle === null) continue;
      handle.reading = true;
      handle.readStart();
    }
    return sockets;
  }

  destroy(): void {
    for (const socket of this.#held.splice(0)) socket.destroy();
  }
}

function handleOf(socket: Socket): Handle | null {
  return (socket as unknown as { readonly _handle: Handle | null })._handle;
}

function ignore(): void {}
