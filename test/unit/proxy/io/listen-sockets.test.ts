import { createServer, type Server } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { type ListenSockets, listenKept, socketKey } from '../../../../src/proxy/io/listen-sockets.ts';
import { rawClient } from '../../../support/client.ts';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
});

function server(answer: string): Server {
  const made = createServer((socket) => socket.end(answer));
  servers.push(made);
  return made;
}

const AT = { host: '127.0.0.1', port: 0 };

it('names a socket by its address, and one of port 0 by who listens on it', () => {
  expect(socketKey('web', { host: '::1', port: 80 })).toBe('::1:80');
  expect(socketKey('web', AT)).toBe('web@127.0.0.1:0');
});

it('binds what is not kept, and has it kept', async () => {
  const kept: [string, Server][] = [];
  const sockets: ListenSockets = {
    take: () => Promise.resolve(null),
    keep: (key, own) => void kept.push([key, own]),
    release: () => {},
  };
  const own = server('own');
  await listenKept(own, 'a', AT, sockets);
  expect(kept).toEqual([['a', own]]);
});

it('listens on what is kept, and serves who was waiting in its queue', async () => {
  const holder = server('the wrong one');
  await listenKept(holder, 'a', AT, null);
  const { _handle: handle } = holder as unknown as { readonly _handle: object };
  const address = holder.address();
  if (address === null || typeof address === 'string') throw new Error('no address');
  // From here on the holder does not accept; only the socket is open.
  (handle as { onconnection: unknown }).onconnection = () => {};
  servers.length = 0;
  const next = server('the next');
  const kept: string[] = [];
  await listenKept(
    next,
    'a',
    { host: '127.0.0.1', port: 1 },
    {
      take: () => Promise.resolve(handle),
      keep: (key) => void kept.push(key),
      release: () => {},
    },
  );
  const client = await rawClient(address.port);
  expect(await client.rest()).toBe('the next');
  client.end();
  expect(kept).toEqual([]);
});

it('says why it cannot', async () => {
  const first = server('first');
  await listenKept(first, 'a', AT, null);
  const address = first.address();
  if (address === null || typeof address === 'string') throw new Error('no address');
  await expect(listenKept(createServer(), 'b', { host: '127.0.0.1', port: address.port }, null)).rejects.toMatchObject({
    code: 'EADDRINUSE',
  });
});
