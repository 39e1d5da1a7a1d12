// A DNS server of a cluster, made of nothing but the RFC: knows some names, and says whom it was asked for.
//   dns-server.mjs ADDRESS… -- NAME=IPV4 …     UDP and TCP on port 53 of each address
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

const split = process.argv.indexOf('--');
const names = new Map(process.argv.slice(split + 1).map((text) => text.split('=')));

for (const address of process.argv.slice(2, split)) {
  const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  udp.on('message', (query, from) => udp.send(answer(query, 'udp', from.address), from.port, from.address));
  udp.bind(53, address);
  createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      const reply = answer(chunk.subarray(2), 'tcp', socket.remoteAddress);
      socket.write(Buffer.concat([Buffer.from([reply.length >> 8, reply.length & 255]), reply]));
    });
  }).listen(53, address);
}
console.log('serving');

function answer(query, transport, from) {
  let name = '';
  let at = 12;
  for (; query[at] !== 0; at += query[at] + 1) name += `${query.toString('latin1', at + 1, at + 1 + query[at])}.`;
  const type = query.readUInt16BE(at + 1);
  const end = at + 5;
  const host = name.slice(0, -1).toLowerCase();
  console.log(`${transport} ${from} ${type} ${host}`);
  const address = type === 1 ? names.get(host) : undefined;
  const header = Buffer.from(query.subarray(0, end));
  header[2] = 0x81;
  header[3] = names.has(host) ? 0x80 : 0x83;
  header.writeUInt16BE(address === undefined ? 0 : 1, 6);
  header.writeUInt16BE(0, 8);
  header.writeUInt16BE(0, 10);
  if (address === undefined) return header;
  return Buffer.concat([
    header,
    Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, ...address.split('.').map(Number)]),
  ]);
}
