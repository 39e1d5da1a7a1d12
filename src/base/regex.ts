import { RE2JS } from 're2js';

/**
 * Regular expressions in RE2's syntax and in linear time, whoever wrote them. The texts they meet are
 * octets as latin1 characters, as the proxy keeps heads; a text with octets beyond ASCII is read as UTF-8
 * before it is matched, as RE2 does.
 */
export class Regex {
  readonly pattern: string;
  readonly #re2: RE2JS;
  /** The same language as a JS expression, where that is provably the same and linear; else null. */
  readonly #native: RegExp | null;

  constructor(pattern: string, re2: RE2JS) {
    this.pattern = pattern;
    this.#re2 = re2;
    this.#native = toNative(pattern);
  }

  /** Whether the native engine runs this pattern. */
  get isNative(): boolean {
    return this.#native !== null;
  }

  /** Whether the whole text matches. */
  matches(text: string): boolean {
    if (NON_ASCII.test(text)) return this.#re2.testExact(fromOctets(text));
    return this.#native !== null ? this.#native.test(text) : this.#re2.testExact(text);
  }

  /**
   * Replaces every match by `substitution`, in which `\1` to `\9` are groups, `\0` is the match and `\\` a
   * backslash (RE2's GlobalReplace). Check the substitution with {@link checkSubstitution} first.
   */
  replaceAll(text: string, substitution: string): string {
    if (NON_ASCII.test(text)) return toOctets(this.#replace(fromOctets(text), substitution));
    return this.#replace(text, toOctets(substitution));
  }

  /** Says what is wrong with a substitution for this pattern, or null. */
  checkSubstitution(substitution: string): string | null {
    for (let i = 0; i < substitution.length; i++) {
      if (substitution[i] !== '\\') continue;
      const next = substitution[++i];
      if (next === undefined) return 'ends with a single backslash';
      if (next === '\\') continue;
      if (next < '0' || next > '9') return `"\\${next}" is neither a group nor an escaped backslash`;
      if (Number(next) > this.#re2.groupCount()) {
        return `names group ${next}, but the pattern has ${this.#re2.groupCount()}`;
      }
    }
    return null;
  }

  #replace(text: string, substitution: string): string {
    const matcher = this.#re2.matcher(text);
    let out = '';
    let copied = 0;
    while (matcher.find()) {
      const start = matcher.start();
      const end = matcher.end();
      // RE2 does not count an empty match right behind the previous one.
      if (end === start && copied === start && copied > 0) continue;
      out += text.substring(copied, start);
      out += expand(substitution, (group) => matcher.group(group) ?? '');
      copied = end;
    }
    return out + text.substring(copied);
  }
}

export type RegexResult =
  | { readonly ok: Regex; readonly error?: never }
  | { readonly ok?: never; readonly error: string };

/** Compiles a pattern of RE2's syntax, or says why RE2 refuses it. */
export function compileRegex(pattern: string): RegexResult {
  try {
    return { ok: new Regex(pattern, RE2JS.compile(pattern)) };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: this is the range of ASCII
const NON_ASCII = /[^\x00-\x7f]/;

/** Text as UTF-8 octets, one latin1 character each: how text from config meets text from the wire. */
export function toOctets(text: string): string {
  return NON_ASCII.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;
}

/** The text that latin1 characters spell as UTF-8 octets. */
export function fromOctets(octets: string): string {
  return NON_ASCII.test(octets) ? Buffer.from(octets, 'latin1').toString('utf8') : octets;
}

function expand(substitution: string, group: (index: number) => string): string {
  if (!substitution.includes('\\')) return substitution;
  let out = '';
  for (let i = 0; i < substitution.length; i++) {
    const c = substitution[i]!;
    if (c !== '\\') {
      out += c;
      continue;
    }
    const next = substitution[++i];
    out += next === '\\' ? '\\' : group(Number(next));
  }
  return out;
}

/** An atom of one character, its quantifier if any; then groups that are not quantified, and alternation. */
const ATOM =
  /(?<literal>[A-Za-z0-9/_\-~%@!&=:;,<>"' ])|(?<escape>\\[.\-/?+*()[\]{}|^$\\])|(?<digit>\\[dw])|(?<dot>\.)|(?<set>\[\^?(?:[a-z]-[a-z]|[A-Z]-[A-Z]|[0-9]-[0-9]|[A-Za-z0-9/_.~%@!=:;,]|\\[dw.\-/])*-?\])/y;

/** Optional atoms double the paths a backtracking engine may try, so only a few are let through. */
const MAX_OPTIONAL = 4;
const MAX_BRANCHES = 16;
/** V8 compiles at the first match, and throws there for what it finds too large. */
const MAX_NATIVE_LENGTH = 4096;

/**
 * Translates a pattern whose meaning is the same in JS and whose backtracking is bounded: single-character
 * atoms, unquantified groups, alternation, and at most one unbounded repetition in all. (With one repetition
 * each of n positions is tried once for each of a constant number of paths, so the time is linear.)
 */
function toNative(pattern: string): RegExp | null {
  if (pattern.length > MAX_NATIVE_LENGTH) return null;
  let source = '';
  let unbounded = 0;
  let optional = 0;
  let branches = 0;
  let at = 0;
  let end = pattern.length;
  // A whole-text match makes anchors at the ends say nothing, unless alternation puts them inside a branch.
  if (!pattern.includes('|')) {
    if (pattern.startsWith('^')) at = 1;
    if (/(?:^|[^\\])\$$/.test(pattern)) end--;
  }
  while (at < end) {
    const c = pattern[at]!;
    if (c === '(' || c === ')' || c === '|') {
      if (c === '|') branches++;
      const plain = c === '(' && pattern.startsWith('(?:', at);
      if (c === '(' && !plain && pattern[at + 1] === '?') return null;
      at += plain ? 3 : 1;
      if (c === ')' && /[*+?{]/.test(pattern[at] ?? '')) return null;
      source += c === '(' ? '(?:' : c;
      continue;
    }
    ATOM.lastIndex = at;
    const atom = ATOM.exec(pattern);
    if (atom === null) return null;
    // An empty set is a set that begins with "]" in RE2.
    if (atom.groups!.set === '[]' || atom.groups!.set === '[^]') return null;
    at += atom[0].length;
    source += atom.groups!.dot !== undefined ? '[^\\n]' : atom[0];
    const quantifier = pattern[at] ?? '';
    if (at < end && /[*+?{]/.test(quantifier)) {
      if (quantifier === '{') return null;
      if (quantifier === '?') optional++;
      else unbounded++;
      at++;
      source += quantifier;
      if (pattern[at] === '?') {
        at++;
        source += '?';
      }
      if (at < end && /[*+?{]/.test(pattern[at]!)) return null;
    }
  }
  if (unbounded > 1 || optional > MAX_OPTIONAL || branches > MAX_BRANCHES) return null;
  try {
    return new RegExp(`^(?:${source})$`);
  } catch {
    return null;
  }
}
