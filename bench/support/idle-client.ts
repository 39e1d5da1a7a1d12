/** Holds idle connections: `node idle-client.ts PORT COUNT`. Each has asked once; prints `ready` when all have. */
import { connect, type Socket } from 'node:net';

const [port, count] = process.argv.slice(2).map(Number);
const REQUEST = 'GET /reviews/0 HTTP/1.1\r\nHost: bench.test\r\n\r\n';
/** Connections being opened at a time: below every backlog, and few upstream connections for the proxy. */
const AT_ONCE = 50;
const held: Socket[] = [];
let opened = 0;

function open(): void {
  if (opened === count) return;
  opened++;
  const socket = connect(port!, '127.0.0.1', () => socket.write(REQUEST));
  socket.once('data', (data) => {
    if (!data.toString('latin1').startsWith('HTTP/1.1 200')) fail(data.toString('latin1').split('\r\n', 1)[0]!);
    held.push(socket);
    if (held.length === count) process.stdout.write('ready\n');
    open();
  });
  socket.on('error', (error) => fail(error.message));
  socket.on('close', () => fail('a connection was closed'));
}

function fail(why: string): void {
  process.stderr.write(`after ${held.length} connections: ${why}\n`);
  process.exit(1);
}

for (let i = 0; i < AT_ONCE; i++) open();
