import { expect, it } from 'vitest';
import { SecretBytes } from '../../../../src/base/secret-bytes.ts';
import type { TlsSecret } from '../../../../src/model/tls.ts';
import { SecretStore } from '../../../../src/proxy/tls/secrets.ts';

function keys(name: string, text: string): TlsSecret {
  return { name, kind: 'session_ticket_keys', keys: [{ kind: 'inline', bytes: new SecretBytes(Buffer.from(text)) }] };
}
const mapOf = (...secrets: TlsSecret[]) => new Map(secrets.map((one) => [one.name, one]));

it('secrets of one name are told apart by where they come from', () => {
  const [given, discovered, own] = [keys('default', 'a'), keys('default', 'b'), keys('default', 'c')];
  const store = new SecretStore([given]);
  const heard: string[] = [];
  for (const from of ['bootstrap', 'ads', 'agent'] as const) {
    store.subscribe({ name: 'default', from }, () => heard.push(from));
  }
  store.update(mapOf(discovered));
  store.updateOwn(mapOf(own));
  expect(heard).toEqual(['ads', 'agent']);
  const get = (from: 'bootstrap' | 'ads' | 'agent') => store.get({ name: 'default', from });
  expect([get('bootstrap'), get('ads'), get('agent')]).toEqual([given, discovered, own]);
});

it('a secret of discovery that somebody follows stays when it is taken back; nobody hears of what did not change', () => {
  const store = new SecretStore();
  const heard: string[] = [];
  const stop = store.subscribe({ name: 'a', from: 'ads' }, () => heard.push('a'));
  const [a, b] = [keys('a', '1'), keys('b', '1')];
  store.update(mapOf(a, b));
  store.update(mapOf(a, b));
  store.update(mapOf());
  expect(heard).toEqual(['a']);
  expect(store.get({ name: 'a', from: 'ads' })).toBe(a);
  expect(store.get({ name: 'b', from: 'ads' })).toBeUndefined();
  stop();
  store.update(mapOf());
  expect(store.get({ name: 'a', from: 'ads' })).toBeUndefined();
  store.updateOwn(mapOf(a));
  store.updateOwn(mapOf(a));
  expect(heard).toEqual(['a']);
});
