// A program in a pod: HTTP and TCP servers, or one call. It knows nothing of a mesh.
//   pod-app.mjs serve NAME http:8080 tcp:7000 …    each on every address of the pod
//   pod-app.mjs greet HOST PORT                    what the server says first, unasked
//   pod-app.mjs say HOST PORT TEXT                 what it answers
import { createServer as createHttp } from 'node:http';
import { connect, createServer } from 'node:net';

const [verb, name, ...rest] = process.argv.slice(2);

if (verb === 'serve') {
  for (const port of rest) {
    const [kind, number] = port.split(':');
    const server = kind === 'http' ? createHttp(answer(number)) : createServer(greet(number));
    server.listen({ port: Number(number), host: '::' });
  }
} else {
  const [port, text] = rest;
  const socket = connect(Number(port), name);
  const timer = setTimeout(() => end('silence'), 4000);
  const end = (said) => {
    clearTimeout(timer);
    process.stdout.write(said);
    socket.destroy();
  };
  socket.on('connect', () => text !== undefined && socket.write(text));
  socket.once('data', (bytes) => end(String(bytes)));
  socket.on('end', () => end('closed'));
  socket.on('error', (error) => end(error.code));
}

function answer(port) {
  return ({ url, headers, socket }, response) => {
    const { remoteAddress } = socket;
    response.end(`${JSON.stringify({ name, port: Number(port), url, host: headers.host, remoteAddress })}\n`);
  };
}

/** Speaks first, and repeats what it is told. */
function greet(port) {
  return (socket) => {
    socket.on('error', () => {});
    socket.write(`220 ${name} ${port}\n`);
    socket.pipe(socket);
  };
}
