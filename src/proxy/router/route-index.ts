import { toOctets } from '../../base/regex.ts';
import type { RouteMatch } from '../../model/route.ts';
import { lowerAscii } from './header-match.ts';
import type { MatchInput, Predicate } from './match.ts';
import { PrefixTree } from './prefix-tree.ts';

/** A route's conditions and what belongs to it. */
export interface Rule<T> {
  /** Place in the virtual host: of several rules that match, the lowest wins. */
  readonly order: number;
  readonly match: RouteMatch;
  readonly path: Predicate;
  readonly conditions: readonly Predicate[];
  readonly value: T;
}

/** A rule as the index keeps it. */
interface Candidate<T> {
  readonly order: number;
  /** The condition on the path where its place in the tree does not already prove it. */
  readonly path: Predicate | null;
  readonly conditions: readonly Predicate[];
  readonly rule: Rule<T>;
}

interface Bucket<T> {
  /** Only when the key is the whole path. */
  readonly exact: Candidate<T>[];
  readonly prefix: Candidate<T>[];
}

/** Below this many rules looking at each in turn is quicker than the tree. */
const LINEAR = 4;

/**
 * The rules of one virtual host, arranged so that the first match is found without looking at every rule.
 * Rules with an exact path or a prefix hang in a tree by that text, and so do regexes that begin with plain
 * text; the others are tried in order. A rule is only tried while it comes before the best match so far.
 */
export class RouteIndex<T> {
  readonly #rules: readonly Rule<T>[];
  /** The rule of a host that has no other, as most have in a large table: found without a list. */
  readonly #only: Rule<T> | null;
  readonly #tree: PrefixTree<Bucket<T>> | null;
  readonly #folded: PrefixTree<Bucket<T>> | null;
  readonly #rest: readonly Candidate<T>[];

  constructor(rules: readonly Rule<T>[]) {
    this.#rules = rules;
    this.#only = rules.length === 1 ? rules[0]! : null;
    const plain = new Map<string, Bucket<T>>();
    const folded = new Map<string, Bucket<T>>();
    const rest: Candidate<T>[] = [];
    if (rules.length > LINEAR) for (const rule of rules) place(rule, plain, folded, rest);
    this.#tree = plain.size === 0 ? null : new PrefixTree(plain);
    this.#folded = folded.size === 0 ? null : new PrefixTree(folded, { fold: true });
    this.#rest = rest;
  }

  /** The first rule that matches, or null. */
  find(input: MatchInput): Rule<T> | null {
    const only = this.#only;
    if (only !== null) return only.path.test(input) && all(only.conditions, input) ? only : null;
    if (this.#rules.length <= LINEAR) return firstMatch(this.#rules, input);
    let best = this.#tree === null ? null : descend(this.#tree, input, null);
    if (this.#folded !== null) best = descend(this.#folded, input, best);
    best = scan(this.#rest, input, best);
    return best === null ? null : best.rule;
  }
}

/** The plain meaning of a list of rules, which the index must agree with. */
export function firstMatch<T>(rules: readonly Rule<T>[], input: MatchInput): Rule<T> | null {
  for (const rule of rules) if (rule.path.test(input) && all(rule.conditions, input)) return rule;
  return null;
}

function descend<T>(tree: PrefixTree<Bucket<T>>, input: MatchInput, best: Candidate<T> | null): Candidate<T> | null {
  const { text, pathEnd } = input;
  if (text === '') return best;
  for (let entry = tree.deepest(text, pathEnd); entry !== null; entry = entry.above) {
    const { exact, prefix } = entry.value;
    if (exact.length > 0 && entry.key.length === pathEnd) best = scan(exact, input, best);
    best = scan(prefix, input, best);
  }
  return best;
}

function scan<T>(list: readonly Candidate<T>[], input: MatchInput, best: Candidate<T> | null): Candidate<T> | null {
  for (let i = 0; i < list.length; i++) {
    const candidate = list[i]!;
    if (best !== null && candidate.order > best.order) return best;
    if (candidate.path !== null && !candidate.path.test(input)) continue;
    if (all(candidate.conditions, input)) return candidate;
  }
  return best;
}

function all(conditions: readonly Predicate[], input: MatchInput): boolean {
  for (let i = 0; i < conditions.length; i++) if (!conditions[i]!.test(input)) return false;
  return true;
}

function place<T>(
  rule: Rule<T>,
  plain: Map<string, Bucket<T>>,
  folded: Map<string, Bucket<T>>,
  rest: Candidate<T>[],
): void {
  const { path, caseSensitive } = rule.match;
  const { order, conditions } = rule;
  const proven: Candidate<T> = { order, path: null, conditions, rule };
  const unproven: Candidate<T> = { order, path: rule.path, conditions, rule };
  const literal = literalOf(path);
  const pattern = path.kind === 'regex' || path.kind === 'template';
  if (path.kind === 'connect' || (pattern && literal === '')) {
    rest.push(unproven);
    return;
  }
  const sensitive = caseSensitive || pattern;
  const map = sensitive ? plain : folded;
  const key = sensitive ? toOctets(literal) : lowerAscii(toOctets(literal));
  let bucket = map.get(key);
  if (bucket === undefined) {
    bucket = { exact: [], prefix: [] };
    map.set(key, bucket);
  }
  if (path.kind === 'path') bucket.exact.push(proven);
  else bucket.prefix.push(path.kind === 'prefix' ? proven : unproven);
}

/** What every path that matches begins with. */
function literalOf(path: RouteMatch['path']): string {
  switch (path.kind) {
    case 'connect':
      return '';
    case 'regex':
      return literalPrefix(path.value);
    case 'template':
      // Path parameters may be missing from the text that the tree sees.
      return /^[^*{;]*/.exec(path.value)![0];
    default:
      return path.value;
  }
}

/** Plain text that every match of a pattern begins with; '' when that is not plain to see. */
export function literalPrefix(pattern: string): string {
  if (pattern.includes('|')) return '';
  const start = pattern.startsWith('^') ? 1 : 0;
  let end = start;
  while (end < pattern.length && /[A-Za-z0-9/_-]/.test(pattern[end]!)) end++;
  // The last character may be optional.
  if (end > start && /[*+?{]/.test(pattern[end] ?? '')) end--;
  return pattern.slice(start, end);
}
