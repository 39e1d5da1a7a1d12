import { createServer, type IncomingHttpHeaders, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type ReviewsOptions, startReviews } from '../../../src/demo/reviews.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()));
});

async function stub(listener: RequestListener): Promise<string> {
  const server: Server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

// Unless a test says otherwise ratings never take too long, however busy the machine is.
const never = () => new AbortController().signal;

async function reviews(options: ReviewsOptions, headers: Record<string, string> = {}) {
  const service = await startReviews({ pod: 'reviews-abc', timeLimit: never, ...options });
  closers.push(() => service.close());
  const response = await fetch(`http://127.0.0.1:${service.port}/reviews/0`, { headers });
  return { status: response.status, version: response.headers.get('x-bookinfo-version'), body: await response.json() };
}

const fine: RequestListener = (_request, response) =>
  void response.end(JSON.stringify({ id: 0, ratings: { Reviewer1: 5, Reviewer2: 4 } }));
const UNAVAILABLE = { error: 'Ratings service is currently unavailable' };
const ratingsIn = (body: unknown) =>
  (body as { reviews: { rating?: unknown }[] }).reviews.map((review) => review.rating);

describe('reviews', () => {
  test('v1 shows no stars and does not ask ratings', async () => {
    let asked = 0;
    const ratings = await stub(() => void asked++);
    const { status, body, version } = await reviews({ version: 'v1', ratings, cluster: 'east' });
    expect(status).toBe(200);
    expect(version).toBe('v1');
    expect(body).toEqual({
      id: '0',
      podname: 'reviews-abc',
      clustername: 'east',
      reviews: [
        { reviewer: 'Reviewer1', text: expect.any(String) },
        { reviewer: 'Reviewer2', text: expect.any(String) },
      ],
    });
    expect(asked).toBe(0);
  });

  test.each([
    ['v2', 'black'],
    ['v3', 'red'],
  ])('%s shows %s stars', async (version, color) => {
    const { body } = await reviews({ version, ratings: await stub(fine) });
    expect(ratingsIn(body)).toEqual([
      { stars: 5, color },
      { stars: 4, color },
    ]);
  });

  test('a reviewer without stars does not spoil the other', async () => {
    const ratings = await stub((_request, response) => void response.end('{"ratings":{"Reviewer2":3}}'));
    expect(ratingsIn((await reviews({ version: 'v2', ratings })).body)).toEqual([
      UNAVAILABLE,
      { stars: 3, color: 'black' },
    ]);
  });

  test.each<[string, RequestListener]>([
    ['answer 503', (_request, response) => void response.writeHead(503).end('no healthy upstream')],
    ['answer nonsense', (_request, response) => void response.end('<html>')],
    ['hang up', (request) => void request.socket.destroy()],
    ['hang up in the middle', (request, response) => void response.write('{"rat', () => request.socket.destroy())],
  ])('when ratings %s, the reviews come without stars and say so', async (_what, listener) => {
    const { status, body } = await reviews({ version: 'v3', ratings: await stub(listener) });
    expect(status).toBe(200);
    expect(ratingsIn(body)).toEqual([UNAVAILABLE, UNAVAILABLE]);
  });

  test.each([
    ['v2', 10_000],
    ['v3', 2500],
  ])('%s waits for ratings %i ms', async (version, patience) => {
    const over = new AbortController();
    const limits: number[] = [];
    const ratings = await stub(() => over.abort());
    const timeLimit = (ms: number) => {
      limits.push(ms);
      return over.signal;
    };
    const { body } = await reviews({ version, ratings, timeLimit });
    expect(ratingsIn(body)).toEqual([UNAVAILABLE, UNAVAILABLE]);
    expect(limits).toEqual([patience]);
  });

  test('passes on what belongs to the trace and the caller, and nothing else', async () => {
    let seen: IncomingHttpHeaders = {};
    const ratings = await stub((request, response) => {
      seen = request.headers;
      fine(request, response);
    });
    const passed = {
      'x-request-id': 'r1',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      tracestate: 'a=b',
      b3: '0',
      'x-b3-traceid': 't1',
      'x-b3-sampled': '1',
      'x-cloud-trace-context': 'c1',
      'x-amzn-trace-id': 'a1',
      'x-datadog-sampling-priority': '1',
      'end-user': 'jason',
      'user-agent': 'test',
    };
    await reviews(
      { version: 'v2', ratings },
      { ...passed, cookie: 'session=secret', 'x-forwarded-for': '1.2.3.4', 'x-tracery': 'no' },
    );
    expect(seen).toMatchObject(passed);
    for (const name of ['cookie', 'x-forwarded-for', 'x-tracery']) expect(seen).not.toHaveProperty(name);
  });

  test('keeps its connection to ratings and survives its being closed', async () => {
    const sockets = new Set<unknown>();
    let hangUp = false;
    const ratings = await stub((request, response) => {
      if (hangUp && sockets.has(request.socket)) return void request.socket.destroy();
      sockets.add(request.socket);
      fine(request, response);
    });
    const service = await startReviews({ version: 'v2', ratings, timeLimit: never });
    closers.push(() => service.close());
    const ask = async () => ratingsIn(await (await fetch(`http://127.0.0.1:${service.port}/reviews/0`)).json());
    await ask();
    await ask();
    expect(sockets.size).toBe(1);
    hangUp = true;
    expect(await ask()).toEqual([
      { stars: 5, color: 'black' },
      { stars: 4, color: 'black' },
    ]);
    expect(sockets.size).toBe(2);
  });

  test('can be made sick', async () => {
    expect((await reviews({ sick: 503 })).status).toBe(503);
  });
});
