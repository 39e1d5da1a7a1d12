/** What one visit to the reviews API, or to the page, showed. */
export interface Visit {
  readonly status: number;
  /** `v1`, `v2`, `v3`, or '' when no reviews came. */
  readonly version: string;
  readonly ms: number;
  readonly body: string;
  readonly headers: Headers;
}

/** Somebody with a browser, perhaps signed in. */
export class Visitor {
  readonly #url: string;
  #cookie = '';

  constructor(url: string) {
    this.#url = url;
  }

  async signIn(username: string): Promise<void> {
    const answer = await fetch(`${this.#url}/login`, {
      method: 'POST',
      body: new URLSearchParams({ username, passwd: '' }),
      redirect: 'manual',
    });
    await answer.arrayBuffer();
    this.#cookie = (answer.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
  }

  /** The reviews as JSON, by way of productpage: which version answered is in the pod's name. */
  reviews(): Promise<Visit> {
    return this.get('/api/v1/products/0/reviews');
  }

  async get(path: string): Promise<Visit> {
    const start = performance.now();
    const answer = await fetch(`${this.#url}${path}`, { headers: this.#cookie === '' ? {} : { cookie: this.#cookie } });
    const body = await answer.text();
    const version = /"?podname"?:\s*"reviews-(v\d)/.exec(body)?.[1] ?? /reviews-(v\d)-/.exec(body)?.[1] ?? '';
    return { status: answer.status, version, ms: performance.now() - start, body, headers: answer.headers };
  }

  async visit(times: number): Promise<Visit[]> {
    const visits: Visit[] = [];
    for (let i = 0; i < times; i++) visits.push(await this.reviews());
    return visits;
  }
}

/** Shares of versions and errors in percent: `v1 90 %, v3 10 %`. */
export function describeSplit(visits: readonly Visit[]): string {
  const counts = new Map<string, number>();
  for (const { status, version } of visits) {
    const key = status === 200 && version !== '' ? version : `error ${status}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, count]) => `${key} ${Math.round((100 * count) / visits.length)} %`)
    .join(', ');
}

/** How many of the visits a version answered, 0 to 1. */
export function shareOf(visits: readonly Visit[], version: string): number {
  return visits.filter((visit) => visit.version === version).length / visits.length;
}
