import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import { GrpcError } from '../../../../src/protocol/grpc/status.ts';
import { Backoff } from '../../../../src/xds/client/backoff.ts';
import { WILDCARD } from '../../../../src/xds/client/subscription.ts';
import { CLUSTER, LISTENER } from '../../../../src/xds/client/type-urls.ts';
import { describe as reasons } from '../../../../src/xds/client/verdict.ts';
import type { ManualClock } from '../../../support/clock.ts';
import { MemoryTransport, rig } from './memory-transport.ts';

describe('ADS client', () => {
  it('backs off more with each failure and starts over after an answer', () => {
    const { transport, client, clock } = rig('sotw');
    client.subscribe(CLUSTER, [WILDCARD]);
    client.start();
    const waits = Array.from({ length: 9 }, () => waitAfter(transport, clock));
    for (const [i, waited] of waits.entries()) {
      const full = Math.min(30_000, 500 * 2 ** i);
      expect(waited).toBeGreaterThanOrEqual(full / 2);
      expect(waited).toBeLessThanOrEqual(full + 50);
    }
    transport.respond({ type_url: CLUSTER, version_info: '1', nonce: 'n' });
    transport.end();
    clock.advance(500);
    expect(transport.opened).toBe(11);
  });

  it('asks again within 2 s for as long as nobody takes the connection', () => {
    const { transport, client, clock } = rig('delta');
    client.start();
    const refused = Object.assign(new Error('connect ECONNREFUSED 10.96.0.7:15012'), { code: 'ECONNREFUSED' });
    const plain = new GrpcError('UNAVAILABLE', refused.message, refused);
    const waits = Array.from({ length: 20 }, (_, i) => waitAfter(transport, clock, i % 2 === 0 ? refused : plain));
    expect(Math.max(...waits)).toBeLessThanOrEqual(2050);
    // What a server took and did not keep has its own growth, which begins where that of the refused ended.
    expect(waitAfter(transport, clock)).toBeLessThanOrEqual(2050);
    const later = Array.from({ length: 6 }, () => waitAfter(transport, clock));
    expect(later.at(-1)).toBeGreaterThan(15_000);
  });

  it('says why it is not connected once, and then each half minute', () => {
    const { transport, client, clock, log } = rig('delta');
    client.start();
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    let waited = 0;
    while (waited < 60_000) waited += waitAfter(transport, clock, refused);
    expect(log).toHaveLength(2);
    expect(log[1]).toMatch(/warning \[xds\] not connected reason="connect ECONNREFUSED" failures=\d\d retry_ms=\d+/);
    transport.end(new Error('14 UNAVAILABLE: gone'));
    expect(log[2]).toContain('reason="14 UNAVAILABLE: gone"');
    waitAfter(transport, clock);
    transport.respond({ type_url: CLUSTER, version_info: '1', nonce: 'n' });
    transport.end();
    expect(log.filter((line) => line.includes('not connected'))).toHaveLength(4);
  });

  it('tries the next target when one fails', () => {
    const [first, second] = [new MemoryTransport(), new MemoryTransport()];
    const { client, clock } = rig('delta', [first, second]);
    client.start();
    first.end();
    clock.advance(500);
    expect([first.opened, second.opened]).toEqual([1, 1]);
    second.end();
    clock.advance(1000);
    expect([first.opened, second.opened]).toEqual([2, 1]);
  });

  it('stops for good when closed', () => {
    const { transport, client, clock } = rig('sotw');
    client.start();
    transport.end();
    client.close();
    clock.advance(60_000);
    expect(transport.opened).toBe(1);
    expect(clock.pending).toBe(0);
    expect(transport.closed).toBe(true);
    expect(client.status.state).toBe('closed');
  });

  it('refuses a type that it cannot decode', () => {
    expect(() => rig('sotw').client.subscribe('type.googleapis.com/x', ['a'])).toThrow('no decoder');
  });

  it('says of a NACK what fits', () => {
    const rejected = Array.from({ length: 1000 }, (_, i) => ({ name: `listener-${i}`, reasons: ['wrong'] }));
    const message = reasons(LISTENER, rejected);
    expect(message.length).toBeLessThan(4200);
    expect(message).toMatch(/^LDS "listener-0": wrong\nLDS "listener-1": wrong\n/);
    expect(message).toMatch(/and \d+ more$/);
  });
});

/** How long it was until the client tried again, in steps of 50 ms. */
function waitAfter(transport: MemoryTransport, clock: ManualClock, error?: Error): number {
  transport.end(error);
  const { opened } = transport;
  let waited = 0;
  while (transport.opened === opened) {
    clock.advance(50);
    waited += 50;
  }
  return waited;
}

describe('back-off', () => {
  it('stays within its bounds', () => {
    const backoff = new Backoff(seededRandom(7), { baseMs: 100, maxMs: 1000 });
    for (let i = 0; i < 100; i++) {
      const full = Math.min(1000, 100 * 2 ** i);
      const delay = backoff.next();
      expect(delay).toBeGreaterThan(full / 2 - 1);
      expect(delay).toBeLessThanOrEqual(full);
    }
  });
});
