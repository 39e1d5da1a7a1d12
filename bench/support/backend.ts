/** Where nginx is missing or answers too early: reads each request and answers with the same bytes. `node backend.ts PORT BYTES` */
import { createServer } from 'node:net';
import { smallBody } from './origin.ts';

const [port, bytes] = process.argv.slice(2).map(Number);
const body = bytes === smallBody.length ? Buffer.from(smallBody) : Buffer.alloc(bytes!, 'x');
const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
const answer = Buffer.concat([Buffer.from(head), body]);

createServer({ noDelay: true }, (socket) => {
  let rest = '';
  /** Bytes of a request's body that are still to come. */
  let body = 0;
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    const skipped = Math.min(body, chunk.length);
    body -= skipped;
    if (body > 0) return;
    if (skipped > 0) socket.write(answer);
    rest += chunk.toString('latin1', skipped);
    for (let end = rest.indexOf('\r\n\r\n'); end >= 0; end = rest.indexOf('\r\n\r\n')) {
      const head = rest.slice(0, end);
      const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
      const here = rest.length - end - 4;
      rest = rest.slice(end + 4 + Math.min(length, here));
      body = length - Math.min(length, here);
      if (body > 0) return;
      socket.write(answer);
      if (/^connection: *close/im.test(head)) socket.end();
    }
  });
}).listen(port, '127.0.0.1');
