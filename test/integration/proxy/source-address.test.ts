import { createServer } from 'node:http';
import { afterEach, expect, test } from 'vitest';
import { type Json, proxy } from '../../support/proxy.ts';

const source = (address: string): Json => ({ address, port_value: 0 });

const seen: (string | undefined)[] = [];
const server = createServer(({ socket }, response) => {
  seen.push(socket.remoteAddress);
  response.end();
});
afterEach(() => server.close());

test.runIf(process.platform === 'linux')('the source address is that of the endpoint’s family', async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const at = server.address();
  const sources = { source_address: source('::1'), extra_source_addresses: [{ address: source('127.0.0.6') }] };
  const p = await proxy()
    .cluster('a', typeof at === 'object' && at !== null ? at.port : 0, { upstream_bind_config: sources })
    .start();
  const client = await p.client();
  client.get();
  expect((await client.response()).status).toBe(200);
  expect(seen).toEqual(['127.0.0.6']);
});
