import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../../src/base/log.ts';
import { CertificateAuthority } from '../../../../src/control/ca/authority.ts';
import { authenticator, certificateService } from '../../../../src/control/ca/certificate-service.ts';
import { TokenRefused, type TokenReviewer } from '../../../../src/control/ca/token-review.ts';
import type { CallFacts } from '../../../../src/control/serve/caller.ts';
import { decode, encode, Problems } from '../../../../src/xds/proto/codec.ts';
import {
  CREATE_CERTIFICATE,
  IstioCertificateRequest,
  IstioCertificateResponse,
} from '../../../../src/xds/proto/istio-ca.ts';
import { manualClock } from '../../../support/clock.ts';
import { authorityOptions, CALLER, CALLER_ID, csr, x509 } from './support.ts';

const CALL: CallFacts = { peer: '10.0.0.7:40000', secure: true, loopback: false, token: '', certificate: null };
const REVIEWER = {
  identify: (token: string) =>
    token === 'pod'
      ? Promise.resolve(CALLER)
      : Promise.reject(token === 'away' ? new Error('away') : new TokenRefused('no')),
} as unknown as TokenReviewer;

describe('who calls', () => {
  const cluster = authenticator({ reviewer: REVIEWER, local: '' });
  const laptop = authenticator({ reviewer: null, local: 'mine' });

  it.each<[string, Partial<CallFacts>]>([
    ['by a certificate', { certificate: CALLER }],
    ['by a token', { token: 'pod' }],
    ['by a certificate, whatever the token', { certificate: CALLER, token: 'stolen' }],
  ])('is known %s', async (_, call) => {
    expect(await cluster({ ...CALL, ...call })).toEqual(CALLER);
  });

  it.each<[string, Partial<CallFacts>, string, RegExp]>([
    ['shows nothing', {}, 'UNAUTHENTICATED', /neither a certificate/],
    ['shows a token that is refused', { token: 'other' }, 'UNAUTHENTICATED', /^no$/],
    ['shows a token in plain text', { token: 'pod', secure: false }, 'UNAUTHENTICATED', /over TLS only/],
    ['comes while nobody can be asked', { token: 'away' }, 'UNAVAILABLE', /away/],
    ['has an empty token like the one that a cluster does not have', { loopback: true }, 'UNAUTHENTICATED', /neither/],
  ])('is refused who %s', async (_, call, code, reason) => {
    await expect(cluster({ ...CALL, ...call })).rejects.toMatchObject({ code, message: expect.stringMatching(reason) });
  });

  it('on a laptop is this user’s process, from this machine, and nobody else', async () => {
    expect(await laptop({ ...CALL, token: 'mine', loopback: true, secure: false })).toBe('local');
    await expect(laptop({ ...CALL, token: 'mine' })).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    await expect(laptop({ ...CALL, token: 'mind', loopback: true })).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    await expect(laptop({ ...CALL, token: 'min', loopback: true })).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });
});

describe('IstioCertificateService', () => {
  async function service(caller: typeof CALLER | 'local' = CALLER) {
    const clock = manualClock();
    const ca = new CertificateAuthority(authorityOptions({ clock }));
    await ca.start();
    const method = certificateService(ca, () => Promise.resolve(caller), silentLogger(clock));
    expect(method.path).toBe(CREATE_CERTIFICATE);
    return async (request: IstioCertificateRequest | Uint8Array) => {
      const bytes = request instanceof Uint8Array ? request : encode(IstioCertificateRequest, request);
      const answer = await method.handle(bytes, CALL);
      return decode(IstioCertificateResponse, answer, new Problems()).cert_chain ?? [];
    };
  }

  it('answers with the leaf first and the roots last', async () => {
    const create = await service();
    const chain = await create({ csr: csr(), validity_duration: 3600, metadata: { ClusterID: 'Kubernetes' } });
    expect(chain).toHaveLength(2);
    const leaf = x509(chain[0]!);
    expect(leaf.subjectAltName).toBe(`URI:${CALLER_ID}`);
    expect(leaf.validToDate.getTime() - leaf.validFromDate.getTime()).toBe(3_600_000 + 120_000);
    expect(leaf.verify(x509(chain[1]!).publicKey)).toBe(true);
  });

  it('lets a process of its own user say who it is, within the trust domain', async () => {
    const create = await service('local');
    expect(x509((await create({ csr: csr() }))[0]!).subjectAltName).toBe(`URI:${CALLER_ID}`);
    for (const uri of ['spiffe://other/ns/shop/sa/reviews', 'https://example.com']) {
      await expect(create({ csr: csr({ names: [[0x86, uri]] }) })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
    await expect(create({ csr: csr({ names: [] }) })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('refuses what is no request, with the reason', async () => {
    const create = await service();
    await expect(create({})).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', message: /not PEM/ });
    await expect(create(Buffer.from([0x0a, 0xff]))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    const other = csr({ names: [[0x86, 'spiffe://cluster.local/ns/shop/sa/admin']] });
    await expect(create({ csr: other })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('is not there before the CA is', async () => {
    const clock = manualClock();
    const ca = new CertificateAuthority(authorityOptions({ clock }));
    const method = certificateService(ca, () => Promise.resolve(CALLER), silentLogger(clock));
    await expect(method.handle(encode(IstioCertificateRequest, { csr: csr() }), CALL)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });
});
