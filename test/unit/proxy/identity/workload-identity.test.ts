import { describe, expect, it } from 'vitest';
import { LogRoot } from '../../../../src/base/log.ts';
import { CertificateAuthority } from '../../../../src/control/ca/authority.ts';
import { readCsr } from '../../../../src/control/ca/csr.ts';
import type { TlsSecret } from '../../../../src/model/tls.ts';
import type { IdentityFile, KeptIdentity } from '../../../../src/proxy/identity/identity-file.ts';
import { WorkloadIdentity } from '../../../../src/proxy/identity/workload-identity.ts';
import { manualClock } from '../../../support/clock.ts';
import { authorityOptions, CALLER, CALLER_ID, DAY_MS, csr as foreignCsr, x509 } from '../../control/ca/support.ts';

/** What attempts have begun is over: a key is made by a thread of its own. */
async function until(look: () => boolean): Promise<void> {
  for (let i = 0; !look(); i++) {
    if (i > 20_000) throw new Error('it does not come');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function setup(chance = 0.5, file: Pick<IdentityFile, 'load' | 'save'> | null = null, ttlMs = DAY_MS) {
  const clock = manualClock();
  const ca = new CertificateAuthority(authorityOptions({ clock, ttlMs }));
  await ca.start();
  const published: ReadonlyMap<string, TlsSecret>[] = [];
  const lines: string[] = [];
  const state = {
    asked: 0,
    failure: null as Error | null,
    more: '',
    signs: (csr: string) => ca.signWorkload(csr, CALLER),
  };
  const identity = new WorkloadIdentity({
    id: CALLER,
    certify: (csr) => {
      state.asked++;
      if (state.failure !== null) return Promise.reject(state.failure);
      const { chain, roots } = state.signs(csr);
      return Promise.resolve([...chain, roots]);
    },
    moreRoots: () => state.more,
    publish: (secrets) => published.push(secrets),
    file,
    clock,
    random: { next: () => chance, int: () => 0 },
    log: new LogRoot(clock, (line) => lines.push(line), 'debug').logger(),
  });
  const leaf = (which = published.at(-1)) => {
    const secret = which?.get('default');
    if (secret?.kind !== 'tls_certificate' || secret.certificate.chain.kind !== 'inline')
      throw new Error('no certificate');
    return x509(secret.certificate.chain.bytes.reveal().toString());
  };
  return { clock, ca, identity, state, published, lines, leaf };
}

describe('the identity of a workload', () => {
  it('is asked for at once, and ready with the first certificate', async () => {
    const { identity, published, leaf, lines, clock } = await setup();
    identity.start();
    await identity.ready;
    expect([...published[0]!.keys()].sort()).toEqual(['ROOTCA', 'default']);
    expect(leaf().subjectAltName).toBe(`URI:${CALLER_ID}`);
    expect(identity.status).toMatchObject({ id: CALLER_ID, notAfter: clock.wall() + DAY_MS, trouble: '' });
    expect(JSON.stringify(published[0]!.get('default'))).not.toContain('PRIVATE');
    expect(lines.join('')).not.toContain('PRIVATE');
    identity.close();
    expect(clock.pending).toBe(1);
  });

  it.each([
    [0, 0.45],
    [0.5, 0.5],
    [1, 0.55],
  ])('is renewed at half of its life, with another key (chance %s)', async (chance, share) => {
    const { identity, clock, published, leaf } = await setup(chance);
    identity.start();
    await identity.ready;
    const first = leaf();
    clock.advance(share * DAY_MS - 1000);
    expect(published).toHaveLength(1);
    clock.advance(2000);
    await until(() => published.length === 2);
    expect(leaf().publicKey.equals(first.publicKey)).toBe(false);
    expect(leaf().serialNumber).not.toBe(first.serialNumber);
  });

  it('is asked for again with pauses that grow, while the CA is away, and lasts to its end', async () => {
    const { identity, clock, state, published, lines } = await setup(0);
    state.failure = new Error('away');
    identity.start();
    const pauses: number[] = [];
    for (let i = 1; i <= 9; i++) {
      await until(() => identity.status.trouble !== '' && state.asked === i && clock.pending === 2);
      pauses.push(identity.status.renewAt - clock.wall());
      clock.advance(pauses.at(-1)!);
    }
    expect(pauses).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    state.failure = null;
    clock.advance(30_000);
    await identity.ready;
    expect(published).toHaveLength(1);
    // Away again, from the renewal on: what is in force stays.
    state.failure = new Error('away');
    const before = state.asked;
    clock.advance(0.45 * DAY_MS + 1000);
    await until(() => state.asked === before + 1 && identity.status.trouble !== '');
    expect(published).toHaveLength(1);
    expect(lines.filter((line) => line.includes('no certificate from the CA: away')).at(-1)).toContain('validUntil');
  });

  it.each<[string, (s: Awaited<ReturnType<typeof setup>>) => void, RegExp]>([
    [
      'another key',
      ({ state, ca }) => {
        const foreign = foreignCsr();
        state.signs = () => ca.signWorkload(foreign, CALLER);
      },
      /another key/,
    ],
    [
      'another workload',
      ({ state, ca }) => {
        state.signs = (csr) => ({ ...ca.signServer(readCsr(csr).spki, ['reviews']) });
      },
      /certified reviews, and this proxy is spiffe:\/\/cluster.local/,
    ],
    [
      'no roots',
      ({ state }) => {
        const { signs } = state;
        state.signs = (csr) => ({ ...signs(csr), roots: '' });
      },
      /is empty/,
    ],
  ])('does not take an answer with %s', async (_, spoil, reason) => {
    const all = await setup();
    spoil(all);
    all.identity.start();
    await until(() => all.identity.status.trouble !== '');
    expect(all.identity.status.trouble).toMatch(reason);
    expect(all.published).toEqual([]);
  });

  it('trusts the roots of the CA’s answer and those that are given besides, as they change', async () => {
    const { identity, state, published, ca } = await setup();
    identity.refreshRoots();
    identity.start();
    await identity.ready;
    const roots = (which: number) => {
      const secret = published[which]?.get('ROOTCA');
      if (secret?.kind !== 'validation_context' || secret.validation.trustedCa?.kind !== 'inline')
        throw new Error('none');
      return secret.validation.trustedCa.bytes.reveal().toString();
    };
    expect(roots(0).trim()).toBe(ca.roots.value.trim());
    state.more = 'MORE';
    identity.refreshRoots();
    expect(roots(1)).toBe(`${ca.roots.value}\nMORE`);
    // The certificate is the same object: no context of it is made anew.
    expect(published[1]!.get('default')).toBe(published[0]!.get('default'));
  });

  // pains.md row 51
  it('says that it could not be renewed, and again as the end comes nearer', async () => {
    const lifeMs = DAY_MS / 24;
    const { identity, clock, state, lines } = await setup(0.5, null, lifeMs);
    identity.start();
    await identity.ready;
    state.failure = new Error('away');
    const begun = clock.wall();
    const said = () => lines.filter((line) => line.includes('no certificate from the CA: away'));
    const until80: number[] = [];
    while (clock.wall() < begun + 0.9 * lifeMs) {
      const before = state.asked;
      clock.advance(Math.max(1, identity.status.renewAt - clock.wall()));
      await until(() => state.asked === before + 1 && identity.status.renewAt > clock.wall());
      until80.push(said().length);
    }
    expect(said().map((line) => /lifeUsed="?(\d+) %/.exec(line)?.[1])).toEqual(['51', '80']);
    expect(new Set(until80)).toEqual(new Set([1, 2]));
  });

  // pains.md row 7
  describe('of an earlier process', () => {
    function memoryFile(): Pick<IdentityFile, 'load' | 'save'> & { kept: KeptIdentity | null } {
      return {
        kept: null,
        save(kept) {
          this.kept = kept;
        },
        load() {
          return this.kept;
        },
      };
    }

    it('serves at once while the CA is away, and is replaced when it is back', async () => {
      const file = memoryFile();
      const first = await setup(0.5, file);
      first.identity.start();
      await first.identity.ready;
      first.identity.close();
      const again = await setup(0.5, file);
      again.state.failure = new Error('away');
      again.identity.start();
      await again.identity.ready;
      expect(again.leaf().serialNumber).toBe(first.leaf().serialNumber);
      expect(again.identity.status.notAfter).toBe(first.identity.status.notAfter);
      await until(() => again.identity.status.trouble === 'away');
      again.state.failure = null;
      again.clock.advance(1000);
      await until(() => again.published.length === 2);
      expect(again.leaf().serialNumber).not.toBe(first.leaf().serialNumber);
    });

    it('is not used when it has expired, or is somebody else’s', async () => {
      const file = memoryFile();
      const first = await setup(0.5, file);
      first.identity.start();
      await first.identity.ready;
      const late = await setup(0.5, file);
      late.clock.advance(DAY_MS + 1);
      late.state.failure = new Error('away');
      late.identity.start();
      await until(() => late.identity.status.trouble === 'away');
      expect(late.published).toEqual([]);
      expect(late.lines.join('')).toContain('the certificate has expired already');
      const { chain, roots } = first.ca.signServer(readCsr(foreignCsr()).spki, ['ratings']);
      file.kept = { key: file.kept!.key, answer: [...chain, roots] };
      const other = await setup(0.5, file);
      other.state.failure = new Error('away');
      other.identity.start();
      await until(() => other.identity.status.trouble === 'away');
      expect(other.published).toEqual([]);
    });
  });
});
