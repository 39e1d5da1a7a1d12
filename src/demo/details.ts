/** Facts about a book. */
import {
  byRoute,
  identify,
  json,
  main,
  productId,
  type RunningService,
  type ServiceOptions,
  serve,
} from './service.ts';

export async function startDetails(options: ServiceOptions = {}): Promise<RunningService> {
  const handler = byRoute([
    { method: 'GET', path: /^\/health$/, answer: () => json(200, { status: 'Details is healthy' }) },
    { method: 'GET', path: /^\/details\/([^/]+)$/, answer: (_request, id) => json(200, bookDetails(productId(id))) },
  ]);
  return serve(identify('details', options), options, handler);
}

function bookDetails(id: number) {
  return {
    id,
    author: 'William Shakespeare',
    year: 1595,
    type: 'paperback',
    pages: 200,
    publisher: 'PublisherA',
    language: 'English',
    'ISBN-10': '1234567890',
    'ISBN-13': '123-1234567890',
  };
}

if (import.meta.main) await main('details', startDetails);
