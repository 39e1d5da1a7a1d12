/** What a smuggling case is, and the lists that cases are put in. */

export interface ForwardedRequest {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly body: string;
}

export type SmugglingVerdict =
  | {
      readonly kind: 'refuse';
      readonly status: number /** Requests before the refused one that are in order. */;
      readonly before: number;
    }
  | { readonly kind: 'forward'; readonly requests: readonly ForwardedRequest[] };

export interface SmugglingCase {
  readonly name: string;
  readonly group: string;
  /** Octets as latin1 characters. */
  readonly bytes: string;
  readonly verdict: SmugglingVerdict;
}

/** A list of cases that is being written, group by group. */
export class Corpus {
  readonly cases: SmugglingCase[] = [];
  #group = '';

  group(name: string): void {
    this.#group = name;
  }
  /** `before`: requests before the refused one that are in order. */
  refuse(name: string, bytes: string, status = 400, before = 0): void {
    this.cases.push({ name, group: this.#group, bytes, verdict: { kind: 'refuse', status, before } });
  }
  forward(name: string, bytes: string, ...requests: ForwardedRequest[]): void {
    this.cases.push({ name, group: this.#group, bytes, verdict: { kind: 'forward', requests } });
  }
}

export function request(method: string, path: string, body = '', authority = 'a'): ForwardedRequest {
  return { method, path, authority, body };
}

/** A POST to `/` at host `a` with these header lines. */
export function post(lines: string, body = ''): string {
  return `POST / HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n${body}`;
}

export const SMUGGLED = 'GET /admin HTTP/1.1\r\nHost: a\r\n\r\n';
export const CHUNKED = 'Transfer-Encoding: chunked';
export const EMPTY_CHUNKED = '0\r\n\r\n';
