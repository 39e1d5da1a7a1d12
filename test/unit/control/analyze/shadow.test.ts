import { describe, expect, it } from 'vitest';
import { covers } from '../../../../src/control/analyze/shadow.ts';
import type { HttpMatchSpec } from '../../../../src/control/translate/istio/fields/virtual-service.ts';
import { ruleMatch } from '../../../../src/control/translate/istio/virtual-service.ts';

describe('covers', () => {
  it.each<[HttpMatchSpec, HttpMatchSpec, boolean]>([
    [{}, { uri: { exact: '/a' } }, true],
    [{ uri: { prefix: '/' } }, {}, true],
    [{ uri: { prefix: '/a' } }, { uri: { prefix: '/ab' } }, true],
    [{ uri: { prefix: '/a' } }, { uri: { exact: '/a' } }, true],
    [{ uri: { exact: '/a' } }, { uri: { prefix: '/a' } }, false],
    [{ uri: { prefix: '/a' } }, { uri: { regex: '/a.*' } }, false],
    [{ uri: { regex: '/a.*' } }, { uri: { regex: '/a.*' } }, true],
    [{ uri: { prefix: '/a' } }, { uri: { prefix: '/A' }, ignoreUriCase: true }, false],
    [{ uri: { prefix: '/A' }, ignoreUriCase: true }, { uri: { exact: '/ab' } }, true],
    [{ headers: { x: {} } }, { headers: { x: { exact: '1' } } }, true],
    [{ headers: { x: { exact: '1' } } }, { headers: { x: {} } }, false],
    [{ headers: { x: { exact: '1' } } }, {}, false],
    [{ withoutHeaders: { x: {} } }, { withoutHeaders: { x: {} } }, true],
    [{ withoutHeaders: { x: {} } }, {}, false],
    [{ method: { exact: 'GET' } }, { method: { exact: 'GET' }, port: 80 }, true],
    [{ port: 80 }, {}, false],
    [{ sourceLabels: { app: 'a' } }, { sourceLabels: { app: 'a', v: '1' } }, true],
    [{ gateways: ['a', 'b'] }, { gateways: ['a'] }, true],
    [{ gateways: ['a'] }, {}, false],
    [{ queryParams: { q: { exact: '1' } } }, { queryParams: { q: { exact: '2' } } }, false],
  ])('%j covers %j: %s', (outer, inner, expected) => {
    expect(covers(ruleMatch(outer, 'd'), ruleMatch(inner, 'd'))).toBe(expected);
  });
});
