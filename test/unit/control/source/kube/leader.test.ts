import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../../../src/base/log.ts';
import { seededRandom } from '../../../../../src/base/random.ts';
import { KubeError, type KubeRequest } from '../../../../../src/control/source/kube/client.ts';
import { LeaderElection, type LeaseApi } from '../../../../../src/control/source/kube/leader.ts';
import { type ManualClock, manualClock } from '../../../../support/clock.ts';
import { settled } from './fixtures.ts';

interface Lease {
  metadata: { name: string; resourceVersion: string };
  spec: { holderIdentity: string; leaseTransitions: number; leaseDurationSeconds: number };
}

/** One Lease, with the API's optimistic locking. */
class FakeLeases {
  lease: Lease | null = null;
  #version = 0;
  readonly away = new Set<string>();

  api(identity: string): LeaseApi {
    return {
      send: async ({ method = 'GET', body }: KubeRequest) => {
        if (this.away.has(identity)) throw new KubeError(0, '', 'connection refused');
        if (method === 'GET') {
          if (this.lease === null) throw new KubeError(404, 'NotFound', 'no lease');
          return structuredClone(this.lease);
        }
        const wanted = structuredClone(body) as Lease;
        const present = this.lease?.metadata.resourceVersion;
        if (method === 'POST' ? present !== undefined : wanted.metadata.resourceVersion !== present) {
          throw new KubeError(409, 'Conflict', 'the object has been modified');
        }
        wanted.metadata.resourceVersion = String(++this.#version);
        this.lease = wanted;
        return structuredClone(wanted);
      },
    };
  }
}

function setUp(...identities: readonly string[]) {
  const leases = new FakeLeases();
  const clock = manualClock();
  const elections = identities.map(
    (identity, i) =>
      new LeaderElection({
        api: leases.api(identity),
        clock,
        random: seededRandom(i + 1),
        log: silentLogger(clock),
        namespace: 'remora-system',
        name: 'control',
        identity,
      }),
  );
  return { leases, clock, elections };
}

async function pass(clock: ManualClock, ms: number, check: () => void = () => {}): Promise<void> {
  for (let i = 0; i < ms; i += 100) {
    clock.advance(100);
    await settled();
    check();
  }
}

describe('leader election', () => {
  it('makes one of those who begin together leader', async () => {
    const { elections, clock } = setUp('a', 'b', 'c');
    for (const one of elections) one.start();
    await pass(clock, 5000);
    expect(elections.filter(({ now }) => now.leading)).toHaveLength(1);
    expect(new Set(elections.map(({ now }) => now.leader)).size).toBe(1);
  });

  it('keeps the leader while it renews', async () => {
    const { elections, clock, leases } = setUp('a', 'b');
    elections[0]?.start();
    await settled();
    elections[1]?.start();
    await pass(clock, 120_000, () => expect(elections[0]?.now.leading).toBe(true));
    expect(leases.lease?.spec.leaseTransitions).toBe(1);
  });

  it('never has two leaders: one that cannot renew stands down before another follows, with a higher term', async () => {
    const { elections, clock, leases } = setUp('a', 'b');
    const [a, b] = elections;
    if (a === undefined || b === undefined) throw new Error('two');
    a.start();
    await settled();
    b.start();
    await pass(clock, 5000);
    expect(a.now).toEqual({ leading: true, leader: 'a', term: 1 });
    leases.away.add('a');
    const never = () => expect(a.now.leading && b.now.leading).toBe(false);
    await pass(clock, 10_100, never);
    expect(a.now.leading).toBe(false);
    expect(b.now.leading).toBe(false);
    await pass(clock, 10_000, never);
    expect(b.now).toEqual({ leading: true, leader: 'b', term: 2 });
    leases.away.delete('a');
    await pass(clock, 5000, never);
    expect(a.now).toEqual({ leading: false, leader: 'b', term: 2 });
  });

  it('does not count on clocks that agree: a lease is old when it has been seen unchanged for long', async () => {
    const { elections, clock, leases } = setUp('a');
    leases.lease = {
      metadata: { name: 'control', resourceVersion: '0' },
      spec: { holderIdentity: 'z', leaseTransitions: 4, leaseDurationSeconds: 15 },
    };
    elections[0]?.start();
    await pass(clock, 14_000);
    expect(elections[0]?.now).toEqual({ leading: false, leader: 'z', term: 4 });
    await pass(clock, 6_000);
    expect(elections[0]?.now).toEqual({ leading: true, leader: 'a', term: 5 });
  });

  it('gives the lease up when it is closed, so that the next need not wait', async () => {
    const { elections, clock } = setUp('a', 'b');
    elections[0]?.start();
    await settled();
    elections[1]?.start();
    await pass(clock, 3000);
    await elections[0]?.close();
    expect(elections[0]?.now.leading).toBe(false);
    await pass(clock, 2500);
    expect(elections[1]?.now.leading).toBe(true);
  });
});
