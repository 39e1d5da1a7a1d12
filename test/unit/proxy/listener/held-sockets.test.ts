import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { HeldSockets } from '../../../../src/proxy/listener/held-sockets.ts';

let server: Server;
let onAccept: (socket: Socket) => void;
const sockets: Socket[] = [];

beforeEach(async () => {
  server = createServer({ highWaterMark: 1024 * 1024 }, (socket) => onAccept(sockets[sockets.push(socket) - 1]!));
  await once(server.listen(0, '127.0.0.1'), 'listening');
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.close();
});

/** A client's socket and the server's, which was dealt with by `accept` when it came. */
async function pair(accept: (socket: Socket) => void): Promise<[Socket, Socket]> {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  onAccept = (socket) => {
    accept(socket);
    resolve(socket);
  };
  const client = connect((server.address() as { port: number }).port, '127.0.0.1');
  sockets.push(client);
  return [client, await promise];
}

/** When this is over, whatever was sent before has come, and would have been read. */
async function roundTrip(): Promise<void> {
  const [client, other] = await pair(() => {});
  for (let i = 0; i < 3; i++) {
    other.write('x');
    await once(client, 'data');
  }
}

it('what is held is not read, and served from its first byte', async () => {
  const held = new HeldSockets();
  const [client, there] = await pair((socket) => expect(held.hold(socket)).toBe(true));
  await new Promise((sent) => client.write('a'.repeat(100_000), sent));
  await roundTrip();
  expect([there.bytesRead, there.readableLength]).toEqual([0, 0]);
  const [taken] = held.take();
  expect(taken).toBe(there);
  let got = 0;
  for await (const chunk of there) {
    got += (chunk as Buffer).length;
    if (got === 100_000) break;
  }
  expect([got, held.take()]).toEqual([100_000, []]);
});

it('one whose client is gone is nobody, or an end', async () => {
  const held = new HeldSockets();
  const [client, there] = await pair((socket) => void held.hold(socket));
  client.resetAndDestroy();
  await roundTrip();
  const [taken] = held.take();
  taken!.resume();
  const [error] = await once(there, 'error');
  expect(error.code).toBe('ECONNRESET');
  const [, other] = await pair((socket) => void held.hold(socket));
  other.destroy();
  expect(held.take()).toEqual([]);
});

it('no more than 64 wait, and all can be ended', async () => {
  const held = new HeldSockets();
  const pairs: [Socket, Socket][] = [];
  for (let i = 0; i < 64; i++) pairs.push(await pair((socket) => expect(held.hold(socket)).toBe(true)));
  await pair((socket) => expect(held.hold(socket)).toBe(false));
  held.destroy();
  expect(pairs.every(([, there]) => there.destroyed)).toBe(true);
});
