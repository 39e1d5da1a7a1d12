import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { LogRoot } from '../../../../src/base/log.ts';
import { seededRandom } from '../../../../src/base/random.ts';
import type { Listener } from '../../../../src/model/listener.ts';
import type { OverloadActionName, OverloadConfig, ResourceMonitor } from '../../../../src/model/overload.ts';
import { Verdict } from '../../../../src/proxy/listener/admission.ts';
import { OverloadManager, type OverloadProbes } from '../../../../src/proxy/runtime/overload.ts';
import { StatStore } from '../../../../src/proxy/telemetry/metrics/store.ts';
import { manualClock } from '../../../support/clock.ts';

const made: OverloadManager[] = [];
afterEach(() => {
  for (const manager of made.splice(0)) manager.close();
});

const STOP_REQUESTS = 'envoy.overload_actions.stop_accepting_requests';
const HEAP: ResourceMonitor = { name: 'heap', kind: 'heap', maxBytes: 1000 };

function config(monitor: ResourceMonitor, name: OverloadActionName, from: number, to = from): OverloadConfig {
  return {
    refreshMs: 250,
    monitors: [monitor],
    actions: [{ name, triggers: [{ monitor: monitor.name, from, to }] }],
  };
}

function manager(of: OverloadConfig | null, probes: Partial<OverloadProbes> = {}) {
  const clock = manualClock();
  const stats = new StatStore();
  const lines: string[] = [];
  const log = new LogRoot(clock, (line) => lines.push(line)).logger();
  const own = new OverloadManager(
    of,
    { clock, random: seededRandom(1), log, stats },
    { heapBytes: () => 0, collectGarbage: () => {}, readFile: () => '0', descriptors: () => 164, ...probes },
  );
  made.push(own);
  own.start();
  const stat = (dotted: string): number => {
    for (const series of stats.series()) if (series.dotted === dotted) return stats.value(series.id);
    throw new Error(`no stat ${dotted}`);
  };
  return { own, clock, lines, stat };
}

function listener(fields: Partial<Listener> = {}): Listener {
  return { name: 'web', ignoreGlobalConnLimit: false, bypassOverloadManager: false, ...fields } as Listener;
}

describe('triggers', () => {
  it('a threshold is all or nothing, from what equals it', () => {
    let bytes = 949;
    const { own, clock, stat, lines } = manager(config(HEAP, STOP_REQUESTS, 0.95), { heapBytes: () => bytes });
    clock.advance(250);
    expect([own.state.requests, stat('overload.heap.pressure')]).toEqual([0, 95]);
    bytes = 950;
    clock.advance(250);
    expect(own.state.requests).toBe(1);
    expect(stat(`overload.${STOP_REQUESTS}.active`)).toBe(1);
    expect(stat(`overload.${STOP_REQUESTS}.scale_percent`)).toBe(100);
    bytes = 100;
    clock.advance(249);
    expect(own.state.requests).toBe(1);
    clock.advance(1);
    expect(own.state.requests).toBe(0);
    expect(lines.map((line) => line.replace(/^\S+ /, ''))).toEqual([
      expect.stringContaining(`overload: ${STOP_REQUESTS} is on because=heap pressure=95%`),
      expect.stringContaining(`overload: ${STOP_REQUESTS} is off`),
    ]);
  });

  it('a scaled one grows between its two thresholds', () => {
    let bytes = 800;
    const { own, clock, stat } = manager(config(HEAP, STOP_REQUESTS, 0.8, 0.9), { heapBytes: () => bytes });
    const states = [800, 825, 850, 900, 990].map((at) => {
      bytes = at;
      clock.advance(250);
      return [Number(own.state.requests.toFixed(3)), stat(`overload.${STOP_REQUESTS}.active`)];
    });
    expect(states).toEqual([
      [0, 0],
      [0.25, 0],
      [0.5, 0],
      [1, 1],
      [1, 1],
    ]);
  });

  it('the strongest of several holds', () => {
    const monitors: ResourceMonitor[] = [HEAP, { name: 'file', kind: 'file', path: 'x' }];
    const triggers = [
      { monitor: 'heap', from: 0.5, to: 1 },
      { monitor: 'file', from: 0, to: 1 },
    ];
    const { own, clock } = manager(
      { refreshMs: 250, monitors, actions: [{ name: 'envoy.overload_actions.disable_http_keepalive', triggers }] },
      { heapBytes: () => 600, readFile: () => '0.7\n' },
    );
    clock.advance(250);
    expect(own.state.keepAlive).toBeCloseTo(0.7);
  });
});

describe('monitors', () => {
  it('garbage is no pressure, and is collected at most every ten seconds', () => {
    let bytes = 990;
    let collected = 0;
    const { own, clock } = manager(config(HEAP, STOP_REQUESTS, 0.95), {
      heapBytes: () => bytes,
      collectGarbage: () => {
        collected++;
        bytes = collected === 1 ? 500 : 970;
      },
    });
    clock.advance(250);
    expect([own.state.requests, collected]).toEqual([0, 1]);
    bytes = 990;
    clock.advance(9750);
    expect([own.state.requests, collected]).toEqual([1, 1]);
    clock.advance(250);
    expect([own.state.requests, collected]).toEqual([1, 2]);
  });

  it('the delay of the event loop: the worst since the last look', () => {
    const monitor: ResourceMonitor = { name: 'delay', kind: 'event-loop-delay', maxMs: 200 };
    const { own, clock, stat } = manager(config(monitor, STOP_REQUESTS, 0.9));
    clock.advance(250);
    expect(stat('overload.delay.pressure')).toBe(0);
    clock.stall(250);
    expect(own.state.requests).toBe(1);
    clock.advance(500);
    expect(own.state.requests).toBe(0);
  });

  it('a file holds the pressure itself; what is unreadable leaves the last one and is counted', () => {
    let text = '0.96';
    const { own, clock, stat } = manager(config({ name: 'f', kind: 'file', path: '/p' }, STOP_REQUESTS, 0.9), {
      readFile: (path) => {
        expect(path).toBe('/p');
        if (text === '') throw new Error('ENOENT');
        return text;
      },
    });
    clock.advance(250);
    for (const wrong of ['', 'high', '7']) {
      text = wrong;
      clock.advance(250);
      expect(own.state.requests).toBe(1);
    }
    expect(stat('overload.f.failed_updates')).toBe(3);
  });

  it('shrink_heap collects', () => {
    let collected = 0;
    const { clock } = manager(
      config({ name: 'f', kind: 'file', path: '' }, 'envoy.overload_actions.shrink_heap', 0.5),
      {
        readFile: () => '0.6',
        collectGarbage: () => collected++,
      },
    );
    clock.advance(25_000);
    expect(collected).toBe(3);
  });
});

describe('connections', () => {
  it('without a config there are as many as descriptors allow; one warning says so', () => {
    const { own, lines, clock } = manager(null);
    expect(own.maxConnections).toBe(50);
    for (let i = 0; i < 50; i++) own.opened();
    expect([own.judge(listener()), own.judge(listener())]).toEqual([Verdict.Overflow, Verdict.Overflow]);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(
      'the limit of 50 client connections is reached, more are refused; it is what 164 descriptors allow',
    );
    own.closed();
    expect(own.judge(listener())).toBe(Verdict.Serve);
    expect(clock.pending).toBe(0);
  });

  it('a configured limit is what it says, and a listener may ignore it', () => {
    const limit: ResourceMonitor = {
      name: 'envoy.resource_monitors.global_downstream_max_connections',
      kind: 'connections',
      max: 2,
    };
    const { own, lines, clock } = manager(config(limit, STOP_REQUESTS, 0.5));
    own.opened();
    expect(own.judge(listener())).toBe(Verdict.Serve);
    own.opened();
    expect(own.judge(listener())).toBe(Verdict.Overflow);
    expect(own.judge(listener({ ignoreGlobalConnLimit: true }))).toBe(Verdict.Serve);
    expect(lines[0]).toContain('it is set by overload_manager');
    clock.advance(250);
    expect(own.state.requests).toBe(1);
  });

  it('a configured limit that the descriptors do not allow is said at once', () => {
    const limit = (max: number): ResourceMonitor => ({ name: 'connections', kind: 'connections', max });
    expect(manager(config(limit(100), STOP_REQUESTS, 0.5)).lines).toEqual([]);
    const { lines } = manager(config(limit(101), STOP_REQUESTS, 0.5));
    expect(lines).toEqual([
      expect.stringContaining(
        'overload_manager allows 101 client connections, and the process may have 164 descriptors open: raise that limit (ulimit -n)',
      ),
    ]);
  });

  it.each([
    'envoy.overload_actions.reject_incoming_connections',
    'envoy.load_shed_points.tcp_listener_accept',
  ] as const)('%s refuses a share of them', (name) => {
    const file: ResourceMonitor = { name: 'f', kind: 'file', path: '' };
    const { own, clock } = manager(config(file, name, 0.5, 0.9), { readFile: () => '0.7' });
    clock.advance(250);
    const verdicts = Array.from({ length: 1000 }, () => own.judge(listener()));
    const refused = verdicts.filter((verdict) => verdict === Verdict.Reject).length;
    expect(refused / 1000).toBeCloseTo(0.5, 1);
    expect(own.judge(listener({ bypassOverloadManager: true }))).toBe(Verdict.Serve);
  });

  it('stop_accepting_connections holds them, saturated only, until there is relief', () => {
    let pressure = '0.8';
    let relieved = 0;
    const file: ResourceMonitor = { name: 'f', kind: 'file', path: '' };
    const { own, clock } = manager(config(file, 'envoy.overload_actions.stop_accepting_connections', 0.5, 0.9), {
      readFile: () => pressure,
    });
    own.onRelief = () => relieved++;
    clock.advance(250);
    expect(own.judge(listener())).toBe(Verdict.Serve);
    pressure = '0.9';
    clock.advance(250);
    expect(own.judge(listener())).toBe(Verdict.Hold);
    expect(own.judge(listener({ bypassOverloadManager: true }))).toBe(Verdict.Serve);
    pressure = '0.1';
    clock.advance(250);
    expect([own.judge(listener()), relieved]).toEqual([Verdict.Serve, 1]);
  });
});

it('reads the process itself', () => {
  const clock = manualClock();
  const heap: ResourceMonitor = { name: 'heap', kind: 'heap', maxBytes: 1024 };
  const own = new OverloadManager(config(heap, STOP_REQUESTS, 0.9), {
    clock,
    random: seededRandom(1),
    log: new LogRoot(clock, () => {}).logger(),
    stats: new StatStore(),
  });
  own.refresh();
  expect(own.state.requests).toBe(1);
  expect(own.maxConnections).toBeGreaterThan(100);
});

/** In a process of its own: rss of before, with buffers, and when all but a few are gone and were collected, MiB. */
const BUFFERS = `
  const { processProbes } = await import(${JSON.stringify(new URL('../../../../src/proxy/runtime/overload.ts', import.meta.url).href)});
  const rss = () => process.memoryUsage.rss() / 1024 / 1024;
  const probes = processProbes();
  probes.collectGarbage();
  const before = rss();
  let buffers = Array.from({ length: 3000 }, (_, i) => Buffer.alloc(64 * 1024, 1));
  const full = rss();
  // What lives on keeps the C library's heap from shrinking at its end.
  buffers = buffers.filter((_, i) => i % 500 === 499);
  for (let i = 0; i < 2; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    probes.collectGarbage();
  }
  console.log(JSON.stringify({ before, full, after: rss(), kept: buffers.length }));`;

it.runIf(process.platform === 'linux')('gives the memory of buffers that are gone back to the system', async () => {
  const flags = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', BUFFERS];
  const { stdout } = await promisify(execFile)(process.execPath, flags);
  const { before, full, after, kept } = JSON.parse(stdout);
  expect(kept).toBe(6);
  expect(full - before).toBeGreaterThan(150);
  expect(after - before).toBeLessThan(40);
});
