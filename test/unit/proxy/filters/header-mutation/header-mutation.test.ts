import { describe, expect, it } from 'vitest';
import { headerMutation } from '../../../../../src/proxy/filters/header-mutation/header-mutation.ts';
import {
  HeaderMutation,
  HeaderMutationPerRoute,
} from '../../../../../src/xds/proto/gen/envoy/extensions/filters/http/header_mutation/v3.ts';
import { context, decoded, FakeStream, route } from '../support.ts';

const append = (key: string, value: string, appendAction?: string, keepEmptyValue?: boolean) => ({
  append: { header: { key, value }, appendAction, keepEmptyValue },
});

function request(mutations: object[], headers: Record<string, string>, own: object | null = null) {
  const { config, problems } = decoded(headerMutation, HeaderMutation, { mutations: { requestMutations: mutations } });
  expect(problems).toEqual([]);
  const stream = new FakeStream(headers);
  const perRoute = own === null ? null : route(headerMutation, HeaderMutationPerRoute, { mutations: own });
  headerMutation.create(config, context()).onRequestHead!(stream, perRoute);
  return stream.headers.entries();
}

describe('header mutation', () => {
  it.each([
    [
      'APPEND_IF_EXISTS_OR_ADD',
      [
        ['x-a', 'old'],
        ['X-A', 'new'],
      ],
      [['X-A', 'new']],
    ],
    ['ADD_IF_ABSENT', [['x-a', 'old']], [['X-A', 'new']]],
    ['OVERWRITE_IF_EXISTS_OR_ADD', [['X-A', 'new']], [['X-A', 'new']]],
    ['OVERWRITE_IF_EXISTS', [['X-A', 'new']], []],
  ])('%s', (action, present, absent) => {
    expect(request([append('X-A', 'new', action)], { 'x-a': 'old' })).toEqual(present);
    expect(request([append('X-A', 'new', action)], {})).toEqual(absent);
  });

  it('removes, and applies its steps in order', () => {
    expect(request([{ remove: 'X-A' }, append('x-a', '1'), append('x-a', '2')], { 'x-a': 'old' })).toEqual([
      ['x-a', '1'],
      ['x-a', '2'],
    ]);
    expect(request([append('x-a', '1'), { remove: 'x-a' }], {})).toEqual([]);
  });

  it('fills in command operators, and keeps line breaks out', () => {
    expect(request([append('x-path', '%REQ(:PATH)%/%REQ(x-b)%')], { 'x-b': 'a\r\nb' })).toContainEqual([
      'x-path',
      '//a  b',
    ]);
  });

  it('leaves a header out whose value is empty, unless that is to be kept', () => {
    expect(request([append('x-a', '%REQ(none)%')], {})).toEqual([]);
    expect(request([append('x-a', '', undefined, true)], {})).toEqual([['x-a', '']]);
  });

  it('lets the route have the last word', () => {
    const own = { requestMutations: [append('x-a', 'route', 'OVERWRITE_IF_EXISTS_OR_ADD')] };
    expect(request([append('x-a', 'filter')], {}, own)).toEqual([['x-a', 'route']]);
  });

  it('changes responses too', () => {
    const { config } = decoded(headerMutation, HeaderMutation, {
      mutations: { responseMutations: [{ remove: 'server' }, append('x-r', 'yes')] },
    });
    const stream = new FakeStream();
    stream.response.headers.add('Server', 'nginx');
    headerMutation.create(config, context()).onResponseHead!(stream, null);
    expect(stream.response.headers.entries()).toEqual([['x-r', 'yes']]);
  });

  it('refuses what routing depends on, and what is no header', () => {
    const { problems } = decoded(headerMutation, HeaderMutation, {
      mutations: { requestMutations: [append(':path', '/x'), { remove: 'Host' }, append('x-ok', '%NOPE%')] },
    });
    expect(problems).toEqual([
      'c.mutations.request_mutations[0].append.header.key',
      'c.mutations.request_mutations[1].remove',
      'c.mutations.request_mutations[2].append.header.value',
    ]);
  });
});

it('says which headers it changes, and no value', () => {
  const make = (mutations: object) =>
    headerMutation.create(decoded(headerMutation, HeaderMutation, { mutations }).config, context());
  const own = { requestMutations: [append('X-A', 'secret'), { remove: 'x-b' }] };
  const perRoute = route(headerMutation, HeaderMutationPerRoute, {
    mutations: { requestMutations: [append('X-C', '1')], responseMutations: [{ remove: 'server' }] },
  });
  expect(make({}).describe!(null)).toBeNull();
  expect(make(own).describe!(null)!.says).toBe('sets X-A and removes x-b in the request');
  expect(make(own).describe!(perRoute)).toEqual({
    says: 'sets X-A, X-C and removes x-b in the request, removes server in the response',
    fault: null,
  });
});
