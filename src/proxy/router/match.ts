import { ConfigError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import { compileRegex, type Regex, toOctets } from '../../base/regex.ts';
import { parseUriTemplate, type UriTemplate } from '../../base/uri-template.ts';
import type { QueryParameterMatcher, StringMatcher } from '../../model/matcher.ts';
import type { RouteMatch } from '../../model/route.ts';
import { RequestHead } from '../../protocol/http/message.ts';
import type { RuntimeValues } from '../filters/filter.ts';
import { compileHeaderMatcher, compileStringMatcher, lowerAscii } from './header-match.ts';

/** What the route table asks about a request besides its head; one object a connection will do. */
export interface MatchContext {
  /** The request is from an internal caller. For `require_tls: EXTERNAL_ONLY`. */
  readonly internal: boolean;
  /** The downstream connection is TLS. */
  readonly tls: boolean;
  /** The peer presented a certificate. */
  readonly peerPresented: boolean;
  /** The certificate was verified. */
  readonly peerValidated: boolean;
}

export const PLAINTEXT: MatchContext = {
  internal: false,
  tls: false,
  peerPresented: false,
  peerValidated: false,
};

/** What predicates need to be compiled. */
export interface MatchDeps {
  readonly random: Random;
  readonly runtime: RuntimeValues;
}

/**
 * The request as predicates see it. One reused object a table: it is filled at the start of a match and read
 * until its end, never kept.
 */
export class MatchInput {
  head: RequestHead = NO_HEAD;
  context: MatchContext = PLAINTEXT;
  /** What routes by path, prefix and regex see of the path; up to `pathEnd`. */
  text = '';
  /** Where the path ends and query or fragment begin. */
  pathEnd = 0;
  #draw = -1;

  /** `ignoreParameters`: what stands in a segment behind its first `;` is left out of `text`. */
  fill(head: RequestHead, context: MatchContext, ignoreParameters = false): void {
    this.head = head;
    this.context = context;
    this.text = head.path;
    this.pathEnd = endOfPath(head.path);
    if (ignoreParameters && head.path.includes(';')) {
      this.text = head.path.substring(0, this.pathEnd).replace(/;[^/]*/g, '');
      this.pathEnd = this.text.length;
    }
    this.#draw = -1;
  }

  /** Lets go of the request. */
  clear(): void {
    this.text = '';
    this.head = NO_HEAD;
    this.context = PLAINTEXT;
  }

  /** The path without query. */
  get path(): string {
    const { text } = this;
    return this.pathEnd === text.length ? text : text.substring(0, this.pathEnd);
  }

  /** One number in [0, 1,000,000) a match: as in Envoy, all routes with a runtime fraction see the same draw. */
  draw(random: Random): number {
    if (this.#draw < 0) this.#draw = random.int(1_000_000);
    return this.#draw;
  }
}

const NO_HEAD = new RequestHead();

/** One condition of a route: the test, and the words for {@link explain}. */
export interface Predicate {
  test(input: MatchInput): boolean;
  describe(): string;
  /** Why it failed for this request; only asked for when it did. */
  failure(input: MatchInput): string;
}

/** Where a path ends: at its query or fragment, or with the text. */
export function endOfPath(path: string): number {
  const query = path.indexOf('?');
  const fragment = path.indexOf('#');
  if (query < 0) return fragment < 0 ? path.length : fragment;
  return fragment < 0 || query < fragment ? query : fragment;
}

/** The condition on the path. The tree of `route-index.ts` answers the same question for many routes at once. */
export function compilePath(match: RouteMatch): Predicate {
  const { path, caseSensitive } = match;
  if (path.kind === 'connect') return CONNECT;
  if (path.kind === 'regex') {
    const shown = JSON.stringify(path.value);
    const { ok: regex, error } = compileRegex(path.value);
    if (regex === undefined) throw new ConfigError(`path regex ${shown}: ${error}`);
    return pathPredicate((input) => regex.matches(input.path), `matches regex ${shown}`);
  }
  if (path.kind === 'template') {
    const regex = compileTemplate(path.value).regex;
    // As in Envoy, a template sees path parameters even where they are ignored.
    const whole = ({ path }: RequestHead): string => path.substring(0, endOfPath(path));
    return pathPredicate(
      (input) => regex.matches(whole(input.head)),
      `fits the template ${JSON.stringify(path.value)}`,
    );
  }
  return new PathText(path.kind, path.value, caseSensitive);
}

/** A URI template with its expression for whole paths, or throws ConfigError. */
export function compileTemplate(text: string): { readonly template: UriTemplate; readonly regex: Regex } {
  const { ok: template, error } = parseUriTemplate(text);
  if (template === undefined) throw new ConfigError(`path template ${JSON.stringify(text)}: ${error}`);
  const { ok: regex, error: wrong } = compileRegex(`^${template.pattern}$`);
  if (regex === undefined) throw new ConfigError(`path template ${JSON.stringify(text)}: ${wrong}`);
  return { template, regex };
}

/** Whether a path segment ends at `length`. */
export function endsSegment(input: MatchInput, length: number): boolean {
  return input.pathEnd === length || input.text.charCodeAt(length) === 0x2f;
}

/**
 * A path that is a text or begins with it. An object and its text are all that a test reads: what only one host of ten
 * thousand has is in no cache of the processor, and each line of it is waited for.
 */
class PathText implements Predicate {
  readonly #kind: 'path' | 'prefix' | 'pathSeparatedPrefix';
  /** Octets; lower case unless `#caseSensitive`. */
  readonly #value: string;
  readonly #caseSensitive: boolean;
  readonly #written: string;

  constructor(kind: 'path' | 'prefix' | 'pathSeparatedPrefix', value: string, caseSensitive: boolean) {
    this.#kind = kind;
    this.#value = caseSensitive ? toOctets(value) : lowerAscii(toOctets(value));
    this.#caseSensitive = caseSensitive;
    this.#written = value;
  }

  test(input: MatchInput): boolean {
    const { text, pathEnd } = input;
    const value = this.#value;
    // A request without a path (CONNECT) is only for routes that match CONNECT.
    if (pathEnd < value.length || input.head.path === '') return false;
    const begins = this.#caseSensitive ? text.startsWith(value) : lowerAscii(text.substring(0, value.length)) === value;
    if (!begins || this.#kind === 'prefix') return begins;
    return pathEnd === value.length || (this.#kind === 'pathSeparatedPrefix' && endsSegment(input, value.length));
  }

  describe(): string {
    const folded = this.#caseSensitive ? '' : ' (in any case)';
    const shown = JSON.stringify(this.#written);
    switch (this.#kind) {
      case 'path':
        return `path is ${shown}${folded}`;
      case 'prefix':
        return `path begins with ${shown}${folded}`;
      case 'pathSeparatedPrefix':
        return `path is ${shown} or below it${folded}`;
    }
  }

  failure(input: MatchInput): string {
    return pathFailure(input);
  }
}

function pathPredicate(test: (input: MatchInput) => boolean, words: string): Predicate {
  return {
    test: (input) => input.head.path !== '' && test(input),
    describe: () => `path ${words}`,
    failure: pathFailure,
  };
}

function pathFailure({ head, path }: MatchInput): string {
  return head.path === '' ? `a ${head.method} request has no path` : `the path is ${JSON.stringify(path)}`;
}

const CONNECT: Predicate = {
  test: (input) => input.head.method === 'CONNECT',
  describe: () => 'method is CONNECT',
  failure: (input) => `the method is ${input.head.method}`,
};

/** All conditions of a route but the path, in the order they are tested. */
export function compileConditions(match: RouteMatch, deps: MatchDeps): readonly Predicate[] {
  const conditions: Predicate[] = [];
  if (match.runtimeFraction !== null) conditions.push(fraction(match.runtimeFraction, deps));
  if (match.grpc) conditions.push(GRPC);
  for (const header of match.headers) {
    const { test, describe, seen } = compileHeaderMatcher(header);
    conditions.push({
      test: (input) => test(input.head),
      describe: () => describe,
      failure: (input) => seen(input.head),
    });
  }
  for (const parameter of match.queryParameters) conditions.push(queryParameter(parameter));
  if (match.tls !== null) conditions.push(...tlsConditions(match.tls));
  return conditions.length === 0 ? NO_CONDITIONS : conditions;
}

/** The same one of all routes that have none. */
const NO_CONDITIONS: readonly Predicate[] = [];

function fraction(share: { partsPerMillion: number; runtimeKey: string }, deps: MatchDeps): Predicate {
  const { random, runtime } = deps;
  const { runtimeKey, partsPerMillion } = share;
  // A runtime value is a percentage; Envoy reads an integer as so many of a hundred.
  const limit = (): number =>
    runtimeKey === '' ? partsPerMillion : runtime.number(runtimeKey, partsPerMillion / 10_000) * 10_000;
  return {
    test: (input) => input.draw(random) < limit(),
    describe: () => `falls into ${limit() / 10_000}% of requests${runtimeKey === '' ? '' : ` (runtime ${runtimeKey})`}`,
    failure: (input) => `the draw was ${input.draw(random) / 10_000}%`,
  };
}

const GRPC: Predicate = {
  test: (input) => isGrpc(input.head),
  describe: () => 'is a gRPC request',
  failure: (input) => {
    const type = input.head.headers.get('content-type');
    return type === undefined ? 'there is no content-type' : `the content-type is ${JSON.stringify(type)}`;
  },
};

/** Whether a head is a gRPC request's: content type `application/grpc`, perhaps with `+codec`. */
export function isGrpc(head: RequestHead): boolean {
  const type = head.headers.get('content-type');
  if (type === undefined || !type.startsWith('application/grpc')) return false;
  return type.length === 16 || type.charCodeAt(16) === 0x2b;
}

function queryParameter(parameter: QueryParameterMatcher): Predicate {
  const name = toOctets(parameter.name);
  if (parameter.matcher === null && !parameter.present) {
    return {
      test: (input) => queryValue(input.head.path, name) === undefined,
      describe: () => `query parameter ${parameter.name} is absent`,
      failure: (input) => `it is ${JSON.stringify(queryValue(input.head.path, name))}`,
    };
  }
  const value = parameter.matcher === null ? null : compileStringMatcher(parameter.matcher as StringMatcher);
  return {
    test: (input) => {
      const found = queryValue(input.head.path, name);
      return found !== undefined && (value === null || value.test(found));
    },
    describe: () => `query parameter ${parameter.name} ${value === null ? 'is present' : value.describe}`,
    failure: (input) => {
      const found = queryValue(input.head.path, name);
      return found === undefined ? 'it is absent' : `it is ${JSON.stringify(found)}`;
    },
  };
}

/** The first value of a query parameter as it stands in the path: Envoy's route matching decodes nothing. */
export function queryValue(path: string, name: string): string | undefined {
  let start = path.indexOf('?') + 1;
  if (start === 0) return undefined;
  while (start < path.length) {
    let end = path.indexOf('&', start);
    if (end < 0) end = path.length;
    if (path.startsWith(name, start)) {
      const after = start + name.length;
      if (after === end) return '';
      if (after < end && path.charCodeAt(after) === 0x3d) return path.substring(after + 1, end);
    }
    start = end + 1;
  }
  return undefined;
}

/** On a plaintext connection no certificate was presented or validated, as Envoy has it. */
function tlsConditions(tls: { presented: boolean | null; validated: boolean | null }): Predicate[] {
  const conditions: Predicate[] = [];
  const add = (wanted: boolean | null, word: string, read: (context: MatchContext) => boolean): void => {
    if (wanted === null) return;
    conditions.push({
      test: (input) => (input.context.tls && read(input.context)) === wanted,
      describe: () => `the client's certificate was ${wanted ? '' : 'not '}${word}`,
      failure: (input) => (input.context.tls ? `it was ${wanted ? 'not ' : ''}${word}` : 'the connection is not TLS'),
    });
  };
  add(tls.presented, 'presented', (context) => context.peerPresented);
  add(tls.validated, 'validated', (context) => context.peerValidated);
  return conditions;
}
