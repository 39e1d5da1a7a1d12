import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';

export interface Loopback {
  /** One octet there and back: what was written to any socket of this thread before has been read by the time. */
  roundTrip(): Promise<void>;
  close(): void;
}

/**
 * For tests that put a clock forward beside real connections: turns of the event loop say nothing about the kernel, which
 * delivers late on a busy machine, but in order.
 */
export async function loopback(): Promise<Loopback> {
  const server = createServer((socket) => socket.setNoDelay(true).pipe(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').setNoDelay(true);
  await once(socket, 'connect');
  return {
    async roundTrip() {
      socket.write('.');
      await once(socket, 'data');
    },
    close() {
      socket.destroy();
      server.close();
    },
  };
}
