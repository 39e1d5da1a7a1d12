import { describe, expect, it } from 'vitest';
import { decodersOf, type HeldResource } from '../../../../src/xds/client/resource-decoder.ts';
import { judge, type Received } from '../../../../src/xds/client/verdict.ts';
import { encode, typeUrl } from '../../../../src/xds/proto/codec.ts';
import { NameTable } from '../../../../src/xds/proto/gen/istio/networking/nds/v1.ts';
import { NAME_TABLE } from '../../../../src/xds/resources/name-table.ts';
import { testContext } from '../resources/support.ts';

const [decoder] = decodersOf([NAME_TABLE], testContext());
const none: ReadonlyMap<string, HeldResource> = new Map();

function table(...hosts: string[]): Received['any'] {
  const entries = hosts.map((host) => [host, { ips: ['10.0.0.1'] }]);
  return { type_url: typeUrl(NameTable), value: encode(NameTable, { table: Object.fromEntries(entries) }) };
}
const names = (...received: Received[]): string[] => judge(decoder!, received, none).accepted.map(({ name }) => name);

describe('resources that say no name of their own', () => {
  it('are called as their envelope, whatever is inside', () =>
    expect(names({ name: 'a.example', version: '1', any: table('a.example', 'b.example') })).toEqual(['a.example']));
  it('have no name where the envelope has none, however many hosts there are', () => {
    expect(names({ name: '', version: '1', any: table('a', 'b') })).toEqual(['']);
    expect(names({ name: '', version: '1', any: table('a') })).toEqual(['']);
  });
  it('without an envelope (SotW) are called as their only host, or not at all', () => {
    expect(names({ version: '1', any: table('a') }, { version: '1', any: table('b') })).toEqual(['a', 'b']);
    expect(names({ version: '1', any: table('a', 'b') })).toEqual(['']);
  });
  it('the same octets again are the same object', () => {
    const first = judge(decoder!, [{ name: 'a', version: '1', any: table('a') }], none).accepted[0]!;
    const again = judge(decoder!, [{ name: 'a', version: '2', any: table('a') }], new Map([['a', first]])).accepted[0]!;
    expect(again.resource).toBe(first.resource);
    expect(again.version).toBe('2');
  });
});
