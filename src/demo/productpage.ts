/** The page a visitor sees, rendered from what details and reviews answer. */
import type { IncomingHttpHeaders } from 'node:http';
import { decodeDetails, decodeReviews } from './answers.ts';
import { type CallResult, type ForwardedHeaders, forwardedHeaders, get, type TimeLimit } from './call.ts';
import { type CallRow, introPage, type Product, productPage } from './page.ts';
import {
  type Answer,
  byRoute,
  identify,
  json,
  main,
  productId,
  Refusal,
  type RunningService,
  type ServiceOptions,
  type ServiceRequest,
  serve,
} from './service.ts';
import { CLOSE_SESSION, createSessions, headerValue, type Sessions, userName } from './session.ts';

export interface ProductpageOptions extends ServiceOptions {
  /** Base URLs of the services that it calls. */
  readonly details?: string;
  readonly reviews?: string;
  readonly ratings?: string;
  /** Stands in for the clock in tests. */
  readonly timeLimit?: TimeLimit;
}

// Istio's sample gives each call 3 s, and quietly asks reviews a second time. Here it is one call of 3 s: trying again
// is what the mesh is for, and a retry hidden in the program would multiply with the mesh's own.
const TIMEOUT_MS = 3000;
const MAX_FORM = 4096;
const HTML_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'",
};

const PRODUCT: Product = {
  id: 0,
  title: 'The Comedy of Errors',
  summary:
    'One of Shakespeare’s early plays, and his shortest: two pairs of twins parted at birth find themselves in the same town, and everybody takes everybody for somebody else.',
};

export async function startProductpage(options: ProductpageOptions = {}): Promise<RunningService> {
  const sessions = createSessions(options.sessionKey);
  const urls = {
    details: `${options.details ?? 'http://details:9080'}/details/`,
    reviews: `${options.reviews ?? 'http://reviews:9080'}/reviews/`,
    ratings: `${options.ratings ?? 'http://ratings:9080'}/ratings/`,
  };
  const ask = (service: keyof typeof urls, id: number, headers: ForwardedHeaders) =>
    get(urls[service] + id, headers, options.callTimeoutMs ?? TIMEOUT_MS, options.timeLimit);

  async function front(request: ServiceRequest): Promise<Answer> {
    const user = sessions.read(request.headers.cookie);
    const headers = callHeaders(request.headers, user);
    const [details, reviews] = await Promise.all([
      ask('details', PRODUCT.id, headers),
      ask('reviews', PRODUCT.id, headers),
    ]);
    return page(
      productPage({
        user,
        product: PRODUCT,
        details: decodeDetails(details),
        reviews: decodeReviews(reviews),
        reviewsVersion: header(reviews, 'x-bookinfo-version'),
        calls: [callRow('details', details), callRow('reviews', reviews)],
      }),
    );
  }

  const api = (service: keyof typeof urls) => async (request: ServiceRequest, id: string) => {
    const headers = callHeaders(request.headers, sessions.read(request.headers.cookie));
    return passOn(await ask(service, productId(id), headers), `product ${service}`);
  };

  const handler = byRoute([
    { method: 'GET', path: /^\/$/, answer: (request) => page(introPage(sessions.read(request.headers.cookie))) },
    { method: 'GET', path: /^\/productpage$/, answer: front },
    { method: 'POST', path: /^\/login$/, answer: (request) => login(request, sessions) },
    { method: 'GET', path: /^\/logout$/, answer: () => toFront(CLOSE_SESSION) },
    { method: 'GET', path: /^\/health$/, answer: () => json(200, { status: 'Product page is healthy' }) },
    { method: 'GET', path: /^\/api\/v1\/products$/, answer: () => json(200, [productJson(PRODUCT)]) },
    { method: 'GET', path: /^\/api\/v1\/products\/([^/]+)$/, answer: api('details') },
    { method: 'GET', path: /^\/api\/v1\/products\/([^/]+)\/reviews$/, answer: api('reviews') },
    { method: 'GET', path: /^\/api\/v1\/products\/([^/]+)\/ratings$/, answer: api('ratings') },
  ]);
  return serve(identify('productpage', options), options, handler);
}

/** `end-user` is whom the session names: what a visitor sends under that name is not believed. */
function callHeaders(incoming: IncomingHttpHeaders, user: string | undefined): ForwardedHeaders {
  const { 'end-user': _claimed, ...headers } = forwardedHeaders(incoming);
  return user === undefined ? headers : { ...headers, 'end-user': headerValue(user) };
}

async function login(request: ServiceRequest, sessions: Sessions): Promise<Answer> {
  const form = new URLSearchParams(await request.body(MAX_FORM));
  const user = userName(form.get('username'));
  if (user === undefined) throw new Refusal(400, 'username must be 1 to 64 characters on one line');
  return toFront(sessions.open(user));
}

function toFront(cookie: string): Answer {
  return {
    status: 303,
    headers: { location: '/productpage', 'set-cookie': cookie, 'cache-control': 'no-store' },
    body: '',
  };
}

function page(text: string): Answer {
  return { status: 200, headers: HTML_HEADERS, body: text };
}

/** A service's answer as the API gives it: its body, or its status with the sample's apology and the reason. */
function passOn(result: CallResult, what: string): Answer {
  if (result.status === 200) return { status: 200, headers: { 'content-type': 'application/json' }, body: result.body };
  const error = `Sorry, ${what} are currently unavailable for this book.`;
  return json(result.status === 0 ? 500 : result.status, { error, reason: result.reason });
}

function productJson({ id, title, summary }: Product) {
  return { id, title, descriptionHtml: summary };
}

function callRow(service: string, result: CallResult): CallRow {
  return { service, status: result.status, ms: result.ms, pod: header(result, 'x-bookinfo-pod') };
}

function header(result: CallResult, name: string): string {
  const value = result.headers[name];
  return typeof value === 'string' ? value : '';
}

if (import.meta.main) await main('productpage', startProductpage);
