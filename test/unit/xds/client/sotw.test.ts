import { describe, expect, it } from 'vitest';
import { WILDCARD } from '../../../../src/xds/client/subscription.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE } from '../../../../src/xds/client/type-urls.ts';
import { any, rig } from './memory-transport.ts';

function connected() {
  const r = rig('sotw');
  r.client.subscribe(LISTENER, [WILDCARD]);
  r.client.subscribe(CLUSTER, [WILDCARD]);
  r.client.start();
  return r;
}
const answer = (type_url: string, version_info: string, nonce: string, ...texts: string[]) => ({
  type_url,
  version_info,
  nonce,
  resources: texts.map((text) => any(type_url, text)),
});

describe('SotW client', () => {
  it('asks for clusters before listeners, by no names, and says its node once', () => {
    const { transport } = connected();
    const requests = transport.take();
    expect(requests.map((r) => r.type_url)).toEqual([CLUSTER, LISTENER]);
    expect(requests.map((r) => r.resource_names)).toEqual([undefined, undefined]);
    expect(requests.map((r) => r.node?.id !== undefined)).toEqual([true, false]);
  });

  it('ACKs with the version and the nonce', () => {
    const { transport, held } = connected();
    transport.take();
    transport.respond(answer(CLUSTER, 'v1', 'n1', 'a=1', 'b=2'));
    expect(transport.take()).toEqual([{ type_url: CLUSTER, version_info: 'v1', response_nonce: 'n1' }]);
    expect(held(CLUSTER)).toEqual({ a: '1', b: '2' });
  });

  it('NACKs with a reason for each bad resource, keeps their last good version, applies the others', () => {
    const { transport, held, client, updates } = connected();
    transport.respond(answer(LISTENER, 'v1', 'n1', 'a=1', 'b=1', 'c=1'));
    transport.take();
    transport.respond(answer(LISTENER, 'v2', 'n2', 'a!', 'b=2'));
    const [nack] = transport.take();
    expect(nack).toMatchObject({ version_info: 'v1', response_nonce: 'n2' });
    expect(nack?.error_detail).toEqual({ code: 3, message: 'LDS "a": filter_chains[0]: is wrong' });
    expect(held(LISTENER)).toEqual({ a: '1', b: '2' });
    expect(updates.at(-1)).toMatchObject({ removed: ['c'], rejected: [{ name: 'a' }] });
    const status = client.status.types.find((type) => type.typeUrl === LISTENER);
    expect(status).toMatchObject({ version: 'v1', lastAck: { version: 'v1' }, lastNack: { version: 'v2' } });
  });

  it('removes nobody when a resource has no readable name', () => {
    const { transport, held } = connected();
    transport.respond(answer(LISTENER, 'v1', 'n1', 'a=1'));
    transport.respond(answer(LISTENER, 'v2', 'n2', '!'));
    expect(held(LISTENER)).toEqual({ a: '1' });
  });

  it('removes listeners and clusters that are absent, but no routes and endpoints', () => {
    const { transport, held, client } = connected();
    client.subscribe(ENDPOINT, ['a', 'b']);
    transport.respond(answer(ENDPOINT, 'v1', 'n1', 'a=1', 'b=1'));
    transport.respond(answer(ENDPOINT, 'v2', 'n2', 'b=2'));
    transport.respond(answer(CLUSTER, 'v1', 'n1', 'a=1', 'b=1'));
    transport.respond(answer(CLUSTER, 'v2', 'n2', 'b=1'));
    expect(held(ENDPOINT)).toEqual({ a: '1', b: '2' });
    expect(held(CLUSTER)).toEqual({ b: '1' });
  });

  it('sends all names on a change of subscription, with the latest nonce, and drops what is unwanted', () => {
    const { transport, client, held } = connected();
    client.subscribe(ROUTE, ['a', 'b']);
    transport.respond(answer(ROUTE, 'v1', 'n1', 'a=1', 'b=1', 'unasked=1'));
    transport.take();
    client.subscribe(ROUTE, ['b', 'c']);
    expect(transport.take()).toEqual([
      { type_url: ROUTE, version_info: 'v1', response_nonce: 'n1', resource_names: ['b', 'c'] },
    ]);
    expect(held(ROUTE)).toEqual({ b: '1' });
    client.subscribe(ROUTE, []);
    expect(transport.take()).toEqual([{ type_url: ROUTE, version_info: 'v1', response_nonce: 'n1' }]);
  });

  it('does not ask for a type of which nothing was ever wanted', () => {
    const { transport, client } = connected();
    transport.take();
    client.subscribe(ENDPOINT, []);
    expect(transport.take()).toEqual([]);
  });

  it('NACKs a response that has a name twice', () => {
    const { transport } = connected();
    transport.take();
    transport.respond(answer(CLUSTER, 'v1', 'n1', 'a=1', 'a=2'));
    expect(transport.take()[0]?.error_detail?.message).toBe('CDS "a": is in the response twice');
  });

  it('asks again on a new stream with the version it has and no nonce', () => {
    const { transport, clock, client } = connected();
    transport.respond(answer(CLUSTER, 'v1', 'n1', 'a=1'));
    transport.take();
    transport.end();
    expect(client.status).toMatchObject({ state: 'waiting', lastError: '14 UNAVAILABLE: gone' });
    clock.advance(500);
    expect(transport.opened).toBe(2);
    expect(transport.take().map(({ node: _, ...request }) => request)).toEqual([
      { type_url: CLUSTER, version_info: 'v1' },
      { type_url: LISTENER },
    ]);
  });

  it('keeps the decoded value of a resource that comes again unchanged', () => {
    const { transport, client } = connected();
    transport.respond(answer(CLUSTER, 'v1', 'n1', 'a=1'));
    const before = client.held(CLUSTER).resources.get('a');
    transport.respond(answer(CLUSTER, 'v2', 'n2', 'a=1', 'b=1'));
    expect(client.held(CLUSTER).resources.get('a')).toEqual({ ...before, version: 'v2' });
    expect(client.held(CLUSTER).resources.get('a')?.any).toBe(before?.any);
  });

  it('ignores a type that it did not ask for', () => {
    const { transport, updates } = connected();
    transport.take();
    transport.respond(answer(ROUTE, 'v1', 'n1', 'a=1'));
    transport.respond(answer('type.googleapis.com/unheard.of', 'v1', 'n1', 'a=1'));
    expect(transport.take()).toEqual([]);
    expect(updates).toEqual([]);
  });
});
