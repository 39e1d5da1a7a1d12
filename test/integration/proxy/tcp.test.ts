import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { manualClock } from '../../support/clock.ts';
import { eventually, proxy, scripted, type TestProxy, turns } from '../../support/proxy.ts';
import { closedPort } from '../../support/upstream.ts';

test('bytes go both ways, and each side ends by itself', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).tcp({ cluster: 'a' }).start();
  const client = await p.client();
  client.write('ping');
  const connection = await server.accept();
  expect(await connection.bytes(4)).toBe('ping');
  client.end('last words');
  expect(await connection.bytes(10)).toBe('last words');
  await connection.untilEnded();
  connection.write('an answer after the FIN');
  expect(await client.bytes(23)).toBe('an answer after the FIN');
  connection.end();
  await client.untilEnded();
  await eventually(() => p.stat('cluster.a.upstream_cx_active') === 0);
});

test('a server that speaks first is heard, and may end first', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).tcp({ cluster: 'a' }).start();
  const client = await p.client();
  const connection = await server.accept();
  connection.end('220 hello');
  expect(await client.rest()).toBe('220 hello');
  client.write('QUIT');
  expect(await connection.bytes(4)).toBe('QUIT');
  client.end();
  await connection.untilEnded();
});

test('a slow side slows the other down', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).tcp({ cluster: 'a' }).start();
  const client = await p.client();
  const connection = await server.accept();
  connection.socket.pause();
  const bytes = 't'.repeat(30 * 1024 * 1024);
  client.write(bytes);
  await turns(200);
  expect(client.socket.writableLength).toBeGreaterThan(10 * 1024 * 1024);
  connection.socket.resume();
  await connection.bytes(bytes.length);
});

test('a refused connection is tried at the next endpoint, up to max_connect_attempts', async () => {
  const server = await scripted();
  const dead = await closedPort();
  const p = await proxy().cluster('a', [dead, server.port]).tcp({ cluster: 'a', max_connect_attempts: 2 }).start();
  for (let i = 0; i < 3; i++) {
    const client = await p.client();
    client.write('x');
    const connection = await server.accept();
    expect(await connection.bytes(1)).toBe('x');
    client.socket.destroy();
    await connection.untilEnded();
  }
});

test("no endpoint, or no connection to it, ends the client's connection", async () => {
  for (const ports of [[], [await closedPort()]]) {
    const p = await proxy().cluster('a', ports).tcp({ cluster: 'a' }).start();
    const client = await p.client();
    await client.untilEnded();
    expect(p.stat('cluster.a.upstream_cx_active')).toBe(0);
  }
});

test('a client that does not wait for the connection speaks not against the endpoint', async () => {
  const p = await proxy()
    .rawCluster({
      name: 'a',
      type: 'STATIC',
      load_assignment: {
        cluster_name: 'a',
        endpoints: [
          { lb_endpoints: [{ endpoint: { address: { socket_address: { address: '192.0.2.1', port_value: 80 } } } }] },
        ],
      },
    })
    .tcp({ cluster: 'a', idle_timeout: '10s' })
    .start();
  const client = await p.client();
  await eventually(() => p.stat('cluster.a.upstream_cx_active') === 1 || client.ended);
  const unreachable = client.ended;
  p.proxy.applier.close();
  await eventually(() => p.stat('cluster.a.upstream_cx_active') === 0);
  if (!unreachable) expect(p.stat('cluster.a.upstream_cx_connect_fail')).toBe(0);
});

test('a connection on which nothing moves is ended by idle_timeout', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy().clock(clock).cluster('a', server.port).tcp({ cluster: 'a', idle_timeout: '10s' }).start();
  const client = await p.client();
  client.write('x');
  const connection = await server.accept();
  await connection.bytes(1);
  clock.advance(9000);
  client.write('y');
  await connection.bytes(1);
  clock.advance(9000);
  await turns();
  expect(client.ended).toBe(false);
  clock.advance(1100);
  await client.untilEnded();
  await connection.untilEnded();
});

// pains.md row 24: a database's connection that nobody uses for hours.
test('without idle_timeout a silent connection lasts, and the kernel asks both sides whether they are there', async () => {
  const clock = manualClock();
  const server = await scripted();
  const keepalive = { upstream_connection_options: { tcp_keepalive: { keepalive_time: 180 } } };
  const p = await proxy()
    .clock(clock)
    .cluster('a', server.port, keepalive)
    .tcp({ cluster: 'a', idle_timeout: '0s' })
    .start();
  const client = await p.client();
  client.write('x');
  const connection = await server.accept();
  await connection.bytes(1);
  if (existsSync('/proc/self/net/tcp')) {
    // `02:jiffies`: the keepalive timer runs; at the proxy's end towards the client, and towards the server.
    const timers = (own: number, peer: number) => keepaliveOf(own, peer);
    expect(timers(p.port, client.socket.localPort ?? 0)).toBe(180);
    expect(timers(connection.socket.remotePort ?? 0, server.port)).toBe(180);
  }
  clock.advance(24 * 3_600_000);
  await turns();
  client.write('still here');
  expect(await connection.bytes(10)).toBe('still here');
});

/** Seconds until the kernel probes, of the end with port `own`; null: it does not. (proc_net_tcp: tr, tm->when in 1/100 s.) */
function keepaliveOf(own: number, peer: number): number | null {
  const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, '0');
  const line = readFileSync('/proc/self/net/tcp', 'utf8')
    .split('\n')
    .map((text) => text.trim().split(/\s+/))
    .find(([, local = '', remote = '']) => local.endsWith(`:${hex(own)}`) && remote.endsWith(`:${hex(peer)}`));
  const [kind, when = ''] = line?.[5]?.split(':') ?? [];
  return kind === '02' ? Math.round(Number.parseInt(when, 16) / 100 / 10) * 10 : null;
}

test('a connection outlives the removal of its listener and ends with the proxy', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).tcp({ cluster: 'a' }).start();
  const client = await p.client();
  const connection = await server.accept();
  await p.proxy.applier.apply(p.snapshot({ listeners: new Map() }));
  client.write('still');
  expect(await connection.bytes(5)).toBe('still');
  await expect(p.client()).rejects.toThrow('ECONNREFUSED');
  await p.proxy.close();
  await client.untilEnded();
});

const LOG =
  '%ACCESS_LOG_TYPE% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %RESPONSE_FLAGS% ' +
  '%CONNECTION_TERMINATION_DETAILS% %DURATION% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_LOCAL_ADDRESS% ' +
  '%DOWNSTREAM_REMOTE_ADDRESS% %RESPONSE_CODE% %PROTOCOL% %DOWNSTREAM_DETECTED_CLOSE_TYPE% %REMORA_REASON%\n';

/** The log's lines, their fields by name. */
async function entry(p: TestProxy, index: number) {
  await eventually(() => p.logLines.length > index);
  const [
    type,
    received,
    sent,
    host,
    cluster,
    flags,
    details,
    duration,
    attempts,
    local,
    remote,
    code,
    protocol,
    close,
  ] = p.logLines[index]!.split(' ');
  return {
    type,
    received,
    sent,
    host,
    cluster,
    flags,
    details,
    duration,
    attempts,
    local,
    remote,
    code,
    protocol,
    close,
  };
}

test('a connection is logged at its end, with its bytes both ways and its upstream', async () => {
  const server = await scripted();
  const p = await proxy().logFormat(LOG).cluster('a', server.port).tcp({ cluster: 'a' }).start();
  const client = await p.client();
  client.write('12345');
  const connection = await server.accept();
  await connection.bytes(5);
  const ports = [connection.socket.remotePort, client.socket.localPort];
  connection.end('123');
  expect(await client.rest()).toBe('123');
  expect(p.logLines).toEqual([]);
  client.end();
  const found = await entry(p, 0);
  expect(found).toMatchObject({
    type: 'TcpConnectionEnd',
    received: '5',
    sent: '3',
    host: `127.0.0.1:${server.port}`,
    cluster: 'a',
    flags: '-',
    details: '-',
    attempts: '1',
    code: '0',
    protocol: '-',
    close: 'Normal',
  });
  expect(found.local).toBe(`127.0.0.1:${ports[0]}`);
  expect(found.remote).toBe(`127.0.0.1:${ports[1]}`);
  expect(p.stat('tcp.main.downstream_cx_total')).toBe(1);
  expect(p.stat('tcp.main.downstream_cx_active')).toBe(0);
  expect(p.stat('tcp.main.downstream_cx_rx_bytes_total')).toBe(5);
  expect(p.stat('tcp.main.downstream_cx_tx_bytes_total')).toBe(3);
  expect(p.stat('cluster.a.upstream_cx_rx_bytes_total')).toBe(3);
  expect(p.stat('cluster.a.upstream_cx_tx_bytes_total')).toBe(5);
  expect(p.stat('cluster.a.upstream_rq_total')).toBe(1);
  expect(p.stat('cluster.a.upstream_cx_http1_total')).toBe(0);
});

test('what kept a connection from its upstream is in flags and details', async () => {
  const dead = await closedPort();
  const cases = [
    [proxy().cluster('a', dead).tcp({ cluster: 'a', max_connect_attempts: 2 }), 'UF,URX', 'connect_failed', '2'],
    [proxy().cluster('a', []).tcp({ cluster: 'a' }), 'UH', 'no_healthy_upstream', '0'],
    [proxy().cluster('a', dead).tcp({ cluster: 'none' }), 'NC', 'no_route', '0'],
    [
      proxy()
        .cluster('a', dead, { circuit_breakers: { thresholds: [{ max_connections: 0 }] } })
        .tcp({ cluster: 'a' }),
      'UO',
      'resource_limit_exceeded',
      '0',
    ],
  ] as const;
  for (const [builder, flags, why, attempts] of cases) {
    const p = await builder.logFormat(LOG).start();
    const client = await p.client();
    await client.untilEnded();
    expect(await entry(p, 0)).toMatchObject({ flags, details: `tcp_initialization_failure:${why}`, attempts });
    expect(p.logLines[0]).toMatch(/cluster (a|none) (has|does not exist|after 2 tries: ECONNREFUSED)/);
    if (flags === 'NC') expect(p.stat('tcp.main.downstream_cx_no_route')).toBe(1);
    if (flags === 'UF,URX') expect(p.stat('cluster.a.upstream_cx_connect_attempts_exceeded')).toBe(1);
    if (flags === 'UO') expect(p.stat('cluster.a.upstream_cx_overflow')).toBe(1);
  }
});

test('a reset of the server resets the client and is logged as UR', async () => {
  const server = await scripted();
  const p = await proxy().logFormat(LOG).cluster('a', server.port).tcp({ cluster: 'a' }).start();
  const client = await p.client();
  const reset = new Promise<string>((resolve) =>
    client.socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? '')),
  );
  client.write('x');
  const connection = await server.accept();
  await connection.bytes(1);
  connection.socket.resetAndDestroy();
  expect(await reset).toBe('ECONNRESET');
  expect(await entry(p, 0)).toMatchObject({ flags: 'UR', close: 'LocalReset' });
});

test('max_downstream_connection_duration ends a busy connection with DT', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy()
    .clock(clock)
    .logFormat(LOG)
    .cluster('a', server.port)
    .tcp({ cluster: 'a', max_downstream_connection_duration: '10s' })
    .start();
  const client = await p.client();
  const connection = await server.accept();
  for (let i = 0; i < 2; i++) {
    client.write('x');
    await connection.bytes(1);
    clock.advance(4900);
  }
  await turns();
  expect(client.ended).toBe(false);
  clock.advance(300);
  await client.untilEnded();
  await connection.untilEnded();
  clock.advance(100);
  expect(await entry(p, 0)).toMatchObject({ flags: 'DT', details: 'max_connection_duration_reached', received: '2' });
  expect(p.stat('tcp.main.max_downstream_connection_duration')).toBe(1);
});

test('idle_timeout is counted and said in the log', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy()
    .clock(clock)
    .logFormat(LOG)
    .cluster('a', server.port)
    .tcp({ cluster: 'a', idle_timeout: '10s' })
    .start();
  const client = await p.client();
  await server.accept();
  await eventually(() => p.stat('cluster.a.upstream_rq_active') === 1);
  clock.advance(10_100);
  await client.untilEnded();
  clock.advance(100);
  expect(await entry(p, 0)).toMatchObject({ details: 'tcp_session_idle_timeout', flags: '-' });
  expect(p.stat('tcp.main.idle_timeout')).toBe(1);
});

test('entries are written when the upstream is connected and every access_log_flush_interval', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy()
    .clock(clock)
    .logFormat(LOG)
    .cluster('a', server.port)
    .tcp({
      cluster: 'a',
      access_log_options: { access_log_flush_interval: '1s', flush_access_log_on_connected: true },
    })
    .start();
  const client = await p.client();
  const connection = await server.accept();
  client.write('abc');
  await connection.bytes(3);
  clock.advance(2050);
  client.end();
  connection.end();
  await client.untilEnded();
  await eventually(() => p.stat('tcp.main.downstream_cx_active') === 0);
  clock.advance(100);
  const types = [];
  for (let i = 0; i < 4; i++) {
    const { type, received, duration } = await entry(p, i);
    types.push([type, received, Math.floor(Number(duration) / 1000)]);
  }
  expect(types).toEqual([
    ['TcpUpstreamConnected', '0', 0],
    ['TcpPeriodic', '3', 1],
    ['TcpPeriodic', '3', 2],
    ['TcpConnectionEnd', '3', 2],
  ]);
});

test('log_type_filter chooses which of them are written', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port)
    .tcp({
      cluster: 'a',
      access_log_options: { flush_access_log_on_connected: true },
      access_log: [
        {
          name: 'x',
          filter: { log_type_filter: { types: ['TcpUpstreamConnected'], exclude: true } },
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
            log_format: { text_format_source: { inline_string: '%ACCESS_LOG_TYPE%\n' } },
          },
        },
      ],
    })
    .start();
  const client = await p.client();
  (await server.accept()).end();
  client.end();
  await eventually(() => p.logLines.length > 0);
  expect(p.logLines).toEqual(['TcpConnectionEnd']);
});

test("a listener's log has every connection: TCP, HTTP, and those that no chain takes", async () => {
  const server = await scripted();
  const listenerLog = (extra: Record<string, unknown> = {}) => ({
    access_log: [
      {
        name: 'x',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog',
          log_format: {
            text_format_source: {
              inline_string: 'L %ACCESS_LOG_TYPE% %BYTES_RECEIVED% %UPSTREAM_CLUSTER% %RESPONSE_FLAGS%\n',
            },
          },
        },
      },
    ],
    ...extra,
  });
  const tcp = await proxy()
    .cluster('a', server.port)
    .tcp({ cluster: 'a', access_log: [] })
    .listener(listenerLog())
    .start();
  const client = await tcp.client();
  client.write('abcd');
  const connection = await server.accept();
  await connection.bytes(4);
  connection.end();
  client.end();
  await eventually(() => tcp.logLines.length > 0);
  expect(tcp.logLines).toEqual(['L NotSet 4 a -']);

  const http = await proxy().cluster('a', server.port).manager({ access_log: [] }).listener(listenerLog()).start();
  (await http.client()).end();
  await eventually(() => http.logLines.length > 0);
  expect(http.logLines).toEqual(['L NotSet 0 - -']);

  const json = proxy().cluster('a', server.port).tcp({ cluster: 'a', access_log: [] });
  const [filterChain] = (json.json() as { static_resources: { listeners: { filter_chains: object[] }[] } })
    .static_resources.listeners[0]!.filter_chains;
  const chains = { filter_chains: [{ ...filterChain, filter_chain_match: { destination_port: 1 } }] };
  const none = await json.listener(listenerLog(chains)).start();
  await (await none.client()).untilEnded();
  await eventually(() => none.logLines.length > 0);
  expect(none.logLines).toEqual(['L NotSet 0 - NR']);
  expect(none.stat('listener.127.0.0.1_0.no_filter_chain_match')).toBe(1);
});

test('istio_tcp_* count connections and bytes under both workloads', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('outbound|3306||db.default.svc.cluster.local', server.port)
    .tcp({ cluster: 'outbound|3306||db.default.svc.cluster.local' })
    .listener({ traffic_direction: 'OUTBOUND' })
    .start();
  const value = (name: string, flags = '-'): number => {
    const { stats } = p.proxy.env;
    for (const series of stats.series()) {
      if (series.name === name && series.labels['response_flags'] === flags) {
        expect(series.labels).toMatchObject({
          reporter: 'source',
          request_protocol: 'tcp',
          destination_service: 'db.default.svc.cluster.local',
          destination_service_name: 'db',
        });
        expect(series.labels).not.toHaveProperty('response_code');
        return stats.value(series.id);
      }
    }
    return 0;
  };
  const client = await p.client();
  client.write('12345');
  const connection = await server.accept();
  await connection.bytes(5);
  connection.write('123');
  await client.bytes(3);
  // While it is open already.
  expect(value('istio_tcp_received_bytes_total')).toBe(5);
  expect(value('istio_tcp_sent_bytes_total')).toBe(3);
  expect(value('istio_tcp_connections_opened_total')).toBe(1);
  expect(value('istio_tcp_connections_closed_total')).toBe(0);
  client.socket.on('error', () => {});
  connection.socket.resetAndDestroy();
  await eventually(() => value('istio_tcp_connections_closed_total', 'UR') === 1);
  expect(value('istio_tcp_connections_closed_total')).toBe(0);
});

test('what a client sent before it went still reaches a slow server', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).tcp({ cluster: 'a' }).start();
  const client = await p.client();
  const connection = await server.accept();
  connection.socket.pause();
  const bytes = 'f'.repeat(8 * 1024 * 1024);
  client.write(bytes);
  await eventually(() => p.stat('tcp.main.downstream_flow_control_paused_reading_total') > 0);
  client.socket.on('error', () => {});
  client.end();
  await turns(50);
  connection.socket.resume();
  expect((await connection.bytes(bytes.length)).length).toBe(bytes.length);
  await connection.untilEnded();
});

test('neither direction gathers more than its buffers while its reader is slow', async () => {
  const server = await scripted();
  const limit = 64 * 1024;
  const p = await proxy()
    .cluster('a', server.port, { per_connection_buffer_limit_bytes: limit })
    .listener({ per_connection_buffer_limit_bytes: limit })
    .tcp({ cluster: 'a' })
    .start();
  const client = await p.client();
  const connection = await server.accept();
  const total = 48 * 1024 * 1024;
  // Both write, nobody reads: all that is not in a kernel's buffers stays with the writer.
  client.socket.pause();
  connection.socket.pause();
  client.write('u'.repeat(total));
  connection.socket.write('d'.repeat(total));
  await eventually(
    () =>
      p.stat('tcp.main.downstream_flow_control_paused_reading_total') > 0 &&
      p.stat('cluster.a.upstream_flow_control_paused_reading_total') > 0,
  );
  await turns(200);
  const [received, sent] = ['rx', 'tx'].map((way) => p.stat(`tcp.main.downstream_cx_${way}_bytes_total`));
  // The proxy took in no more than the sockets behind it hold (loopback: up to 6 MiB each) and its own buffers.
  expect(received).toBeLessThan(16 * 1024 * 1024);
  expect(sent).toBeLessThan(16 * 1024 * 1024);
  expect(client.socket.writableLength).toBeGreaterThan(24 * 1024 * 1024);
  client.socket.resume();
  connection.socket.resume();
  await Promise.all([client.bytes(total), connection.bytes(total)]);
  expect(p.stat('tcp.main.downstream_cx_rx_bytes_total')).toBe(total);
  expect(p.stat('tcp.main.downstream_cx_tx_bytes_total')).toBe(total);
});

test('a server that never reads what a client left is given up after five minutes, without idle_timeout too', async () => {
  const clock = manualClock();
  const server = await scripted();
  // So large that all the client sends is in the proxy, and its reset is read.
  const limit = { per_connection_buffer_limit_bytes: 64 * 1024 * 1024 };
  const p = await proxy()
    .clock(clock)
    .cluster('a', server.port, limit)
    .tcp({ cluster: 'a', idle_timeout: '0s' })
    .start();
  const client = await p.client();
  const connection = await server.accept();
  connection.socket.pause();
  const bytes = 32 * 1024 * 1024;
  client.write('f'.repeat(bytes));
  await eventually(() => p.stat('tcp.main.downstream_cx_rx_bytes_total') === bytes);
  client.socket.resetAndDestroy();
  await eventually(() => p.stat('tcp.main.upstream_flush_active') === 1);
  expect(p.stat('tcp.main.downstream_cx_active')).toBe(0);
  clock.advance(299_000);
  await turns();
  expect(p.stat('cluster.a.upstream_cx_active')).toBe(1);
  clock.advance(1100);
  await eventually(() => p.stat('cluster.a.upstream_cx_active') === 0);
  expect(p.stat('tcp.main.upstream_flush_active')).toBe(0);
  expect(p.stat('tcp.main.upstream_flush_total')).toBe(1);
});

test('what a client left that was reset is delivered', async () => {
  const server = await scripted();
  const limit = { per_connection_buffer_limit_bytes: 64 * 1024 * 1024 };
  const p = await proxy().cluster('a', server.port, limit).tcp({ cluster: 'a' }).start();
  const client = await p.client();
  const connection = await server.accept();
  connection.socket.pause();
  const bytes = 32 * 1024 * 1024;
  client.write('f'.repeat(bytes));
  await eventually(() => p.stat('tcp.main.downstream_cx_rx_bytes_total') === bytes);
  client.socket.resetAndDestroy();
  await eventually(() => p.stat('tcp.main.upstream_flush_active') === 1);
  connection.socket.resume();
  await connection.bytes(bytes);
  await connection.untilEnded();
  await eventually(() => p.stat('tcp.main.upstream_flush_active') === 0);
});
