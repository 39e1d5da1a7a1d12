import { describe, expect, it } from 'vitest';
import { list, map, message } from '../../../../../src/control/source/schema/message.ts';
import {
  bool,
  bytes,
  duration,
  enumeration,
  int32,
  parseDuration,
  string,
  uint32,
} from '../../../../../src/control/source/schema/scalar.ts';
import { didYouMean } from '../../../../../src/control/source/schema/suggest.ts';
import {
  effective,
  formatPath,
  refused,
  reported,
  required,
  type Sink,
} from '../../../../../src/control/source/schema/type.ts';

const inner = message('Inner', { text: effective(string), tls: refused(string, 'no TLS yet') });
const outer = message('Outer', {
  name: required(string),
  count: effective(int32),
  port: effective(uint32),
  on: effective(bool),
  wait: effective(duration),
  body: effective(bytes, { oneof: 'content' }),
  text: effective(string, { oneof: 'content' }),
  kind: effective(enumeration('Kind', { SMALL: 'effective', LARGE: { state: 'refused', reason: 'too large' } })),
  items: effective(list(inner)),
  tags: effective(map(string)),
  byName: effective(map(inner)),
  old: effective(string, { deprecated: 'write name' }),
  later: reported(inner, 'not yet'),
  never: refused(inner, 'unsafe'),
});

function read(value: unknown): { value: unknown; said: string[] } {
  const said: string[] = [];
  const sink: Sink = {
    error: (code, path, text) => said.push(`error ${code} ${formatPath(path)}: ${text}`),
    warning: (code, path, text) => said.push(`warning ${code} ${formatPath(path)}: ${text}`),
  };
  return { value: outer.read(value, ['spec'], sink), said };
}

describe('a message', () => {
  it('reads its effective fields and takes null for not given', () => {
    const value = {
      name: 'a',
      count: -1,
      on: true,
      wait: '1.5s',
      tags: { a: 'b' },
      items: [{ text: 'x' }],
      text: null,
    };
    expect(read(value)).toEqual({
      value: { name: 'a', count: -1, on: true, wait: 1500, tags: { a: 'b' }, items: [{ text: 'x' }] },
      said: [],
    });
  });

  it.each<[object, string]>([
    [{}, 'error missing-field spec: name is required'],
    [{ name: 5 }, 'error wrong-type spec.name: expected a string (put it in quotes), got 5'],
    [{ name: 'a', nmae: 1 }, 'error unknown-field spec.nmae: unknown field "nmae": did you mean "name"?'],
    [{ name: 'a', by_name: {} }, 'error unknown-field spec.by_name: unknown field "by_name": did you mean "byName"?'],
    [
      { name: 'a', items: [{ zzzzzz: 1 }] },
      'error unknown-field spec.items[0].zzzzzz: unknown field "zzzzzz": known here are text, tls',
    ],
    [{ name: 'a', count: 1.5 }, 'error wrong-type spec.count: expected a whole number, got 1.5'],
    [{ name: 'a', port: -1 }, 'error wrong-type spec.port: expected a whole number of at least 0, got -1'],
    [{ name: 'a', on: 'yes' }, 'error wrong-type spec.on: expected true or false, got "yes"'],
    [{ name: 'a', wait: 'abc' }, 'error wrong-type spec.wait: expected a duration such as "1.5s", got "abc"'],
    [{ name: 'a', wait: 5 }, 'error wrong-type spec.wait: expected a duration such as "1.5s", got 5'],
    [
      { name: 'a', wait: '10us' },
      'error out-of-range spec.wait: expected a duration of 0s or at least 1ms, got "10us"',
    ],
    [
      { name: 'a', kind: 'SMAL' },
      'error wrong-type spec.kind: expected one of SMALL, LARGE, got "SMAL": did you mean "SMALL"?',
    ],
    [{ name: 'a', kind: 'LARGE' }, 'error refused-value spec.kind: LARGE is refused: too large'],
    [{ name: 'a', items: {} }, 'error wrong-type spec.items: expected a list, got an object'],
    [
      { name: 'a', tags: { 'x/y': 1 } },
      'error wrong-type spec.tags["x/y"]: expected a string (put it in quotes), got 1',
    ],
    [{ name: 'a', body: '***' }, 'error wrong-type spec.body: expected base64 text, got "***"'],
    [
      { name: 'a', body: 'YQ==', text: 'a' },
      'error conflicting-fields spec.text: only one of body and text may be given',
    ],
    [{ name: 'a', old: 'x' }, 'warning deprecated spec.old: old is deprecated: write name'],
    [{ name: 'a', later: { text: 'x' } }, 'warning no-effect spec.later: later has no effect: not yet'],
    [
      { name: 'a', later: { text: 5 } },
      'error wrong-type spec.later.text: expected a string (put it in quotes), got 5',
    ],
    [{ name: 'a', never: {} }, 'error refused-field spec.never: never is refused: unsafe'],
  ])('says of %j: %s', (value, said) => {
    expect(read(value).said[0]).toBe(said);
  });

  it('says nothing of a field without effect that asks for nothing', () => {
    expect(read({ name: 'a', later: {}, items: [{ tls: '' }] }).said).toEqual([]);
  });

  it('takes null in a map of messages for an empty message', () => {
    expect(read({ name: 'a', byName: { x: null } }).value).toEqual({ name: 'a', byName: { x: {} } });
  });
});

describe('durations', () => {
  it.each([
    ['1.5s', 1500],
    ['250ms', 250],
    ['1h30m', 5_400_000],
    ['0s', 0],
    ['0', 0],
    ['.5s', 500],
    ['1m0.001s', 60_001],
    ['2us', 0.002],
  ])('%s is %d ms', (text, ms) => expect(parseDuration(text)).toBe(ms));

  it.each(['', '5', '-1s', '1 s', 's', '1d', '1.5.5s', '1s ', `${'9'.repeat(70)}s`, '999999999999h'])(
    '%j is none',
    (text) => expect(parseDuration(text)).toBeUndefined(),
  );
});

describe('what may have been meant', () => {
  it.each([
    ['hots', ': did you mean "hosts"?'],
    ['Retries', ': did you mean "retries"?'],
    ['export_to', ': did you mean "exportTo"?'],
    ['something', ''],
    ['x'.repeat(1000), ''],
  ])('%s%s', (written, hint) => expect(didYouMean(written, ['hosts', 'retries', 'exportTo'])).toBe(hint));
});
