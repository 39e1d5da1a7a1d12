// Issue 4 §4: what is too much is shed with 503 and a flag, or not accepted; nothing crashes.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { manualClock } from '../../support/clock.ts';
import { eventually, type Json, type ProxyBuilder, proxy, turns, upstream } from '../../support/proxy.ts';

const folder = mkdtempSync(join(tmpdir(), 'remora-overload-'));
const PRESSURE = join(folder, 'pressure');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const MONITORS = 'type.googleapis.com/envoy.extensions.resource_monitors';

function press(value: number): void {
  writeFileSync(PRESSURE, String(value));
}

/** A proxy that does `action` while the pressure in the file is 0.9 or more. */
function under(action: string, more: Json = {}): ProxyBuilder {
  press(0);
  return proxy().fields({
    overload_manager: {
      refresh_interval: '0.25s',
      resource_monitors: [
        {
          name: 'envoy.resource_monitors.injected_resource',
          typed_config: { '@type': `${MONITORS}.injected_resource.v3.InjectedResourceConfig`, filename: PRESSURE },
        },
      ],
      ...more,
      [action.includes('load_shed') ? 'loadshed_points' : 'actions']: [
        { name: action, triggers: [{ name: 'envoy.resource_monitors.injected_resource', threshold: { value: 0.9 } }] },
      ],
    },
  });
}

test.each([
  'envoy.overload_actions.stop_accepting_requests',
  'envoy.load_shed_points.http_connection_manager_decode_headers',
])('%s: 503, OM, and the connection goes on', async (action) => {
  const server = await upstream();
  const clock = manualClock();
  const p = await under(action).clock(clock).cluster('a', server.port).start();
  const client = await p.client();
  expect((await client.get('/1').response()).status).toBe(200);
  press(0.95);
  clock.advance(250);
  const shed = await client.post('/2', 'body').response();
  expect([shed.status, shed.body]).toEqual([503, 'envoy overloaded']);
  // The log is written a little later.
  clock.advance(1000);
  expect(await p.log(1)).toMatchObject({ path: '/2', code: 503, flags: 'OM', details: 'overload' });
  expect(p.stat('http.main.downstream_rq_overload_close')).toBe(1);
  expect(p.stat(`overload.${action}.active`)).toBe(1);
  press(0.5);
  clock.advance(250);
  expect((await client.get('/3').response()).status).toBe(200);
  expect(server.requests.map(({ url }) => url)).toEqual(['/1', '/3']);
});

test('a listener that bypasses the overload manager sheds nothing', async () => {
  const server = await upstream();
  const clock = manualClock();
  const p = await under('envoy.overload_actions.stop_accepting_requests')
    .clock(clock)
    .cluster('a', server.port)
    .listener({ bypass_overload_manager: true })
    .start();
  press(1);
  clock.advance(250);
  const client = await p.client();
  expect((await client.get().response()).status).toBe(200);
});

test('disable_http_keepalive: answered, then closed', async () => {
  const server = await upstream();
  const clock = manualClock();
  const p = await under('envoy.overload_actions.disable_http_keepalive').clock(clock).cluster('a', server.port).start();
  const client = await p.client();
  expect((await client.get().response()).header('connection')).toBeUndefined();
  press(1);
  clock.advance(250);
  const last = await client.get().response();
  expect([last.status, last.header('connection')]).toEqual([200, 'close']);
  await client.untilEnded();
  expect(p.stat('http.main.downstream_cx_overload_disable_keepalive')).toBe(1);
});

test('stop_accepting_connections: they wait, and are served when there is room', async () => {
  const server = await upstream((request, response) => response.end(request.body));
  const clock = manualClock();
  const p = await under('envoy.overload_actions.stop_accepting_connections')
    .clock(clock)
    .cluster('a', server.port)
    .start();
  const before = await p.client();
  await before.get().response();
  press(1);
  clock.advance(250);
  const [waiting, gone] = [await p.client(), await p.client()];
  waiting.post('/late', 'a body');
  gone.get('/gone').reset();
  await turns();
  expect(waiting.received).toBe('');
  expect((await before.get('/still').response()).status).toBe(200);
  press(0);
  clock.advance(250);
  expect((await waiting.response()).body).toBe('a body');
});

test('more than may wait are refused', async () => {
  const clock = manualClock();
  const p = await under('envoy.overload_actions.stop_accepting_connections')
    .clock(clock)
    .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
    .start();
  press(1);
  clock.advance(250);
  const clients = await Promise.all(Array.from({ length: 80 }, () => p.client()));
  await eventually(() => clients.filter(({ ended }) => ended).length === 16);
});

test('reject_incoming_connections: closed at once, those that are open go on', async () => {
  const server = await upstream();
  const clock = manualClock();
  const p = await under('envoy.overload_actions.reject_incoming_connections')
    .clock(clock)
    .cluster('a', server.port)
    .start();
  const before = await p.client();
  await before.get().response();
  press(1);
  clock.advance(250);
  const refused = await p.client();
  await refused.untilEnded();
  expect((await before.get().response()).status).toBe(200);
  expect(p.stat('listener.127.0.0.1_0.downstream_cx_overload_reject')).toBe(1);
});

test('global_downstream_max_connections: beyond it connections are refused, and room is given back', async () => {
  const server = await upstream();
  const p = await proxy()
    .fields({
      overload_manager: {
        resource_monitors: [
          {
            name: 'envoy.resource_monitors.global_downstream_max_connections',
            typed_config: {
              '@type': `${MONITORS}.downstream_connections.v3.DownstreamConnectionsConfig`,
              max_active_downstream_connections: 2,
            },
          },
        ],
      },
    })
    .cluster('a', server.port)
    .start();
  const [one, two] = [await p.client(), await p.client()];
  await one.get().response();
  await two.get().response();
  const three = await p.client();
  await three.untilEnded();
  expect(p.stat('listener.127.0.0.1_0.downstream_global_cx_overflow')).toBe(1);
  expect(p.processLog.join('')).toContain('the limit of 2 client connections is reached');
  one.end();
  await one.untilClosed();
  await eventually(() => p.stat('http.main.downstream_cx_active') === 1);
  const four = await p.client();
  expect((await four.get().response()).status).toBe(200);
});
