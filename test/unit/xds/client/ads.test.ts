import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import { Backoff } from '../../../../src/xds/client/backoff.ts';
import { WILDCARD } from '../../../../src/xds/client/subscription.ts';
import { CLUSTER, LISTENER } from '../../../../src/xds/client/type-urls.ts';
import { describe as reasons } from '../../../../src/xds/client/verdict.ts';
import { MemoryTransport, rig } from './memory-transport.ts';

describe('ADS client', () => {
  it('backs off more with each failure and starts over after an answer', () => {
    const { transport, client, clock } = rig('sotw');
    client.subscribe(CLUSTER, [WILDCARD]);
    client.start();
    const waits: number[] = [];
    for (let i = 0; i < 9; i++) {
      transport.end();
      const opened = transport.opened;
      let waited = 0;
      while (transport.opened === opened) {
        clock.advance(50);
        waited += 50;
      }
      waits.push(waited);
    }
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
