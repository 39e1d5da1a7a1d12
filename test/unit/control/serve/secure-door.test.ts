import { createPublicKey } from 'node:crypto';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../../../src/base/clock.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { Watch } from '../../../../src/base/watch.ts';
import { leafCertificate } from '../../../../src/control/ca/issue.ts';
import { newRoot, readCa } from '../../../../src/control/ca/root.ts';
import { SecureDoor } from '../../../../src/control/serve/secure-door.ts';
import { ecKey } from '../ca/support.ts';

const NOW = systemClock.wall();
const pair = (ca = readCa(newRoot('cluster.local', NOW), NOW)) => {
  const certify = (names: { uris?: string[]; dns?: string[] }, from = -60_000, to = 600_000) => {
    const key = ecKey();
    const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
    const times = { notBefore: NOW + from, notAfter: NOW + to };
    const cert = leafCertificate({ spki, uris: names.uris ?? [], dns: names.dns ?? [], ...times }, ca.signing);
    return { cert, key: String(key.export({ type: 'pkcs8', format: 'pem' })) };
  };
  return { certify, roots: ca.roots };
};

async function open() {
  const { certify, roots } = pair();
  const material = new Watch({ ...certify({ dns: ['localhost'] }), roots });
  const admitted: string[] = [];
  const door: SecureDoor = new SecureDoor({
    host: '127.0.0.1',
    port: 0,
    material,
    trustDomain: 'cluster.local',
    log: silentLogger(systemClock),
    admit: (socket) => {
      const peer = `${socket.remoteAddress}:${socket.remotePort}`;
      admitted.push(door.clientAt(peer)?.serviceAccount ?? 'nobody');
      socket.on('close', () => admitted.push(`gone ${door.clientAt(peer)?.serviceAccount ?? 'nobody'}`));
      socket.write('in');
    },
  });
  const port = await door.listen();
  onTestFinished(() => door.close());
  const dial = async (options: ConnectionOptions = {}, ca = roots): Promise<TLSSocket | string> => {
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca, ALPNProtocols: ['h2'], ...options });
    return new Promise((resolve) => {
      socket.on('error', (error) => resolve(error.message));
      socket.on('close', () => resolve('closed'));
      socket.on('data', () => resolve(socket));
    });
  };
  return { door, dial, admitted, certify, material };
}

describe('the door for TLS', () => {
  it('lets everybody in who speaks HTTP/2, and knows whose certificate of the mesh is good', async () => {
    const { dial, admitted, certify } = await open();
    const uris = ['spiffe://cluster.local/ns/shop/sa/reviews'];
    const stranger = pair().certify({ uris });
    for (const shown of [
      {},
      certify({ uris }),
      stranger,
      certify({ uris }, -600_000, -1000),
      certify({ uris: [...uris, 'spiffe://cluster.local/ns/shop/sa/admin'] }),
      certify({ uris: ['spiffe://other/ns/shop/sa/reviews'] }),
      certify({ dns: ['localhost'] }),
    ]) {
      const socket = await dial(shown);
      if (typeof socket === 'string') throw new Error(socket);
      socket.destroy();
    }
    expect(admitted.filter((one) => !one.startsWith('gone'))).toEqual([
      'nobody',
      'reviews',
      ...Array(5).fill('nobody'),
    ]);
  });

  it('shuts who speaks anything else, in clear text too', async () => {
    const { dial, admitted } = await open();
    expect(await dial({ ALPNProtocols: ['http/1.1'] })).not.toBeInstanceOf(Object);
    expect(await dial({ ALPNProtocols: [] })).toBe('closed');
    expect(admitted).toEqual([]);
  });

  it('shows a renewed certificate to the next who comes, and those who are in stay', async () => {
    const { dial, material } = await open();
    const before = await dial();
    const next = pair();
    material.set({ ...next.certify({ dns: ['localhost'] }), roots: next.roots });
    expect(await dial()).toMatch(/self-signed|unable to/);
    const after = await dial({}, next.roots);
    expect(typeof after === 'string' || typeof before === 'string').toBe(false);
    expect((before as TLSSocket).destroyed).toBe(false);
    for (const socket of [before, after] as TLSSocket[]) socket.destroy();
  });
});
