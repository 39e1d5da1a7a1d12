// Issue 3: 1,000 config changes under load fail no request, close no connection, and leave nothing behind.
import { expect, it } from 'vitest';
import { churn, churnMesh, counts, EDITS_PER_ROUND, heapUsed } from '../../support/mesh-churn.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { Load } from '../../support/mesh-load.ts';

const CHANGES = 1000;
/** Until caches, pools and compiled code are what they stay. */
const WARM_UP = 40;

it('1,000 changes of everything that a user edits, under load', { timeout: 60_000 }, async () => {
  const mesh = ends(await churnMesh());
  const load = ends(new Load({ port: mesh.gatewayPort, target: '/', clients: 2 }));
  const rounds = CHANGES / EDITS_PER_ROUND;
  let heap = 0;
  let before = {};
  for (let round = 1; round <= rounds; round++) {
    await churn(mesh, round);
    await load.more(5);
    if (round !== WARM_UP) continue;
    mesh.forgetLines();
    heap = heapUsed();
    before = counts(mesh);
  }
  const after = counts(mesh);
  mesh.forgetLines();
  const growth = heapUsed() - heap;
  await load.stop();
  console.log(
    `${CHANGES} changes, ${load.sent} requests, ${load.failed} failed, heap ${(growth / 1024).toFixed(0)} KiB more`,
  );
  expect(load.failures).toEqual(new Map());
  expect(load.connections).toBe(load.clients);
  expect(after).toEqual(before);
  expect(growth).toBeLessThan(1024 * 1024);
  const { headers } = await mesh.proxy('productpage-v1').call('http://reviews:9080/');
  expect(headers['x-round']).toBe(`reviews-${rounds}-`);
  expect(await mesh.findings()).toEqual([]);
});
