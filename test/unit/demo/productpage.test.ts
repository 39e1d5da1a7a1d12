import { spawn } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { startDetails } from '../../../src/demo/details.ts';
import { type ProductpageOptions, startProductpage } from '../../../src/demo/productpage.ts';
import { startRatings } from '../../../src/demo/ratings.ts';
import { startReviews } from '../../../src/demo/reviews.ts';
import type { RunningService } from '../../../src/demo/service.ts';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function running(service: RunningService): string {
  closers.push(() => service.close());
  return `http://127.0.0.1:${service.port}`;
}

async function stub(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const answer =
  (status: number, body: unknown): RequestListener =>
  (_request, response) =>
    void response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));

// Unless a test says otherwise no call ever takes too long, however busy the machine is.
const never = () => new AbortController().signal;
const productpage = async (options: ProductpageOptions) =>
  running(await startProductpage({ timeLimit: never, ...options }));

/** A time that is over as soon as both calls of a page have come so far, by node's diagnostics of its HTTP client. */
function overAfter(channel: string): () => AbortSignal {
  const limit = new AbortController();
  let calls = 0;
  const seen = () => {
    calls++;
    // Not within the client's own event.
    if (calls === 2) setImmediate(() => limit.abort());
  };
  subscribe(channel, seen);
  closers.push(async () => void unsubscribe(channel, seen));
  return () => limit.signal;
}

async function bookinfo(reviewsVersion: string) {
  const details = running(await startDetails({ pod: 'details-v1-d' }));
  const ratings = running(await startRatings());
  const reviews = running(
    await startReviews({ version: reviewsVersion, pod: `reviews-${reviewsVersion}-r`, ratings, timeLimit: never }),
  );
  return { base: await productpage({ details, reviews, ratings }), ratings };
}

async function page(base: string, headers: Record<string, string> = {}): Promise<string> {
  const response = await fetch(`${base}/productpage`, { headers });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
  return response.text();
}

async function signIn(base: string, username: string) {
  const response = await fetch(`${base}/login`, {
    method: 'POST',
    body: new URLSearchParams({ username }),
    redirect: 'manual',
  });
  const cookie = response.headers.get('set-cookie')?.split(';')[0] ?? '';
  return { status: response.status, location: response.headers.get('location'), cookie };
}

describe('the product page', () => {
  test.each([
    ['v1', undefined],
    ['v2', 'black'],
    ['v3', 'red'],
  ])('with reviews %s has the details, the reviews and %s stars', async (version, color) => {
    const text = await page((await bookinfo(version)).base);
    expect(text).toContain('<dt>Publisher</dt><dd>PublisherA</dd>');
    expect(text).toContain('<dt>ISBN-13</dt><dd>123-1234567890</dd>');
    expect(text).toContain('— Reviewer1');
    expect(text).toContain(`<span class="badge">${version}</span> answered by reviews-${version}-r`);
    expect(text).toContain('<td>details-v1-d</td>');
    expect(text).toMatch(/<td>reviews<\/td><td class="">200<\/td>\s*<td class="number">\d+\.\d ms<\/td>/);
    expect(
      [...text.matchAll(/class="stars (\w+)" role="img" aria-label="(\d) of 5/g)].map((m) => [m[1], m[2]]),
    ).toEqual(
      color === undefined
        ? []
        : [
            [color, '5'],
            [color, '4'],
          ],
    );
  });

  test('loads nothing from anywhere', async () => {
    const text = await page((await bookinfo('v2')).base);
    expect([...text.matchAll(/(?:src|href)="([^"]*)"/g)].map((m) => m[1]?.split(':')[0])).toEqual([
      'data',
      '/productpage',
    ]);
    expect(text).not.toMatch(/@import|url\(|<script/);
  });

  test('says so when only ratings are away', async () => {
    const ratings = await stub(answer(503, 'no healthy upstream'));
    const reviews = running(await startReviews({ version: 'v2', ratings, timeLimit: never }));
    const text = await page(await productpage({ details: running(await startDetails()), reviews, ratings }));
    expect(text.match(/Ratings service is currently unavailable/g)).toHaveLength(2);
    expect(text).not.toContain('Error fetching');
  });

  test('shows the reason that a proxy gave, as text', async () => {
    const reviews = await stub(answer(503, 'no healthy upstream: <b>all</b> of\n reviews v2 is ejected'));
    const text = await page(await productpage({ details: running(await startDetails()), reviews }));
    expect(text).toContain('Error fetching product reviews!');
    expect(text).toContain('<code>503: no healthy upstream: &lt;b&gt;all&lt;/b&gt; of reviews v2 is ejected</code>');
    expect(text).toContain('PublisherA');
  });

  test.each<[string, RequestListener, string]>([
    ['refuse in JSON', answer(429, { error: 'slow down' }), '429: slow down'],
    ['refuse without a word', answer(504, ''), '504: Gateway Timeout'],
    ['answer nonsense', answer(200, '[]'), '200, but the answer makes no sense'],
  ])('when details and reviews %s, both boxes say why', async (_what, listener, reason) => {
    const away = await stub(listener);
    const text = await page(await productpage({ details: away, reviews: away }));
    expect(text).toContain('Error fetching product details!');
    expect(text).toContain('Error fetching product reviews!');
    expect(text.split(`<code>${reason}</code>`)).toHaveLength(3);
  });

  test.each<[string, RequestListener, string]>([
    ['answer', () => {}, 'http.client.request.start'],
    ['end', (_request, response) => void response.write('{'), 'http.client.response.finish'],
  ])('when details and reviews never %s, it gives up on both', async (_what, listener, channel) => {
    const away = await stub(listener);
    const text = await page(await productpage({ details: away, reviews: away, timeLimit: overAfter(channel) }));
    expect(text.split('<code>no answer within 3 s</code>')).toHaveLength(3);
  });

  test('says who could not be reached', async () => {
    const gone = await startDetails();
    await gone.close();
    const text = await page(
      await productpage({ details: `http://127.0.0.1:${gone.port}`, reviews: await stub(answer(200, {})) }),
    );
    expect(text).toContain(`connect ECONNREFUSED 127.0.0.1:${gone.port}`);
    expect(text).toContain('no answer');
  });

  test('hostile answers stay text', async () => {
    const evil = '<img src=x onerror=alert(1)>';
    const reviews = await stub((_request, response) => {
      response.setHeader('x-bookinfo-version', evil);
      response.setHeader('x-bookinfo-pod', evil);
      response.end(
        JSON.stringify({
          podname: evil,
          reviews: [
            { reviewer: evil, text: evil, rating: { stars: 1e9, color: '"><script>' } },
            { reviewer: 5, text: null, rating: { error: evil } },
            'not a review',
          ],
        }),
      );
    });
    const details = await stub(answer(200, { author: evil, year: evil, constructor: evil }));
    const text = await page(await productpage({ details, reviews }));
    expect(text).not.toMatch(/<img|<script/);
    expect(text).toContain('— &lt;img src=x onerror=alert(1)&gt;');
    expect(text).toContain('aria-label="5 of 5 stars"');
  });
});

describe('signing in', () => {
  test('names the user on the page and to the services', async () => {
    const seen: IncomingHttpHeaders[] = [];
    const upstream = await stub((request, response) => {
      seen.push(request.headers);
      response.end('{}');
    });
    const base = await productpage({ details: upstream, reviews: upstream });
    const { status, location, cookie } = await signIn(base, 'jason');
    expect([status, location]).toEqual([303, '/productpage']);
    expect(await page(base, { cookie, 'x-request-id': 'r1' })).toContain('Signed in as <strong>jason</strong>');
    expect(seen.map((headers) => [headers['end-user'], headers['x-request-id'], headers.cookie])).toEqual([
      ['jason', 'r1', undefined],
      ['jason', 'r1', undefined],
    ]);
  });

  test('is the only way to be somebody', async () => {
    const seen: unknown[] = [];
    const upstream = await stub((request, response) => {
      seen.push(request.headers['end-user']);
      response.end('{}');
    });
    const base = await productpage({ details: upstream, reviews: upstream });
    const { cookie } = await signIn(base, 'maria');
    const forged = cookie.replace(/=[^.]*/, `=${Buffer.from('jason').toString('base64url')}`);
    for (const headers of [{ 'end-user': 'jason' }, { cookie: 'session=jason' }, { cookie: forged }]) {
      expect(await page(base, headers)).toContain('action="/login"');
    }
    expect(seen).toEqual(Array(6).fill(undefined));
  });

  test('a hostile name stays text, and one that breaks a header is refused', async () => {
    const { base } = await bookinfo('v1');
    const { cookie } = await signIn(base, '<script>alert("é")</script>');
    expect(await page(base, { cookie })).toContain(
      '<strong>&lt;script&gt;alert(&quot;é&quot;)&lt;/script&gt;</strong>',
    );
    expect(await signIn(base, 'a\r\nx-admin: 1')).toMatchObject({ status: 400, cookie: '' });
    expect(await signIn(base, '')).toMatchObject({ status: 400, cookie: '' });
  });

  test('ends with /logout', async () => {
    const { base } = await bookinfo('v1');
    const response = await fetch(`${base}/logout`, { redirect: 'manual' });
    expect(response.status).toBe(303);
    expect(response.headers.get('set-cookie')).toMatch(/^session=;.*Max-Age=0/);
  });
});

describe('the API', () => {
  test('passes on what the services answer', async () => {
    const { base } = await bookinfo('v3');
    const get = async (path: string) => (await fetch(base + path)).json();
    expect(await get('/api/v1/products')).toEqual([
      { id: 0, title: 'The Comedy of Errors', descriptionHtml: expect.any(String) },
    ]);
    expect(await get('/api/v1/products/0')).toMatchObject({ id: 0, publisher: 'PublisherA' });
    expect(await get('/api/v1/products/0/reviews')).toMatchObject({ id: '0', podname: 'reviews-v3-r' });
    expect(await get('/api/v1/products/0/ratings')).toEqual({ id: 0, ratings: { Reviewer1: 5, Reviewer2: 4 } });
    expect(await get('/health')).toEqual({ status: 'Product page is healthy' });
  });

  test('gives the status and reason of what failed', async () => {
    const base = await productpage({ reviews: await stub(answer(503, 'upstream connect error')) });
    const response = await fetch(`${base}/api/v1/products/0/reviews`);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({
      error: 'Sorry, product reviews are currently unavailable for this book.',
      reason: 'upstream connect error',
    });
  });

  test('refuses ids that are no numbers before asking anybody', async () => {
    const base = await productpage({});
    expect((await fetch(`${base}/api/v1/products/..%2Fsick/reviews`)).status).toBe(400);
  });

  test('has an intro at /', async () => {
    const response = await fetch(`${await productpage({})}/`);
    expect(await response.text()).toContain('<a class="button" href="/productpage">');
  });
});

test('calls plain service names, through http_proxy where one is set', async () => {
  const targets: unknown[] = [];
  const proxy = await stub((request, response) => {
    targets.push(`${request.method} ${request.url} Host: ${request.headers.host}`);
    response.end('{"reviews":[]}');
  });
  const file = fileURLToPath(new URL('../../../src/demo/productpage.ts', import.meta.url));
  const env = {
    ...process.env,
    PORT: '0',
    http_proxy: proxy,
    HTTP_PROXY: proxy,
    no_proxy: '',
    NO_PROXY: '',
    NODE_USE_ENV_PROXY: '1',
  };
  const child = spawn(process.execPath, [file], { env });
  closers.push(async () => {
    const exit = once(child, 'exit');
    child.kill();
    await exit;
  });
  const [line] = await once(createInterface(child.stdout), 'line');
  await page(`http://${String(line).split(' ').at(-1)}`);
  expect(targets.sort()).toEqual([
    'GET http://details:9080/details/0 Host: details:9080',
    'GET http://reviews:9080/reviews/0 Host: reviews:9080',
  ]);
});
