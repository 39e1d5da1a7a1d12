import { describe, expect, test } from 'vitest';
import { Headers } from '../../../../src/protocol/http/headers.ts';
import { compileHeaderMutations, type HeaderLevel } from '../../../../src/proxy/router/header-ops.ts';
import { StreamInfo } from '../../../../src/proxy/telemetry/stream-info.ts';
import { add } from './fixtures.ts';

type Pairs = (readonly [string, string])[];

function apply(levels: HeaderLevel[], before: Pairs, info = new StreamInfo()): Pairs {
  const headers = Headers.of(before);
  compileHeaderMutations(levels, {})?.apply(headers, info);
  return headers.entries();
}

const level = (addList: HeaderLevel['add'], remove: string[] = []): HeaderLevel => ({ add: addList, remove });

test('nothing configured is null', () => {
  expect(compileHeaderMutations([level([]), level([])], {})).toBeNull();
});

describe('actions', () => {
  test.each([
    [
      add('X', 'n'),
      [['x', 'o']],
      [
        ['x', 'o'],
        ['X', 'n'],
      ],
    ],
    [add('X', 'n'), [], [['X', 'n']]],
    [add('X', 'n', 'ADD_IF_ABSENT'), [['x', 'o']], [['x', 'o']]],
    [add('X', 'n', 'ADD_IF_ABSENT'), [], [['X', 'n']]],
    [
      add('X', 'n', 'OVERWRITE_IF_EXISTS_OR_ADD'),
      [
        ['x', 'o'],
        ['x', 'p'],
      ],
      [['X', 'n']],
    ],
    [add('X', 'n', 'OVERWRITE_IF_EXISTS_OR_ADD'), [], [['X', 'n']]],
    [add('X', 'n', 'OVERWRITE_IF_EXISTS'), [], []],
    [add('X', 'n', 'OVERWRITE_IF_EXISTS'), [['x', 'o']], [['X', 'n']]],
    [add('X', ''), [], []],
    [add('X', '', 'OVERWRITE_IF_EXISTS_OR_ADD'), [['x', 'o']], [['x', 'o']]],
    [add('X', '', 'APPEND_IF_EXISTS_OR_ADD', true), [], [['X', '']]],
    [add('X', '%REQ(none)%'), [], []],
    [add('X', '%REQ(none)%', 'APPEND_IF_EXISTS_OR_ADD', true), [], [['X', '']]],
    [add('X', '100%%'), [], [['X', '100%']]],
  ] as [ReturnType<typeof add>, Pairs, Pairs][])('%j on %j', (option, before, after) => {
    expect(apply([level([option])], before)).toEqual(after);
  });
});

test('a level removes first, and its values do not see one another', () => {
  const info = new StreamInfo();
  info.request.headers.add('a', '1');
  const options = [
    add('b', '%REQ(a)%'),
    add('a', '2', 'OVERWRITE_IF_EXISTS_OR_ADD'),
    add('gone', 'x', 'ADD_IF_ABSENT'),
  ];
  expect(
    apply(
      [level(options, ['gone'])],
      [
        ['gone', 'y'],
        ['a', '1'],
      ],
      info,
    ),
  ).toEqual([
    ['a', '2'],
    ['b', '1'],
    ['gone', 'x'],
  ]);
});

test('a later level sees what an earlier one did', () => {
  const levels = [level([add('x', 'first')]), level([add('x', 'second', 'OVERWRITE_IF_EXISTS')], ['y'])];
  expect(apply(levels, [['y', '1']])).toEqual([['x', 'second']]);
});

test('values cannot end the line', () => {
  const info = new StreamInfo();
  info.metadata = new Map([['n', new Map<string, unknown>([['k', 'a\r\nEvil: 1\0']])]]);
  expect(apply([level([add('x', '%DYNAMIC_METADATA(n:k)%'), add('y', 'a\nb')])], [], info)).toEqual([
    ['x', 'a  Evil: 1 '],
    ['y', 'a b'],
  ]);
});

test.each([
  [level([add(':path', 'x')]), /may not be changed/],
  [level([add('Host', 'x')]), /may not be changed/],
  [level([], ['host']), /may not be removed/],
  [level([add('a b', 'x')]), /not a header name/],
  [level([add('x', '%NOPE%')]), /%NOPE% at position 0/],
] as const)('%j is refused', (wrong, message) => {
  expect(() => compileHeaderMutations([wrong], {})).toThrow(message);
});
