import type { InternalRedirectPolicy } from '../../model/route.ts';
import type { Headers } from '../../protocol/http/headers.ts';
import { Framing, type RequestHead, type ResponseHead } from '../../protocol/http/message.ts';
import { rewriteHost } from '../router/rewrite.ts';
import type { CompiledRoute } from '../router/route.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { ConnectionManager } from './connection-manager.ts';
import { checkRequest } from './request-check.ts';
import type { RouteChoice } from './route-choice.ts';
import type { RareHttpEvent } from './stats.ts';

interface RedirectTarget {
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
}

/** An absolute http(s) URL; null for anything else, as Envoy has it. The fragment is the browser's and goes. */
export function parseLocation(location: string): RedirectTarget | null {
  const match = /^(https?):\/\/([^/?#@\s]+)(\/[^#\s]*)?(?:#\S*)?$/i.exec(location);
  if (match === null) return null;
  const [, scheme = '', authority = '', rest = '/'] = match;
  if (!/^(?:[\w.~%!$&'()*+,;=-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i.test(authority)) return null;
  if (/[^!-~]/.test(rest)) return null;
  return { scheme: scheme.toLowerCase(), authority, path: rest };
}

/** The redirects of one request that are followed here; made at the first one. */
export class Redirects {
  #count = 0;
  /** By the name of a route, the routes that its redirects led to (`previous_routes`). */
  readonly #entered = new Map<string, Set<string>>();
  #next: { route: CompiledRoute; target: RedirectTarget; copied: Copied[]; status: number } | null = null;

  #body = NO_BODY;

  /** The route that the redirect leads to. */
  get route(): CompiledRoute {
    return this.#next!.route;
  }

  /**
   * Decides whether a response's redirect is followed here (Envoy: router.cc
   * `convertRequestHeadersForInternalRedirect`); false when the client gets it. Changes nothing of the request.
   */
  judge(
    response: ResponseHead,
    policy: InternalRedirectPolicy,
    choice: RouteChoice,
    info: StreamInfo,
    manager: ConnectionManager,
    trusted: boolean,
  ): boolean {
    const { request } = info;
    const location = response.headers.get('location');
    if (location === undefined || request.path === '') return false;
    const target = parseLocation(location);
    const { stats } = manager;
    if (target === null) {
      stats.rare('passthrough_internal_redirect_bad_location');
    } else if (!policy.allowCrossScheme && target.scheme !== request.scheme) {
      stats.rare('passthrough_internal_redirect_unsafe_scheme');
    } else if (this.#count >= policy.maxRedirects) {
      stats.rare('passthrough_internal_redirect_too_many_redirects');
    } else {
      const failure = this.#choose(response, policy, target, choice, info, manager, trusted);
      if (failure === null) {
        info.response = response;
        info.responseCode = response.status;
        info.responseCodeDetails = 'internal_redirect';
        return true;
      }
      stats.rare(failure);
    }
    return false;
  }

  #choose(
    response: ResponseHead,
    policy: InternalRedirectPolicy,
    target: RedirectTarget,
    choice: RouteChoice,
    info: StreamInfo,
    manager: ConnectionManager,
    trusted: boolean,
  ): RareHttpEvent | null {
    const { request } = info;
    const { scheme } = request;
    const before = { scheme, authority: request.authority, path: request.path };
    const copied = policy.responseHeadersToCopy.map((name): Copied => [name, response.headers.getJoined(name)]);
    const saved = copied.map(([name]): Copied => [name, request.headers.getJoined(name)]);
    copyHeaders(request.headers, copied);
    pointTo(request, target);
    // What the predicates judge is what will be routed: the path is normalised first.
    const refusal = checkRequest(request, manager);
    const { authority, path } = request;
    const route = refusal === null ? choice.find(info, manager, trusted) : null;
    pointTo(request, before);
    copyHeaders(request.headers, saved);
    if (refusal !== null) return 'passthrough_internal_redirect_bad_location';
    if (route === null) return 'passthrough_internal_redirect_no_route';
    const from = choice.route!.info.routeName;
    if (!this.#allowed(policy, from, route.info.routeName, scheme, target.scheme))
      return 'passthrough_internal_redirect_predicate';
    this.#count++;
    this.#next = { route, target: { scheme: target.scheme, authority, path }, copied, status: response.status };
    return null;
  }

  #allowed(policy: InternalRedirectPolicy, from: string, to: string, scheme: string, newScheme: string): boolean {
    if (policy.safeCrossScheme && newScheme === 'https' && scheme !== 'https') return false;
    if (policy.allowedRoutes !== null && !policy.allowedRoutes.includes(to)) return false;
    return !policy.previousRoutes || this.#enter(from, to);
  }

  #enter(from: string, to: string): boolean {
    const entered = this.#entered.get(from) ?? new Set();
    if (entered.has(to)) return false;
    this.#entered.set(from, entered.add(to));
    return true;
  }

  /** The body that the request begins again with, once. */
  takeBody(): readonly Buffer[] {
    const body = this.#body;
    this.#body = NO_BODY;
    return body;
  }

  /** Makes of the request the one that the redirect asks for; answers whether its body goes with it. */
  apply(request: RequestHead, body: readonly Buffer[]): boolean {
    this.#body = body;
    const { target, copied, status } = this.#next!;
    const { headers } = request;
    copyHeaders(headers, copied);
    headers.set('x-envoy-original-url', `${request.scheme}://${request.authority}${request.path}`);
    // Of the first pass; the next adds its own.
    headers.remove('connection');
    headers.remove('x-envoy-original-path');
    headers.remove('x-envoy-original-host');
    pointTo(request, target);
    rewriteHost(request, target.authority);
    if (status !== 303 || request.method === 'GET' || request.method === 'HEAD') return true;
    // RFC 9110 section 15.4.4: another resource is to be retrieved.
    request.method = 'GET';
    request.framing = Framing.None;
    request.contentLength = -1;
    headers.remove('content-length');
    this.#body = NO_BODY;
    return false;
  }
}

const NO_BODY: readonly Buffer[] = [];

/** A header that takes the place of the request's; undefined: it is removed. */
type Copied = readonly [name: string, value: string | undefined];

function copyHeaders(headers: Headers, copied: readonly Copied[]): void {
  for (const [name, value] of copied) {
    headers.remove(name);
    if (value !== undefined) headers.add(name, value);
  }
}

function pointTo(request: RequestHead, { scheme, authority, path }: RedirectTarget): void {
  request.scheme = scheme;
  request.authority = authority;
  request.path = path;
}
