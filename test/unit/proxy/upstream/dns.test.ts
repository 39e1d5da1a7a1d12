import { describe, expect, it } from 'vitest';
import type { DnsSettings } from '../../../../src/model/cluster.ts';
import type { LoadAssignment } from '../../../../src/model/endpoint.ts';
import { DnsDiscovery } from '../../../../src/proxy/upstream/dns.ts';
import { ClusterStats } from '../../../../src/proxy/upstream/stats.ts';
import { assignment, environment, stat } from './support.ts';

const SETTINGS: DnsSettings = {
  refreshMs: 5000,
  failureBaseMs: 1000,
  failureMaxMs: 8000,
  jitterMs: 0,
  lookupFamily: 'AUTO',
};

function discovery(
  of: LoadAssignment,
  answers: (name: string) => string[] | Error,
  settings: Partial<DnsSettings> = {},
  kind: 'STRICT_DNS' | 'LOGICAL_DNS' = 'STRICT_DNS',
) {
  const asked: string[] = [];
  const published: string[][] = [];
  const env = environment({
    resolve: async (name) => {
      asked.push(name);
      const answer = answers(name);
      if (answer instanceof Error) throw answer;
      return answer;
    },
  });
  const stats = new ClusterStats(env.stats, 'c');
  const dns = new DnsDiscovery(of, { ...SETTINGS, ...settings }, kind, stats, env, (got) =>
    published.push(
      got.localities.flatMap((group) => group.endpoints.map((e) => `${e.address.host}:${e.address.port}`)),
    ),
  );
  dns.start();
  /** Lets look-ups that are under way answer. */
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  const advance = async (ms: number) => {
    env.clock.advance(ms);
    await settle();
  };
  return { dns, asked, published, env, settle, advance };
}

describe('DNS discovery', () => {
  it('publishes every address of every name, each with its port', async () => {
    const d = discovery(assignment('one:80', 'two:81'), (name) =>
      name === 'one' ? ['10.0.0.2', '10.0.0.1'] : ['10.0.0.9'],
    );
    expect(d.published).toEqual([]);
    await d.settle();
    expect(d.published).toEqual([['10.0.0.1:80', '10.0.0.2:80', '10.0.0.9:81']]);
  });

  it('asks for a name once that two endpoints share', async () => {
    const d = discovery(assignment('one:80', 'one:81'), () => ['10.0.0.1']);
    await d.settle();
    expect(d.asked).toEqual(['one']);
    expect(d.published).toEqual([['10.0.0.1:80', '10.0.0.1:81']]);
  });

  it('publishes addresses and localhost at once, without asking', () => {
    const d = discovery(assignment('10.0.0.1:80', 'localhost:81'), () => new Error('asked'));
    expect(d.published).toEqual([['10.0.0.1:80', '127.0.0.1:81']]);
    expect(d.asked).toEqual([]);
    expect(d.env.clock.pending).toBe(0);
  });

  it('asks again after the refresh rate and publishes only changes', async () => {
    let answer = ['10.0.0.1', '10.0.0.2'];
    const d = discovery(assignment('one'), () => answer);
    await d.settle();
    answer = ['10.0.0.2', '10.0.0.1'];
    await d.advance(5010);
    expect(d.asked.length).toBe(2);
    expect(d.published.length).toBe(1);
    answer = ['10.0.0.3'];
    await d.advance(5010);
    expect(d.published.at(-1)).toEqual(['10.0.0.3:80']);
    expect(stat(d.env.stats, 'cluster.c.update_no_rebuild')).toBe(1);
  });

  it('keeps the last good answer when a look-up fails', async () => {
    let answer: string[] | Error = ['10.0.0.1'];
    const d = discovery(assignment('one'), () => answer);
    await d.settle();
    answer = new Error('SERVFAIL');
    await d.advance(5010);
    expect(stat(d.env.stats, 'cluster.c.update_failure')).toBe(1);
    expect(d.published).toEqual([['10.0.0.1:80']]);
    answer = ['10.0.0.1'];
    await d.advance(1010);
    expect(d.published.length).toBe(1);
  });

  it('publishes an empty assignment when a name fails from the start, and backs off', async () => {
    const d = discovery(assignment('one'), () => new Error('ENOTFOUND'));
    await d.settle();
    expect(d.published).toEqual([[]]);
    const times: number[] = [];
    let asked = d.asked.length;
    for (let ms = 0; ms < 60_000; ms += 100) {
      await d.advance(100);
      if (d.asked.length > asked) times.push(ms);
      asked = d.asked.length;
    }
    const gaps = times.map((time, i) => time - (times[i - 1] ?? 0));
    expect(gaps[0]).toBeLessThanOrEqual(1100);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(8100);
    expect(Math.min(...gaps.slice(4))).toBeGreaterThanOrEqual(3900);
  });

  it.each([
    ['AUTO', ['fd00::1']],
    ['V4_ONLY', ['10.0.0.1']],
    ['V6_ONLY', ['fd00::1']],
    ['V4_PREFERRED', ['10.0.0.1']],
    ['ALL', ['10.0.0.1', 'fd00::1']],
  ] as const)('takes the addresses of family %s', async (lookupFamily, hosts) => {
    const d = discovery(assignment('one'), () => ['10.0.0.1', 'fd00::1'], { lookupFamily });
    await d.settle();
    expect(d.published).toEqual([hosts.map((host) => `${host}:80`)]);
  });

  it('treats an answer without the wanted family as a failure', async () => {
    const d = discovery(assignment('one'), () => ['10.0.0.1'], { lookupFamily: 'V6_ONLY' });
    await d.settle();
    expect(d.published).toEqual([[]]);
    expect(stat(d.env.stats, 'cluster.c.update_empty')).toBe(1);
  });

  it('takes one address in LOGICAL_DNS and stays with it while it is answered', async () => {
    let answer = ['10.0.0.1', '10.0.0.2'];
    const d = discovery(assignment('one'), () => answer, {}, 'LOGICAL_DNS');
    await d.settle();
    answer = ['10.0.0.2', '10.0.0.1'];
    await d.advance(5010);
    expect(d.published).toEqual([['10.0.0.1:80']]);
    answer = ['10.0.0.2'];
    await d.advance(5010);
    expect(d.published.at(-1)).toEqual(['10.0.0.2:80']);
  });

  it('says nothing after it was closed', async () => {
    const d = discovery(assignment('one'), () => ['10.0.0.1']);
    d.dns.close();
    await d.settle();
    expect(d.published).toEqual([]);
    expect(d.env.clock.pending).toBe(0);
  });
});
