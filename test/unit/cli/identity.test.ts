import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { identityMetadata, identitySettings, secureTarget } from '../../../src/cli/identity.ts';

const WORKLOAD = { namespace: 'shop', serviceAccount: 'reviews' };
const POD = { CA_ADDR: 'remora-control.remora-system.svc:15012', TRUST_DOMAIN: 'mesh.example' };
const CONTROL = 'remora-control.remora-system.svc:15012';

describe('the identity of a proxy', () => {
  it('is its pod’s service account, as injection arranges it', () => {
    const settings = identitySettings({}, POD, CONTROL, WORKLOAD);
    expect(settings).toMatchObject({
      id: { trustDomain: 'mesh.example', ...WORKLOAD },
      ca: { address: POD.CA_ADDR, secure: true },
      control: { address: CONTROL, secure: true },
      rootsPath: '/var/run/secrets/istio/root-cert.pem',
    });
    expect(identityMetadata(settings)).toEqual({ REMORA_IDENTITY: 'spiffe://mesh.example/ns/shop/sa/reviews' });
  });

  it('is none where nobody says where a CA is', () => {
    expect(identitySettings({}, { TRUST_DOMAIN: 'x' }, CONTROL, WORKLOAD)).toBeNull();
    expect(identityMetadata(null)).toEqual({});
  });

  it('is what flags say, over the environment', () => {
    const flags = { caAddress: 'http://127.0.0.1:15010', caToken: '/t', caRoot: '/r', trustDomain: 'flag.example' };
    expect(identitySettings(flags, POD, '127.0.0.1:15010', { ...WORKLOAD, serviceAccount: '' })).toMatchObject({
      id: { trustDomain: 'flag.example', serviceAccount: 'default' },
      ca: { secure: false },
      control: { secure: false },
      tokenPath: '/t',
      rootsPath: '/r',
    });
  });

  it('has no token where there is no file', () => {
    const settings = identitySettings({ caAddress: '127.0.0.1:15010' }, {}, '127.0.0.1:15010', WORKLOAD);
    expect([settings?.tokenPath, settings?.rootsPath]).toEqual(['', '']);
    expect(
      identitySettings({ caAddress: '127.0.0.1:1', caToken: join(import.meta.dirname, 'x') }, {}, 'a:1', WORKLOAD)
        ?.tokenPath,
    ).toMatch(/x$/);
  });
});

describe('where a server is', () => {
  it.each([
    ['a.svc:15012', 'a.svc:15012', true],
    ['a.svc:15010', 'a.svc:15010', false],
    ['https://a.svc:443', 'a.svc:443', true],
    ['http://a.svc:15012', 'a.svc:15012', false],
    ['[::1]:15012', '[::1]:15012', true],
  ])('says whether it is spoken to by TLS: %s', (text, address, secure) => {
    expect(secureTarget(text, '--control')).toEqual({ address, secure });
  });

  it.each(['a.svc', 'ftp://a:1', 'https://a', 'a:b', '', 'a:1/path'])('is refused: %j', (text) => {
    expect(() => secureTarget(text, '--control')).toThrow(`--control ${text}: must be host:port`);
  });
});
