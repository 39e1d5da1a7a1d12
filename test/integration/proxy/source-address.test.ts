import { expect, test } from 'vitest';
import { type Json, proxy, upstream } from '../../support/proxy.ts';

const source = (address: string): Json => ({ address, port_value: 0 });

test.runIf(process.platform === 'linux')('the source address is that of the endpoint’s family', async () => {
  const seen: string[] = [];
  const server = await upstream(({ socket }, response) => {
    seen.push(socket.remoteAddress ?? '');
    response.end();
  });
  const p = await proxy()
    .cluster('a', server.port, {
      upstream_bind_config: {
        source_address: source('::1'),
        extra_source_addresses: [{ address: source('127.0.0.6') }],
      },
    })
    .start();
  const client = await p.client();
  client.get();
  expect((await client.response()).status).toBe(200);
  expect(seen).toEqual(['127.0.0.6']);
});
