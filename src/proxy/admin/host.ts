import { isIP } from '../../base/ip.ts';

/**
 * Which Host headers are answered. `local`: an IP address, `localhost`, and `names`: a page that a browser loaded
 * from elsewhere cannot reach the server by pointing its own name at it (DNS rebinding). `any`: for servers that
 * only tell what everybody may know.
 */
export type HostPolicy = { readonly kind: 'local'; readonly names?: readonly string[] } | { readonly kind: 'any' };

/** `authority` is '' where HTTP/1.0 named no host, which no browser does. */
export function hostAllowed(policy: HostPolicy, authority: string): boolean {
  if (policy.kind === 'any' || authority === '') return true;
  const host = hostOf(authority).toLowerCase();
  return isIP(host) !== 0 || host === 'localhost' || (policy.names ?? []).some((name) => name.toLowerCase() === host);
}

/**
 * Whether a request that changes something may come from where it does: a form on another site can post here
 * too, with a Host that is right, but the browser says so.
 */
export function originAllowed(authority: string, origin: string | undefined, site: string | undefined): boolean {
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false;
  return origin === undefined || origin === `http://${authority}` || origin === `https://${authority}`;
}

function hostOf(authority: string): string {
  if (authority.startsWith('[')) return authority.slice(1, authority.indexOf(']'));
  const colon = authority.indexOf(':');
  return colon < 0 ? authority : authority.slice(0, colon);
}
