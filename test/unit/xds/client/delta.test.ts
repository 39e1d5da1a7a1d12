import { describe, expect, it } from 'vitest';
import { WILDCARD } from '../../../../src/xds/client/subscription.ts';
import { CLUSTER, ENDPOINT, LISTENER } from '../../../../src/xds/client/type-urls.ts';
import { any, rig } from './memory-transport.ts';

function connected() {
  const r = rig('delta');
  r.client.subscribe(CLUSTER, [WILDCARD]);
  r.client.start();
  return r;
}
const answer = (type_url: string, nonce: string, texts: string[], removed_resources: string[] = []) => ({
  type_url,
  nonce,
  system_version_info: `system-${nonce}`,
  removed_resources,
  resources: texts.map((text) => ({
    name: text.split(/[!=]/)[0] ?? '',
    version: `v-${text}`,
    resource: any(type_url, text),
  })),
});

describe('delta client', () => {
  it('asks for everything by no names, and ACKs by nonce', () => {
    const { transport, held } = connected();
    expect(transport.take()).toEqual([{ type_url: CLUSTER, node: expect.anything() }]);
    transport.respond(answer(CLUSTER, 'n1', ['a=1', 'b=1']));
    expect(transport.take()).toEqual([{ type_url: CLUSTER, response_nonce: 'n1' }]);
    expect(held(CLUSTER)).toEqual({ a: '1', b: '1' });
  });

  it('applies changes and removals, and leaves the rest', () => {
    const { transport, held, updates } = connected();
    transport.respond(answer(CLUSTER, 'n1', ['a=1', 'b=1', 'c=1']));
    transport.respond(answer(CLUSTER, 'n2', ['b=2'], ['a']));
    expect(held(CLUSTER)).toEqual({ b: '2', c: '1' });
    expect(updates.at(-1)).toMatchObject({ removed: ['a'], updated: [{ name: 'b', version: 'v-b=2' }] });
  });

  it('applies the valid resources and removals of a response that it NACKs', () => {
    const { transport, held } = connected();
    transport.respond(answer(CLUSTER, 'n1', ['a=1', 'b=1', 'c=1']));
    transport.take();
    transport.respond(answer(CLUSTER, 'n2', ['a!', 'b=2'], ['c']));
    expect(transport.take()).toEqual([
      {
        type_url: CLUSTER,
        response_nonce: 'n2',
        error_detail: { code: 3, message: 'CDS "a": filter_chains[0]: is wrong' },
      },
    ]);
    expect(held(CLUSTER)).toEqual({ a: '1', b: '2' });
  });

  it('NACKs a resource that is named otherwise inside', () => {
    const { transport } = connected();
    transport.take();
    const response = answer(CLUSTER, 'n1', ['a=1']);
    transport.respond({ ...response, resources: [{ ...response.resources[0], name: 'b' }] });
    expect(transport.take()[0]?.error_detail?.message).toContain('is named "a" inside');
  });

  it('says only what changed of a subscription', () => {
    const { transport, client } = connected();
    transport.take();
    client.subscribe(ENDPOINT, ['a', 'b']);
    client.subscribe(ENDPOINT, ['b', 'c']);
    client.subscribe(ENDPOINT, ['c', 'b']);
    expect(transport.take()).toEqual([
      { type_url: ENDPOINT, resource_names_subscribe: ['a', 'b'] },
      { type_url: ENDPOINT, resource_names_subscribe: ['c'], resource_names_unsubscribe: ['a'] },
    ]);
  });

  it('resumes a new stream with the versions it holds', () => {
    const { transport, clock, client } = connected();
    client.subscribe(ENDPOINT, ['a', 'b']);
    transport.respond(answer(CLUSTER, 'n1', ['a=1']));
    transport.respond(answer(ENDPOINT, 'n2', ['a=1']));
    transport.end();
    transport.take();
    clock.advance(500);
    expect(transport.take()).toEqual([
      { type_url: CLUSTER, node: expect.anything(), initial_resource_versions: { a: 'v-a=1' } },
      {
        type_url: ENDPOINT,
        resource_names_subscribe: ['a', 'b'],
        initial_resource_versions: { a: 'v-a=1' },
      },
    ]);
  });

  it('drops restored resources the server does not bring, when it could not be told of them', () => {
    const { transport, client, held, updates } = connected();
    client.restore(CLUSTER, 'v', [
      { name: 'old', version: '1', any: any(CLUSTER, 'old=1'), resource: '1' },
      { name: 'kept', version: '1', any: any(CLUSTER, 'kept=1'), resource: '1' },
    ]);
    expect(held(CLUSTER)).toEqual({ old: '1', kept: '1' });
    transport.respond(answer(CLUSTER, 'n1', ['kept=1', 'new=1']));
    expect(held(CLUSTER)).toEqual({ kept: '1', new: '1' });
    expect(updates.at(-1)?.removed).toEqual(['old']);
  });

  it('tells of a named resource that the server says is not there', () => {
    const { transport, client, updates } = connected();
    client.subscribe(ENDPOINT, ['ghost']);
    transport.respond(answer(ENDPOINT, 'n1', [], ['ghost']));
    expect(updates.at(-1)).toMatchObject({ typeUrl: ENDPOINT, removed: ['ghost'] });
  });

  it('takes a resource without a body for a heartbeat', () => {
    const { transport, held } = connected();
    transport.respond(answer(CLUSTER, 'n1', ['a=1']));
    transport.take();
    transport.respond({ type_url: CLUSTER, nonce: 'n2', resources: [{ name: 'a', version: 'v-a=1' }] });
    expect(transport.take()).toEqual([{ type_url: CLUSTER, response_nonce: 'n2' }]);
    expect(held(CLUSTER)).toEqual({ a: '1' });
  });

  it('does not mix up the nonces of types', () => {
    const { transport, client } = connected();
    client.subscribe(LISTENER, [WILDCARD]);
    transport.take();
    transport.respond(answer(CLUSTER, 'c1', []));
    transport.respond(answer(LISTENER, 'l1', []));
    expect(transport.take().map((r) => [r.type_url, r.response_nonce])).toEqual([
      [CLUSTER, 'c1'],
      [LISTENER, 'l1'],
    ]);
  });
});
