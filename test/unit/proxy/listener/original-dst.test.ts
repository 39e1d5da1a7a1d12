import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import {
  loadOriginalDestinations,
  type OriginalDestinations,
  readAddress,
} from '../../../../src/proxy/listener/original-dst.ts';

const open: (Server | Socket)[] = [];
afterEach(() => {
  for (const one of open.splice(0)) {
    if ('destroy' in one) one.destroy();
    else one.close();
  }
});

function loaded(): OriginalDestinations {
  const destinations = loadOriginalDestinations();
  if ('reason' in destinations) throw new Error(destinations.reason);
  return destinations;
}

function view(...bytes: number[]): DataView {
  return new DataView(new Uint8Array([...bytes, ...new Array(28).fill(0)]).buffer);
}

test('addresses as the kernel writes them', () => {
  expect(readAddress(view(2, 0, 0x23, 0x78, 10, 96, 0, 7), false)).toEqual({ host: '10.96.0.7', port: 9080 });
  const six = [10, 0, 0, 80, 9, 9, 9, 9, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xab, 1];
  expect(readAddress(view(...six), true)).toEqual({ host: 'fd00::ab01', port: 80 });
});

test.runIf(process.platform === 'linux')(
  'a connection that was not redirected has no original destination',
  async () => {
    const destinations = loaded();
    for (const host of ['127.0.0.1', '::1', '::']) {
      const server = createServer();
      open.push(server);
      await new Promise<void>((resolve) => server.listen(0, host, resolve));
      const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
      const at = server.address();
      const port = typeof at === 'object' && at !== null ? at.port : 0;
      open.push(connect(port, host === '::' ? '127.0.0.1' : host));
      const socket = await accepted;
      open.push(socket);
      expect(destinations.of(socket)).toBeNull();
      socket.destroy();
      expect(destinations.of(socket)).toBeNull();
    }
  },
);

test.runIf(process.platform === 'linux' && process.getuid?.() === 0)('a server is made transparent', async () => {
  const server = createServer();
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  expect(loaded().makeTransparent(server)).toBe(true);
});
