import { describe, expect, it } from 'vitest';
import type { HttpMatchSpec } from '../../../../../src/control/translate/istio/fields/virtual-service.ts';
import { compareSpecificity, matchKey } from '../../../../../src/control/translate/istio/merge.ts';
import { routeRule, ruleMatch } from '../../../../../src/control/translate/istio/virtual-service.ts';
import { objectOf } from '../../support.ts';

const OBJECT = objectOf('apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n');

describe('precedence between objects', () => {
  it('is exact path, longer prefix, regex, no path; then method, headers, query, the rest', () => {
    const matches: HttpMatchSpec[] = [
      { uri: { exact: '/long/path' } },
      { uri: { exact: '/p' }, method: { exact: 'GET' } },
      { uri: { exact: '/p' } },
      { uri: { prefix: '/long' } },
      { uri: { prefix: '/l' }, headers: { a: {}, b: {} } },
      { uri: { prefix: '/l' } },
      { uri: { regex: '/.*' } },
      { method: { exact: 'GET' } },
      { headers: { a: {}, b: {} } },
      { headers: { a: {} }, queryParams: { q: {} } },
      { withoutHeaders: { a: {} } },
      { queryParams: { q: {} } },
      { port: 80 },
      {},
    ];
    const rules = matches.map((match) =>
      routeRule({ match: [match], directResponse: { status: 200 } }, OBJECT, [], {
        hasSubset: () => true,
        subsetsOf: () => [],
        findings: [],
      }),
    );
    expect(rules.toReversed().sort(compareSpecificity)).toEqual(rules);
  });
});

describe('the key of a match', () => {
  const key = (match: HttpMatchSpec): string => matchKey(ruleMatch(match, 'default'));

  it('is the same for what matches the same requests', () => {
    expect(key({ name: 'x', statPrefix: 'y', uri: { prefix: '/' } })).toBe(matchKey(undefined));
    expect(key({ headers: { A: { exact: '1' }, b: {} } })).toBe(key({ headers: { b: {}, a: { exact: '1' } } }));
    expect(key({ ignoreUriCase: true })).toBe(key({}));
  });

  it('is another for anything else', () => {
    const different: HttpMatchSpec[] = [
      {},
      { uri: { exact: '/' } },
      { uri: { prefix: '/a' } },
      { port: 1 },
      { headers: { a: {} } },
      { withoutHeaders: { a: {} } },
      { gateways: ['a'] },
      { sourceLabels: { a: 'b' } },
    ];
    expect(new Set(different.map(key)).size).toBe(different.length);
  });
});
