import { describe, expect, test } from 'vitest';
import type { LogJson } from '../../../../../src/model/access-log.ts';
import { compileJsonFormat, compileLogFormat } from '../../../../../src/proxy/telemetry/accesslog/json.ts';
import { finishedStream } from './stream.ts';

function line(fields: LogJson, omitEmpty = false, info = finishedStream()): string {
  const { ok, error } = compileJsonFormat(fields, omitEmpty, {});
  if (ok === undefined) throw new Error(error);
  return ok.format(info);
}

test('values keep their types', () => {
  const fields = {
    code: '%RESPONSE_CODE%',
    duration: '%DURATION%',
    path: '%REQ(:PATH)%',
    both: '%REQ(:METHOD)% %BYTES_SENT%',
    fixed: 'text',
    number: 5,
    yes: true,
    nothing: null,
    nested: { list: ['%PROTOCOL%', '%BYTES_RECEIVED%'], metadata: '%DYNAMIC_METADATA(ns:object)%' },
  };
  const text = line(fields);
  expect(text.endsWith('}\n')).toBe(true);
  expect(JSON.parse(text)).toEqual({
    code: 503,
    duration: 11,
    path: '/new?x=1',
    both: 'GET 20',
    fixed: 'text',
    number: 5,
    yes: true,
    nothing: null,
    nested: { list: ['HTTP/1.1', 10], metadata: { inner: [1, 2] } },
  });
  expect(Object.keys(JSON.parse(text))).toEqual(Object.keys(fields));
});

describe('what is missing', () => {
  const fields = { a: '%REQ(none)%', b: 'x%REQ(none)%', c: '%REQ(none)%', d: 1 };
  test('is null, or "-" inside a text', () => {
    expect(JSON.parse(line(fields))).toEqual({ a: null, b: 'x-', c: null, d: 1 });
  });
  test('is left out with omit_empty_values', () => {
    expect(JSON.parse(line(fields, true))).toEqual({ b: 'x', d: 1 });
  });
});

test('any header value leaves a line of valid JSON and UTF-8', () => {
  const info = finishedStream();
  info.request.headers.add('x-evil', '"\\\t{}\x1b\x7f');
  info.request.headers.add('x-utf8', Buffer.from('ü日').toString('latin1'));
  info.request.headers.add('x-broken', 'a\xff');
  const fields = { evil: '%REQ(x-evil)%', utf8: '%REQ(x-utf8)%', broken: '%REQ(x-broken)%', ключ: 'é%REQ(x-utf8)%' };
  const text = Buffer.from(line(fields, false, info), 'latin1').toString('utf8');
  expect(JSON.parse(text)).toEqual({ evil: '"\\\t{}\x1b\x7f', utf8: 'ü日', broken: 'a\ufffd', ключ: 'éü日' });
});

test('a wrong operator is named with its key', () => {
  expect(compileJsonFormat({ a: { b: '%NOPE%' } }, false, {}).error).toMatch(/^a: b: .*%NOPE%/);
});

test('a log format is text or JSON', () => {
  const text = compileLogFormat({ kind: 'text', text: '%REQ(none)%\n', omitEmptyValues: true }, {});
  expect(text.ok?.format(finishedStream())).toBe('\n');
  const json = compileLogFormat({ kind: 'json', fields: { a: '%REQ(none)%' }, omitEmptyValues: false }, {});
  expect(json.ok?.format(finishedStream())).toBe('{"a":null}\n');
});
