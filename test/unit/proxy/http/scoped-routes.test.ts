import { expect, test } from 'vitest';
import type { ScopeFragment } from '../../../../src/model/http-connection-manager.ts';
import { RequestHead } from '../../../../src/protocol/http/message.ts';
import { ScopedRoutes } from '../../../../src/proxy/http/scoped-routes.ts';
import type { RouteTable } from '../../../../src/proxy/router/table.ts';

const table = (name: string) => ({ table: { config: { name } } as RouteTable });

function nameFor(
  key: readonly ScopeFragment[],
  scopes: readonly (readonly string[])[],
  ...headers: [string, string][]
) {
  const config = {
    kind: 'scoped',
    name: 's',
    key,
    scopes: scopes.map((own) => ({ name: own.join(), key: own, routes: { kind: 'rds', name: own.join() } as const })),
  } as const;
  const routes = new ScopedRoutes(
    config,
    scopes.map((own) => table(own.join('+'))),
  );
  const head = new RequestHead();
  head.authority = 'a.example';
  head.path = '/p';
  for (const [name, value] of headers) head.headers.add(name, value);
  return routes.tableFor(head)?.config.name ?? null;
}

const index = (header: string, at: number, separator = ''): ScopeFragment => ({
  header,
  separator,
  pick: { kind: 'index', index: at },
});
const element = (header: string, key: string): ScopeFragment => ({
  header,
  separator: ';',
  pick: { kind: 'element', separator: '=', key },
});

test.each([
  ['a whole value', [index('x', 0)], [['1'], ['2']], [['X', '2']], '2'],
  [
    'the first of several values',
    [index('x', 0)],
    [['1'], ['2']],
    [
      ['x', '1'],
      ['x', '2'],
    ],
    '1',
  ],
  ['an element by its index', [index('x', 2, ',')], [['c']], [['x', 'a,b,c']], 'c'],
  ['an index past the end', [index('x', 3, ',')], [['c'], ['']], [['x', 'a,b,c']], null],
  ['an element by its key', [element('x', 'b')], [['2']], [['x', 'a=1;b=2;b=3']], '2'],
  ['a value with separators of its own', [element('x', 'a')], [['1=2']], [['x', 'a=1=2']], '1=2'],
  ['an element without a value', [element('x', 'a')], [['']], [['x', 'a']], ''],
  ['no such element', [element('x', 'c')], [['']], [['x', 'a=1']], null],
  ['no such header', [index('x', 0)], [['']], [], null],
  ['no such scope', [index('x', 0)], [['1']], [['x', '2']], null],
  [
    'all fragments, in order',
    [index('x', 0), index('y', 0)],
    [
      ['1', '2'],
      ['2', '1'],
    ],
    [
      ['y', '1'],
      ['x', '2'],
    ],
    '2+1',
  ],
  ['one fragment missing', [index('x', 0), index('y', 0)], [['1', ''], ['1']], [['x', '1']], null],
  ['the host', [index('host', 0)], [['a.example']], [], 'a.example'],
  ['the path', [index(':path', 0)], [['/p']], [], '/p'],
] as [string, ScopeFragment[], string[][], [string, string][], string | null][])(
  'the scope of a request by %s',
  (_name, key, scopes, headers, expected) => expect(nameFor(key, scopes, ...headers)).toBe(expected),
);
