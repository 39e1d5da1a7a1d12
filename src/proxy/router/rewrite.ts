import { ConfigError } from '../../base/errors.ts';
import { compileRegex, type Regex, toOctets } from '../../base/regex.ts';
import { templateSubstitution } from '../../base/uri-template.ts';
import type { HostRewrite, PathRewrite, RouteMatch } from '../../model/route.ts';
import type { RequestHead } from '../../protocol/http/message.ts';
import { headerReader } from './header-match.ts';
import { compileTemplate, endOfPath } from './match.ts';

/** Gives the path (with query) that goes upstream for the path that came. */
export type PathRewriter = (path: string) => string;

/** How the authority changes on its way upstream. */
export interface HostRewriter {
  /** The authority becomes the chosen endpoint's host name, which only the caller knows. */
  readonly auto: boolean;
  /** The new authority; '' when it stays (always for `auto`). */
  rewrite(head: RequestHead): string;
}

/**
 * Compiles `prefix_rewrite` or `regex_rewrite`; null without one. A prefix rewrite replaces what the route
 * matched: the prefix, or the whole path where the match was exact or by regex. A regex rewrite works on
 * the whole path. Query and fragment stay.
 */
export function compilePathRewrite(rewrite: PathRewrite | null, match: RouteMatch): PathRewriter | null {
  if (rewrite === null) return null;
  if (rewrite.kind === 'regex') {
    const [regex, substitution] = compileSubstitution(rewrite.pattern, rewrite.substitution);
    checkTarget(substitution, 'substitution');
    return (path) => {
      const end = endOfPath(path);
      const replaced = regex.replaceAll(path.substring(0, end), substitution);
      // Envoy keeps the path when nothing would be left of it.
      return replaced === '' ? path : origin(replaced) + path.substring(end);
    };
  }
  if (rewrite.kind === 'template') return compileTemplateRewrite(rewrite.value, match);
  if (rewrite.value === '') return null;
  const value = toOctets(rewrite.value);
  checkTarget(value, 'prefix rewrite');
  const { kind } = match.path;
  const whole = kind === 'regex' || kind === 'template' || kind === 'connect';
  const matched = whole ? -1 : toOctets((match.path as { value: string }).value).length;
  return (path) => origin(value + path.substring(matched < 0 ? endOfPath(path) : matched));
}

function compileTemplateRewrite(rewrite: string, match: RouteMatch): PathRewriter {
  if (match.path.kind !== 'template') throw new ConfigError('a template rewrite needs a template match');
  const { template, regex } = compileTemplate(match.path.value);
  const { ok: substitution, error } = templateSubstitution(rewrite, template);
  if (substitution === undefined) throw new ConfigError(`template rewrite ${JSON.stringify(rewrite)}: ${error}`);
  return (path) => {
    const end = endOfPath(path);
    return regex.replaceAll(path.substring(0, end), substitution) + path.substring(end);
  };
}

export function compileHostRewrite(rewrite: HostRewrite | null): HostRewriter | null {
  if (rewrite === null) return null;
  switch (rewrite.kind) {
    case 'auto':
      return { auto: true, rewrite: () => '' };
    case 'literal': {
      const value = checkHost(rewrite.value);
      return { auto: false, rewrite: () => value };
    }
    case 'header': {
      const read = headerReader(rewrite.name);
      return { auto: false, rewrite: (head) => plausibleHost(read(head) ?? '') };
    }
    case 'pathRegex': {
      const [regex, substitution] = compileSubstitution(rewrite.pattern, rewrite.substitution);
      return {
        auto: false,
        rewrite: ({ path }) => plausibleHost(regex.replaceAll(path.substring(0, endOfPath(path)), substitution)),
      };
    }
  }
}

/**
 * Notes the path before rewriting in `x-envoy-original-path`, for the log and for people upstream. One that
 * is there already stays: an earlier hop knows better.
 */
export function setOriginalPath(head: RequestHead, originalPath: string): void {
  if (!head.headers.has('x-envoy-original-path')) head.headers.add('x-envoy-original-path', originalPath);
}

/**
 * Puts another host in the place of the request's, in one Host line. `x-envoy-original-host` names `original` then, where one is
 * given; unlike a path, one that is there already is replaced, as in Envoy (`Http::Utility::updateAuthority`).
 */
export function rewriteHost(head: RequestHead, host: string, original = ''): void {
  const { headers } = head;
  if (original !== '') headers.set('x-envoy-original-host', original);
  headers.remove('host');
  headers.add('Host', host);
  head.authority = host;
}

/** Appends the authority that is about to be replaced to `x-forwarded-host`, unless it is the last one there. */
export function appendForwardedHost(head: RequestHead): void {
  const { headers, authority } = head;
  if (authority === '') return;
  const before = headers.getJoined('x-forwarded-host');
  if (before === undefined || before === '') {
    headers.set('x-forwarded-host', authority);
  } else if (before.slice(before.lastIndexOf(',') + 1).trim() !== authority) {
    headers.set('x-forwarded-host', `${before},${authority}`);
  }
}

/** Compiles a pattern with its substitution, or throws ConfigError. */
export function compileSubstitution(pattern: string, substitution: string): [regex: Regex, substitution: string] {
  const { ok: regex, error } = compileRegex(pattern);
  if (regex === undefined) throw new ConfigError(`regex ${JSON.stringify(pattern)}: ${error}`);
  const wrong = regex.checkSubstitution(substitution);
  if (wrong !== null) throw new ConfigError(`substitution ${JSON.stringify(substitution)} ${wrong}`);
  return [regex, substitution];
}

/** A request target needs its leading slash, whatever a substitution left. */
function origin(path: string): string {
  return path.charCodeAt(0) === 0x2f ? path : `/${path}`;
}

/** White space or control characters in a request target would split the request line. */
function checkTarget(text: string, what: string): void {
  if (/[^!-~\x80-\xff]/.test(toOctets(text))) {
    throw new ConfigError(`${what} ${JSON.stringify(text)} holds white space or control characters`);
  }
}

const HOST = /^[^\s/?#@\\\p{Cc}]+$/u;

function plausibleHost(host: string): string {
  return HOST.test(host) ? host : '';
}

function checkHost(host: string): string {
  if (!HOST.test(host)) throw new ConfigError(`${JSON.stringify(host)} is not a host`);
  return toOctets(host);
}
