/** `node node-proxy.ts <port> <upstream port>`: a reverse proxy as people write it on node:http, with its defaults. */
import { request as ask, createServer } from 'node:http';

const [port, upstream] = process.argv.slice(2).map(Number);
const server = createServer((request, response) => {
  const { method, url, headers } = request;
  const fail = () => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end();
  };
  const sent = ask({ host: '127.0.0.1', port: upstream!, method, path: url, headers }, (answer) => {
    response.writeHead(answer.statusCode!, answer.headers);
    answer.on('error', fail);
    answer.pipe(response);
  });
  sent.on('error', fail);
  request.on('error', () => sent.destroy());
  response.on('error', () => sent.destroy());
  request.pipe(sent);
});
server.listen(port, '127.0.0.1');
