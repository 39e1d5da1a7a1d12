import { describe, expect, it } from 'vitest';
import { encode, typeUrl } from '../../../../src/xds/proto/codec.ts';
import { NameTable } from '../../../../src/xds/proto/gen/istio/networking/nds/v1.ts';
import { NAME_TABLE } from '../../../../src/xds/resources/name-table.ts';
import { testContext } from './support.ts';

function decode(message: NameTable, more: readonly number[] = []) {
  const value = Buffer.concat([encode(NameTable, message), Uint8Array.from(more)]);
  return NAME_TABLE.decode({ type_url: typeUrl(NameTable), value }, testContext());
}

describe('NAME_TABLE', () => {
  it('has the type URL of Istio’s NDS', () =>
    expect(NAME_TABLE.typeUrl).toBe('type.googleapis.com/istio.networking.nds.v1.NameTable'));

  it('reads Services and others', () => {
    const decoded = decode({
      table: {
        'Reviews.default.svc.cluster.local.': {
          ips: ['10.0.0.1', 'fd00::1'],
          registry: 'Kubernetes',
          shortname: 'reviews',
          namespace: 'default',
        },
        '*.example.com': { ips: ['240.240.0.1'], registry: 'External', shortname: 'x', alt_hosts: ['Other.example'] },
      },
    });
    expect(decoded).toMatchObject({ ok: true, name: '', warnings: [] });
    expect(decoded.ok && decoded.resource.entries).toEqual([
      {
        host: 'reviews.default.svc.cluster.local',
        addresses: ['10.0.0.1', 'fd00::1'],
        aliases: [],
        service: { name: 'reviews', namespace: 'default' },
      },
      { host: '*.example.com', addresses: ['240.240.0.1'], aliases: ['other.example'], service: null },
    ]);
  });
  it('a table of one host is called as it', () =>
    expect(decode({ table: { 'a.example': { ips: ['10.0.0.1'] } } })).toMatchObject({ ok: true, name: 'a.example' }));
  it('nothing is a table too', () =>
    expect(decode({})).toMatchObject({ ok: true, name: '', resource: { entries: [] } }));
  it('what has no address is left out and said', () => {
    const decoded = decode({
      table: { a: { ips: ['10.0.0.0/8', ''] }, b: { ips: ['10.0.0.1', 'x'] }, '': { ips: ['10.0.0.2'] } },
    });
    expect(decoded).toMatchObject({ ok: true, resource: { entries: [{ host: 'b', addresses: ['10.0.0.1'] }] } });
    expect(decoded.warnings.map(({ path }) => path)).toEqual(['table["a"].ips', 'table[""]']);
  });
  it('fields of a newer version are passed over', () =>
    expect(decode({ table: { a: { ips: ['10.0.0.1'] } } }, [0x7a, 1, 0x61])).toMatchObject({ ok: true, name: 'a' }));
  it('octets that are no message are refused', () => expect(decode({}, [0x0a, 200])).toMatchObject({ ok: false }));
  it('another type is refused', () =>
    expect(
      NAME_TABLE.decode({ type_url: 'type.googleapis.com/x.Y', value: new Uint8Array(0) }, testContext()),
    ).toMatchObject({
      ok: false,
    }));
});
