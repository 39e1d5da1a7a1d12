/** What details and reviews answered, decoded once: a value to show, or why there is none. */
import { type CallResult, isObject, parseJson } from './call.ts';

export type Answered<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

export type BookDetails = Readonly<Record<string, string>>;

export type Rating =
  | { readonly kind: 'none' }
  | { readonly kind: 'stars'; readonly stars: number; readonly color: string }
  | { readonly kind: 'error'; readonly error: string };

export interface Review {
  readonly reviewer: string;
  readonly text: string;
  readonly rating: Rating;
}

export interface Reviews {
  readonly podname: string;
  readonly reviews: readonly Review[];
}

export function decodeDetails(result: CallResult): Answered<BookDetails> {
  return decode(result, (value) => {
    const details: Record<string, string> = {};
    for (const [name, field] of Object.entries(value)) {
      if (typeof field === 'string' || typeof field === 'number') details[name] = String(field);
    }
    return details;
  });
}

export function decodeReviews(result: CallResult): Answered<Reviews> {
  return decode(result, ({ podname, reviews }) => {
    if (!Array.isArray(reviews)) return undefined;
    return { podname: asText(podname), reviews: reviews.filter(isObject).map(decodeReview) };
  });
}

function decode<T>(result: CallResult, read: (value: Record<string, unknown>) => T | undefined): Answered<T> {
  if (result.status !== 200) {
    return { ok: false, reason: result.status === 0 ? result.reason : `${result.status}: ${result.reason}` };
  }
  const body = parseJson(result.body);
  const value = isObject(body) ? read(body) : undefined;
  return value === undefined ? { ok: false, reason: '200, but the answer makes no sense' } : { ok: true, value };
}

function decodeReview({ reviewer, text, rating }: Record<string, unknown>): Review {
  return { reviewer: asText(reviewer), text: asText(text), rating: decodeRating(rating) };
}

function decodeRating(rating: unknown): Rating {
  if (!isObject(rating)) return { kind: 'none' };
  if (typeof rating.stars === 'number') {
    const stars = Math.min(5, Math.max(0, Math.round(rating.stars)));
    return { kind: 'stars', stars, color: asText(rating.color) };
  }
  return { kind: 'error', error: asText(rating.error) || 'Ratings service is currently unavailable' };
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
