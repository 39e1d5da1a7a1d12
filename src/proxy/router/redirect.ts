import { toOctets } from '../../base/regex.ts';
import type { RedirectAction, RouteMatch } from '../../model/route.ts';
import type { RequestHead } from '../../protocol/http/message.ts';
import { compilePathRewrite } from './rewrite.ts';

/** Builds the Location of a redirect. `forwardedProto` is the X-Forwarded-Proto of the request, else its scheme. */
export type Redirector = (head: RequestHead, forwardedProto: string) => string;

/** Compiles a redirect (envoy.config.route.v3.RedirectAction). */
export function compileRedirect(action: RedirectAction, match: RouteMatch): Redirector {
  const scheme = action.scheme !== '' ? action.scheme : action.httpsRedirect ? 'https' : '';
  const host = toOctets(action.host);
  const port = action.port === 0 ? '' : `:${action.port}`;
  const path = compileRedirectPath(action, match);
  return (head, forwardedProto) => {
    const newScheme = scheme === '' ? forwardedProto : scheme;
    const newHost = host === '' ? requestHost(head.authority, newScheme, port, forwardedProto) : host;
    return `${newScheme}://${newHost}${port}${path(head.path)}`;
  };
}

function compileRedirectPath(action: RedirectAction, match: RouteMatch): (path: string) => string {
  const { path: target, stripQuery } = action;
  if (target.kind === 'path' && target.value !== '') {
    const value = toOctets(target.value);
    // A query of its own takes the place of the request's and is not stripped.
    if (value.includes('?') || stripQuery) return () => value;
    return (path) => {
      const query = path.indexOf('?');
      return query < 0 ? value : value + path.substring(query);
    };
  }
  const rewrite =
    target.kind === 'regex'
      ? compilePathRewrite(target, match)
      : target.kind === 'prefix'
        ? compilePathRewrite({ kind: 'prefix', value: target.value }, match)
        : null;
  return (path) => {
    const rewritten = rewrite === null ? path : rewrite(path);
    if (!stripQuery) return rewritten;
    const query = rewritten.indexOf('?');
    return query < 0 ? rewritten : rewritten.substring(0, query);
  };
}

/** The request's host, without its port where the redirect names one or the old scheme's default would be wrong. */
function requestHost(authority: string, newScheme: string, newPort: string, oldScheme: string): string {
  const bracket = authority.startsWith('[') ? authority.lastIndexOf(']:') : -1;
  const colon = authority.startsWith('[') ? (bracket < 0 ? -1 : bracket + 1) : authority.lastIndexOf(':');
  if (colon < 0) return authority;
  if (newPort !== '') return authority.substring(0, colon);
  if (newScheme !== oldScheme) {
    const port = authority.substring(colon);
    if ((oldScheme === 'https' && port === ':443') || (oldScheme === 'http' && port === ':80')) {
      return authority.substring(0, colon);
    }
  }
  return authority;
}
