/** Two reviews of a book: v1 without stars, v2 with black ones, v3 with red ones, which it asks of ratings. */
import { type CallResult, forwardedHeaders, get, isObject, parseJson, type TimeLimit } from './call.ts';
import { byRoute, identify, json, main, productId, type RunningService, serve } from './service.ts';
import { type SicknessOptions, withSickness } from './sickness.ts';

export interface ReviewsOptions extends SicknessOptions {
  /** Base URL of ratings. */
  readonly ratings?: string;
  /** Stands in for the clock in tests. */
  readonly timeLimit?: TimeLimit;
}

const REVIEWS = [
  {
    reviewer: 'Reviewer1',
    text: 'Two pairs of twins, one long day, and not a dull line in it. I laughed out loud on the train.',
  },
  {
    reviewer: 'Reviewer2',
    text: 'Quick, silly and warm-hearted. Those who look for depth will find it in his later plays.',
  },
] as const;

const STAR_COLORS: Readonly<Record<string, string>> = { v2: 'black', v3: 'red' };
// As in Istio's sample: v2 is patient, v3 is not.
const RATINGS_TIMEOUT_MS: Readonly<Record<string, number>> = { v2: 10_000, v3: 2_500 };

export async function startReviews(options: ReviewsOptions = {}): Promise<RunningService> {
  const identity = identify('reviews', options);
  const ratingsUrl = options.ratings ?? 'http://ratings:9080';
  const color = STAR_COLORS[identity.version];
  const timeoutMs = RATINGS_TIMEOUT_MS[identity.version] ?? 10_000;

  const handler = byRoute([
    { method: 'GET', path: /^\/health$/, answer: () => json(200, { status: 'Reviews is healthy' }) },
    {
      method: 'GET',
      path: /^\/reviews\/([^/]+)$/,
      async answer(request, text) {
        const id = String(productId(text));
        const base = { id, podname: identity.pod, clustername: options.cluster ?? 'local' };
        if (color === undefined) return json(200, { ...base, reviews: REVIEWS });
        const headers = forwardedHeaders(request.headers);
        const stars = starsIn(await get(`${ratingsUrl}/ratings/${id}`, headers, timeoutMs, options.timeLimit));
        const reviews = REVIEWS.map((review) => ({ ...review, rating: rating(stars[review.reviewer], color) }));
        return json(200, { ...base, reviews });
      },
    },
  ]);
  return serve(identity, options, withSickness(identity, options, handler));
}

function starsIn(result: CallResult): Record<string, unknown> {
  const value = result.status === 200 ? parseJson(result.body) : undefined;
  return isObject(value) && isObject(value.ratings) ? value.ratings : {};
}

function rating(stars: unknown, color: string) {
  return typeof stars === 'number' ? { stars, color } : { error: 'Ratings service is currently unavailable' };
}

if (import.meta.main) await main('reviews', startReviews);
