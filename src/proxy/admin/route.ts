/** A request as a route sees it. */
export interface AdminRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Query;
}

export interface AdminReply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** Called when the answer is on its way. */
  readonly afterSent?: () => void;
}

/** One path of a server. GET routes answer HEAD too and change nothing. */
export interface AdminRoute {
  readonly path: string;
  readonly method: 'GET' | 'POST';
  readonly help: string;
  readonly params?: readonly (readonly [name: string, help: string])[];
  handle(request: AdminRequest): AdminReply | Promise<AdminReply>;
}

/** The routes of a server by path; a path that is there twice is a mistake of ours. */
export class RouteList {
  readonly #byPath = new Map<string, AdminRoute>();

  constructor(routes: readonly AdminRoute[]) {
    for (const route of routes) {
      if (this.#byPath.has(route.path)) throw new Error(`admin route ${route.path} is there twice`);
      this.#byPath.set(route.path, route);
    }
  }
  get(path: string): AdminRoute | undefined {
    return this.#byPath.get(path);
  }
  /** The list for people, sorted, as Envoy prints it. */
  help(): string {
    return helpText([...this.#byPath.values()]);
  }
}

export function helpText(routes: readonly AdminRoute[]): string {
  const lines = ['admin commands are:'];
  for (const { path, method, help, params } of routes.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    lines.push(`  ${path}${method === 'POST' ? ' (POST)' : ''}: ${help}`);
    for (const [name, what] of params ?? []) lines.push(`      ${name}: ${what}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Query parameters; of a name that is there more than once, all values. `+` is a plus, as in Envoy. */
export class Query {
  /** As it came. */
  readonly text: string;
  readonly #values = new Map<string, string[]>();

  constructor(text: string) {
    this.text = text;
    for (const part of text.split('&')) {
      if (part === '') continue;
      const equals = part.indexOf('=');
      const name = decode(equals < 0 ? part : part.slice(0, equals));
      const value = equals < 0 ? '' : decode(part.slice(equals + 1));
      const known = this.#values.get(name);
      if (known === undefined) this.#values.set(name, [value]);
      else known.push(value);
    }
  }
  has(name: string): boolean {
    return this.#values.has(name);
  }
  get(name: string): string | undefined {
    return this.#values.get(name)?.[0];
  }
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const TEXT = 'text/plain; charset=UTF-8';
export const JSON_TYPE = 'application/json';

export function textReply(body: string, status = 200): AdminReply {
  return { status, type: TEXT, body };
}

/** JSON as Envoy prints it. */
export function jsonReply(value: unknown): AdminReply {
  return { status: 200, type: JSON_TYPE, body: `${JSON.stringify(value, null, 1)}\n` };
}
