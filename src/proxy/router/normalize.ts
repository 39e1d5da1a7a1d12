import type { HttpConnectionManager } from '../../model/http-connection-manager.ts';
import type { RequestHead } from '../../protocol/http/message.ts';

/** What became of a request's path. */
export const PathVerdict = {
  /** Go on; the path may have changed. */
  Continue: 0,
  /** Answer 400. */
  Reject: 1,
  /** Answer 307 with the changed path as Location. */
  Redirect: 2,
} as const;
export type PathVerdict = (typeof PathVerdict)[keyof typeof PathVerdict];

/**
 * Compiles the connection manager's path normalisation, in Envoy's order: escaped slashes, RFC 3986, then
 * runs of slashes. null when all are off. The function changes `head.path`; the query is left alone.
 */
export function compilePathNormalizer(
  config: Pick<HttpConnectionManager, 'normalizePath' | 'mergeSlashes' | 'escapedSlashes'>,
): ((head: RequestHead) => PathVerdict) | null {
  const { escapedSlashes } = config;
  if (!config.normalizePath && !config.mergeSlashes && escapedSlashes === 'KEEP_UNCHANGED') return null;
  return (head) => {
    const original = head.path;
    // CONNECT has no path, and the `*` of OPTIONS is none.
    if (original.charCodeAt(0) !== 0x2f) return PathVerdict.Continue;
    const query = original.indexOf('?');
    let path = query < 0 ? original : original.substring(0, query);
    let verdict: PathVerdict = PathVerdict.Continue;
    if (escapedSlashes !== 'KEEP_UNCHANGED' && ESCAPED_SLASH.test(path)) {
      if (escapedSlashes === 'REJECT_REQUEST') return PathVerdict.Reject;
      if (escapedSlashes === 'UNESCAPE_AND_REDIRECT') verdict = PathVerdict.Redirect;
      path = unescapeSlashes(path);
    }
    if (config.normalizePath) {
      const normal = normalizePath(path);
      if (normal === null) return PathVerdict.Reject;
      path = normal;
    }
    if (config.mergeSlashes) path = mergeSlashes(path);
    if (query < 0) head.path = path;
    else if (path.length !== query || !original.startsWith(path)) head.path = path + original.substring(query);
    return verdict;
  };
}

const ESCAPED_SLASH = /%(?:2f|5c)/i;

/** `%2F` becomes `/`, `%5C` becomes `\`. */
export function unescapeSlashes(path: string): string {
  return path.replace(/%(?:(2f)|5c)/gi, (_, slash: string | undefined) => (slash === undefined ? '\\' : '/'));
}

/** Runs of slashes become one. */
export function mergeSlashes(path: string): string {
  return path.includes('//') ? path.replace(/\/{2,}/g, '/') : path;
}

/** Whatever normalisation could change: escapes, backslashes, a dot segment, characters that must be escaped. */
const MAY_CHANGE = /[^!$&-;=@-[\]_a-z~]|\/\./;

/**
 * Normalises a path without query as Envoy does with `normalize_path`: dot segments resolved (`%2e` is a
 * dot, `\` a slash, parameters such as those of `..;x` are taken off, in Envoy only behind plain dots), escapes
 * of unreserved characters decoded, characters that may not stand in a path escaped. The case of other escapes is
 * kept. null for an escaped NUL, which is refused.
 */
export function normalizePath(path: string): string | null {
  if (!MAY_CHANGE.test(path)) return path;
  let out = '';
  for (let i = 0; i < path.length; ) {
    const dot = dotAt(path, i);
    if (dot > 0) {
      const slash = out.endsWith('/');
      const after = i + dot;
      const second = slash ? dotAt(path, after) : 0;
      const one = slash ? endOf(path, after) : -1;
      const two = second > 0 ? endOf(path, after + second) : -1;
      if (one >= 0) {
        i = one + 1;
      } else if (two >= 0) {
        out = parent(out);
        i = two + 1;
      } else {
        out += '.';
        i = after;
      }
      continue;
    }
    const c = path[i]!;
    if (c === '%') {
      const code = escapeAt(path, i);
      if (code === 0) return null;
      if (code > 0 && UNRESERVED.test(String.fromCharCode(code))) {
        out += String.fromCharCode(code);
        i += 3;
      } else {
        const length = code < 0 ? 1 : 3;
        out += path.substring(i, i + length);
        i += length;
      }
      continue;
    }
    out += c === '\\' ? '/' : /[!$-;=@-[\]_a-z~]/.test(c) ? c : escapeOctet(c);
    i++;
  }
  return out;
}

const UNRESERVED = /[A-Za-z0-9._~-]/;

/** Length of a dot at `i`, plain or escaped; 0 for none. */
function dotAt(path: string, i: number): number {
  const c = path.charCodeAt(i);
  if (c === 0x2e) return 1;
  return c === 0x25 && path.charCodeAt(i + 1) === 0x32 && (path.charCodeAt(i + 2) | 0x20) === 0x65 ? 3 : 0;
}

/**
 * Where a dot segment ends whose dots end at `i`: there, or behind its parameters, which servlet containers take off
 * before they look at the dots (`/..;x/`); -1 when something else follows.
 */
function endOf(path: string, i: number): number {
  if (i >= path.length || path[i] === '/' || path[i] === '\\') return i;
  if (path[i] !== ';') return -1;
  const slash = path.indexOf('/', i);
  return slash < 0 ? path.length : slash;
}

/** `/a/b/` becomes `/a/`; the root stays. */
function parent(path: string): string {
  return path.length <= 1 ? '/' : path.substring(0, path.lastIndexOf('/', path.length - 2) + 1);
}

/** The octet of the escape at `i`, or -1 when it is not one. */
function escapeAt(path: string, i: number): number {
  const hex = path.substring(i + 1, i + 3);
  return /^[0-9a-fA-F]{2}$/.test(hex) ? Number.parseInt(hex, 16) : -1;
}

function escapeOctet(c: string): string {
  return `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}

/**
 * Compiles what the connection manager does to a request's authority; null when nothing. The port of a
 * CONNECT target is part of what is asked for and stays.
 */
export function compileHostNormalizer(
  config: Pick<HttpConnectionManager, 'stripHostPort' | 'stripTrailingHostDot'>,
  listenerPort: number,
): ((head: RequestHead) => void) | null {
  const { stripHostPort, stripTrailingHostDot } = config;
  if (stripHostPort === 'NONE' && !stripTrailingHostDot) return null;
  return (head) => {
    let authority = head.authority;
    if (stripTrailingHostDot) authority = stripTrailingDot(authority);
    if (stripHostPort !== 'NONE' && head.method !== 'CONNECT') {
      authority = stripPort(authority, stripHostPort === 'ANY' ? -1 : listenerPort);
    }
    head.authority = authority;
  };
}

/** Where the port's colon stands in an authority, or -1. */
export function portStart(authority: string): number {
  const colon = authority.lastIndexOf(':');
  return colon >= 0 && authority.indexOf(']', colon) < 0 ? colon : -1;
}

/** Removes the port; with `only` ≥ 0, only that one. */
export function stripPort(authority: string, only = -1): string {
  const colon = portStart(authority);
  if (colon < 0) return authority;
  const port = authority.substring(colon + 1);
  if (!/^\d{1,10}$/.test(port) || (only >= 0 && Number(port) !== only)) return authority;
  return authority.substring(0, colon);
}

/** `host.` and `host.:80` lose the dot. */
export function stripTrailingDot(authority: string): string {
  const dot = authority.lastIndexOf('.');
  if (dot < 0) return authority;
  if (dot === authority.length - 1) return authority.substring(0, dot);
  return authority[dot + 1] === ':' ? authority.substring(0, dot) + authority.substring(dot + 1) : authority;
}
