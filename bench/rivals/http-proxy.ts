/** http-proxy 1.18 as its README shows it, with kept-alive upstream connections. `node http-proxy.ts PORT BACKEND` */
import { Agent, createServer } from 'node:http';
import httpProxy from 'http-proxy';

const [port, backend] = process.argv.slice(2).map(Number);
// Without an agent it opens a connection for every request; nobody would run that for long.
const proxy = httpProxy.createProxyServer({
  target: `http://127.0.0.1:${backend}`,
  agent: new Agent({ keepAlive: true }),
  xfwd: true,
});
proxy.on('error', (_error, _request, response) => {
  if ('writeHead' in response) response.writeHead(502);
  response.end();
});
createServer((request, response) => proxy.web(request, response)).listen(port, '127.0.0.1');
