import { describe, expect, it } from 'vitest';
import { LogRoot } from '../../../../src/base/log.ts';
import { CertificateAuthority } from '../../../../src/control/ca/authority.ts';
import { newRoot } from '../../../../src/control/ca/root.ts';
import { manualClock } from '../../../support/clock.ts';
import { authorityOptions, CALLER, CALLER_ID, csr, DAY_MS, MemoryStore, x509 } from './support.ts';

async function started(parts: Parameters<typeof authorityOptions>[0] = {}) {
  const clock = parts.clock ?? manualClock();
  const ca = new CertificateAuthority(authorityOptions({ ...parts, clock }));
  await ca.start();
  return { ca, clock };
}

/** What a look of the CA's is doing ends. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('the CA', () => {
  it('makes a root where there is none, and keeps that of whoever was faster', async () => {
    const store = new MemoryStore();
    const [a, b] = await Promise.all([started({ store }), started({ store })]);
    expect(store.saves).toBe(1);
    expect(a.ca.roots.value).toBe(b.ca.roots.value);
    const later = await started({ store });
    expect(later.ca.roots.value).toBe(a.ca.roots.value);
  });

  it('signs for the caller, for a day at most, from a little before now', async () => {
    const { ca, clock } = await started();
    const issued = ca.signWorkload(csr(), CALLER);
    const leaf = x509(issued.chain[0]!);
    expect(leaf.subjectAltName).toBe(`URI:${CALLER_ID}`);
    expect(leaf.validToDate.getTime() - clock.wall()).toBe(DAY_MS);
    expect(clock.wall() - leaf.validFromDate.getTime()).toBe(120_000);
    expect(leaf.verify(x509(issued.roots).publicKey)).toBe(true);
    const days = (asked: number) =>
      x509(ca.signWorkload(csr(), CALLER, asked).chain[0]!).validToDate.getTime() - clock.wall();
    expect([days(3_600_000), days(7 * DAY_MS), days(5)]).toEqual([3_600_000, DAY_MS, 60_000]);
  });

  it('signs for nobody else than the caller', async () => {
    const { ca } = await started();
    const other = csr({ names: [[0x86, 'spiffe://cluster.local/ns/kube-system/sa/admin']] });
    expect(() => ca.signWorkload(other, CALLER)).toThrow(/the request is for .*admin, and the caller is .*reviews/);
    const none = ca.signWorkload(csr({ names: [[0x82, 'admin.example.com']] }), CALLER);
    expect(x509(none.chain[0]!).subjectAltName).toBe(`URI:${CALLER_ID}`);
  });

  it('signs nothing beyond the life of its own certificate', async () => {
    const clock = manualClock();
    const store = new MemoryStore(newRoot('cluster.local', clock.wall() - 3649.5 * DAY_MS));
    const { ca } = await started({ clock, store, mayRotate: () => false });
    const end = ca.material!.certificate.validToDate.getTime();
    expect(ca.signWorkload(csr(), CALLER).notAfter).toBe(end);
    clock.advance(DAY_MS);
    expect(() => ca.signWorkload(csr(), CALLER)).toThrow(/expired/);
    await ca.close();
  });

  it('uses what is plugged in, and takes a new one in force without a restart', async () => {
    const clock = manualClock();
    const plugged = new MemoryStore(newRoot('cluster.local', clock.wall()));
    const store = new MemoryStore();
    const { ca } = await started({ clock, store, plugged });
    expect([store.saves, ca.roots.value]).toEqual([0, plugged.stored!.files['root-cert.pem']]);
    const heard: string[] = [];
    ca.roots.subscribe((pem) => heard.push(pem));
    plugged.stored = { files: newRoot('cluster.local', clock.wall()), version: '2' };
    clock.advance(30_000);
    await settled();
    expect(heard).toEqual([plugged.stored.files['root-cert.pem']]);
    // What its owner breaks does not take it away.
    plugged.stored = { files: { 'ca-cert.pem': 'broken' }, version: '3' };
    clock.advance(30_000);
    await settled();
    expect(ca.roots.value).toBe(heard[0]);
    expect(ca.signWorkload(csr(), CALLER).chain).toHaveLength(1);
  });

  // pains.md row 51
  it('says that a plugged-in CA is not renewed; its own root it renews itself', async () => {
    const clock = manualClock();
    const lines: string[] = [];
    const log = new LogRoot(clock, (line) => lines.push(line), 'info').logger();
    const files = newRoot('cluster.local', clock.wall());
    const { ca } = await started({ clock, log, plugged: new MemoryStore(files) });
    const own = await started({ clock, log, mayRotate: () => false });
    const said = () => lines.filter((line) => line.includes('of its life'));
    const years = async (number: number) => {
      clock.advance(number * 365 * DAY_MS - 60_000);
      for (let i = 0; i < 3; i++) {
        clock.advance(30_000);
        await settled();
      }
    };
    await years(4.9);
    expect(said()).toEqual([]);
    await years(0.2);
    expect(said()).toEqual([expect.stringMatching(/of memory has used 51 % of its life, to .*: replace it/)]);
    await years(3);
    expect(said()).toHaveLength(2);
    expect(said()[1]).toContain('has used 81 % of its life');
    await Promise.all([ca.close(), own.ca.close()]);
  });

  it('goes on while its store is away', async () => {
    const store = new MemoryStore();
    const { ca, clock } = await started({ store });
    store.failure = new Error('the API server is away');
    for (let i = 0; i < 3; i++) {
      clock.advance(30_000);
      await settled();
    }
    expect(ca.signWorkload(csr(), CALLER).chain).toHaveLength(1);
    store.failure = null;
    store.stored = { files: { ...store.stored!.files, 'rotate-root': '' }, version: '9' };
    clock.advance(30_000);
    await settled();
    expect(ca.material?.stage).toBe('announced');
  });

  it('changes roots only where it leads; the others follow', async () => {
    const store = new MemoryStore();
    const clock = manualClock();
    let leads = false;
    const follower = await started({ store, clock, mayRotate: () => false });
    const leader = await started({ store, clock, mayRotate: () => leads });
    store.stored = { files: { ...store.stored!.files, 'rotate-root': '' }, version: '5' };
    const stages = () => [leader.ca.material?.stage, follower.ca.material?.stage];
    const look = async () => {
      clock.advance(30_000);
      await settled();
      clock.advance(30_000);
      await settled();
    };
    await look();
    expect(stages()).toEqual(['stable', 'stable']);
    leads = true;
    await look();
    expect(stages()).toEqual(['announced', 'announced']);
    expect(follower.ca.roots.value).toBe(leader.ca.roots.value);
    clock.advance(1.1 * DAY_MS);
    await settled();
    await look();
    expect(stages()).toEqual(['signing', 'signing']);
  });

  it('refuses a store that holds no CA', async () => {
    const ca = new CertificateAuthority(authorityOptions({ store: new MemoryStore({ 'ca-cert.pem': 'x' }) }));
    await expect(ca.start()).rejects.toThrow(/ca-cert.pem/);
    expect(ca.ready).toBe(false);
    expect(() => ca.signWorkload(csr(), CALLER)).toThrow(/not there yet/);
  });
});
