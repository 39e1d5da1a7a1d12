/** Stars by reviewer. `POST /ratings/0` sets them for as long as the process lives. */
import { isObject, parseJson } from './call.ts';
import { byRoute, identify, json, main, productId, Refusal, type RunningService, serve } from './service.ts';
import { type SicknessOptions, withSickness } from './sickness.ts';

type Stars = Record<string, number>;

const MAX_BODY = 16 * 1024;
const MAX_BOOKS = 1000;

export async function startRatings(options: SicknessOptions = {}): Promise<RunningService> {
  const identity = identify('ratings', options);
  const given = new Map<number, Stars>();
  const ratingsOf = (id: number) => json(200, { id, ratings: given.get(id) ?? { Reviewer1: 5, Reviewer2: 4 } });

  const handler = byRoute([
    { method: 'GET', path: /^\/health$/, answer: () => json(200, { status: 'Ratings is healthy' }) },
    { method: 'GET', path: /^\/ratings\/([^/]+)$/, answer: (_request, id) => ratingsOf(productId(id)) },
    {
      method: 'POST',
      path: /^\/ratings\/([^/]+)$/,
      async answer(request, text) {
        const id = productId(text);
        if (identity.version !== 'v1') throw new Refusal(501, 'only ratings v1 can be written to');
        const stars = decodeStars(await request.body(MAX_BODY));
        if (!given.has(id) && given.size >= MAX_BOOKS)
          throw new Refusal(507, 'too many books have ratings of their own');
        given.set(id, stars);
        return ratingsOf(id);
      },
    },
  ]);
  return serve(identity, options, withSickness(identity, options, handler));
}

function decodeStars(body: string): Stars {
  const value = parseJson(body);
  if (!isObject(value) || !Object.values(value).every(isStars)) {
    throw new Refusal(400, 'please provide valid ratings JSON: reviewers with 0 to 5 stars');
  }
  return value as Stars;
}

function isStars(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= 5;
}

if (import.meta.main) await main('ratings', startRatings);
