/** Where nginx is missing: answers every request head with the same bytes. `node backend.ts PORT BYTES` */
import { createServer } from 'node:net';
import { smallBody } from './origin.ts';

const [port, bytes] = process.argv.slice(2).map(Number);
const body = bytes === smallBody.length ? Buffer.from(smallBody) : Buffer.alloc(bytes!, 'x');
const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
const answer = Buffer.concat([Buffer.from(head), body]);

createServer({ noDelay: true }, (socket) => {
  let rest = '';
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    // Requests have no body here, so a blank line ends each.
    const parts = (rest + chunk.toString('latin1')).split('\r\n\r\n');
    rest = parts.pop()!;
    const asked = parts.length;
    const close = parts.some((part) => /^connection: *close/im.test(part));
    for (let i = 0; i < asked; i++) socket.write(answer);
    if (close) socket.end();
  });
}).listen(port, '127.0.0.1');
