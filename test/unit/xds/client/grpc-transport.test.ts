import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../../src/base/clock.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { GrpcTransport, parseTarget } from '../../../../src/xds/client/grpc-transport.ts';

describe('parseTarget', () => {
  it.each([
    ['istiod.istio-system.svc:15010', { host: 'istiod.istio-system.svc', port: 15010 }],
    ['127.0.0.1:15010', { host: '127.0.0.1', port: 15010 }],
    ['[::1]:15010', { host: '::1', port: 15010 }],
    ['::1', { host: '::1', port: 443 }],
    ['control', { host: 'control', port: 443 }],
    ['dns:control:1', { host: 'control', port: 1 }],
    ['dns:///control:1', { host: 'control', port: 1 }],
    ['dns://8.8.8.8/control:1', { host: 'control', port: 1 }],
    ['ipv4:10.0.0.1:2', { host: '10.0.0.1', port: 2 }],
    ['ipv6:[::1]:2', { host: '::1', port: 2 }],
    ['unix:/run/xds.sock', { path: '/run/xds.sock', authority: 'localhost' }],
    ['unix:///run/xds.sock', { path: '/run/xds.sock', authority: 'localhost' }],
    ['unix:xds.sock', { path: 'xds.sock', authority: 'localhost' }],
  ])('reads %s', (target, address) => {
    expect(parseTarget(target)).toMatchObject(address);
  });

  it('names the server as it was asked for', () => {
    expect(parseTarget('dns:///control:1').authority).toBe('control:1');
    expect(parseTarget('[::1]:15010').authority).toBe('[::1]:15010');
  });
});

describe('a stream', () => {
  it('that nobody took says so in the cause of its end', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    const target = `127.0.0.1:${port}`;
    const transport = new GrpcTransport({ target, clock: systemClock, log: silentLogger(systemClock) });
    const error = await new Promise<Error | null>((end) => {
      transport.open('delta', { open() {}, response() {}, end });
    });
    expect(error?.message).toBe(`14 UNAVAILABLE: connect ECONNREFUSED ${target}`);
    expect(error?.cause).toMatchObject({ code: 'ECONNREFUSED' });
  });
});
