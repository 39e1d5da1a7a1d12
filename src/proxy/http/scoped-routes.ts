import type { ScopedRoutes as Config, ScopeFragment } from '../../model/http-connection-manager.ts';
import type { RequestHead } from '../../protocol/http/message.ts';
import type { RouteTable } from '../router/table.ts';
import type { RouteTableHolder } from './connection-manager.ts';

/**
 * Route tables by a key that each request's headers make: the values of all fragments, in order. A header's first value
 * counts; a request that lacks one of them is in no scope. (Envoy: scoped_config_impl.cc)
 */
export class ScopedRoutes {
  readonly #fragments: readonly ((head: RequestHead) => string | null)[];
  readonly #holders = new Map<string, RouteTableHolder>();

  /** `holders`: one for each of the config's scopes, in their order. */
  constructor(config: Config, holders: readonly RouteTableHolder[]) {
    this.#fragments = config.key.map(compileFragment);
    for (const [i, { key }] of config.scopes.entries()) this.#holders.set(key.join(BETWEEN), holders[i]!);
  }

  /** Null for a request in no scope, or in one whose table has not arrived. */
  tableFor(head: RequestHead): RouteTable | null {
    let key = '';
    for (let i = 0; i < this.#fragments.length; i++) {
      const fragment = this.#fragments[i]!(head);
      if (fragment === null) return null;
      key = i === 0 ? fragment : key + BETWEEN + fragment;
    }
    return this.#holders.get(key)?.table ?? null;
  }
}

/** No header holds it. */
const BETWEEN = '\0';

function compileFragment({ header, separator, pick }: ScopeFragment): (head: RequestHead) => string | null {
  const read = reader(header);
  const elements = (value: string): string[] => (separator === '' ? [value] : value.split(separator));
  if (pick.kind === 'index') {
    return (head) => {
      const value = read(head);
      return value === undefined ? null : (elements(value)[pick.index] ?? null);
    };
  }
  return (head) => {
    const value = read(head);
    if (value === undefined) return null;
    for (const element of elements(value)) {
      const at = element.indexOf(pick.separator);
      const found = at < 0 ? element : element.slice(0, at);
      if (found === pick.key) return at < 0 ? '' : element.slice(at + pick.separator.length);
    }
    return null;
  };
}

function reader(header: string): (head: RequestHead) => string | undefined {
  switch (header) {
    case 'host':
    case ':authority':
      return (head) => head.authority;
    case ':path':
      return (head) => head.path;
    case ':method':
      return (head) => head.method;
    default:
      return (head) => head.headers.get(header);
  }
}
