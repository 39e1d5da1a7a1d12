/**
 * URI templates as Envoy's `uri_template` extensions have them (source/extensions/path/uri_template_lib): segments that
 * are text, `*` (one segment), `**` (any number, last glob) or a variable `{name}`, `{name=a/*}`, and perhaps a text
 * right behind the last one.
 */
export interface UriTemplate {
  /** RE2 expression for the whole path, with a group for each variable. */
  readonly pattern: string;
  /** In the order of their groups. */
  readonly variables: readonly string[];
}

export type UriTemplateResult =
  | { readonly ok: UriTemplate; readonly error?: undefined }
  | { readonly ok?: undefined; readonly error: string };

const MAX_VARIABLES = 5;
const MAX_NAME = 16;
/** Octets of a path segment (RFC 3986 appendix A) but for `*` and `=`, which mean something in templates. */
const LITERAL = /^[\w.~%!$&'()+,;:@-]+/;
/** What globs match: paths hold `=` and `*` (Envoy 1.40 matches them, though no text of a template may hold them). */
const SEGMENT = "[a-zA-Z0-9-._~%!$&'()+,;:@=*]+";
const ANY = "[a-zA-Z0-9-._~%!$&'()+,;:@=*/]*";

class TemplateError extends Error {}

export function parseUriTemplate(text: string): UriTemplateResult {
  try {
    return { ok: new Parser(text).parse() };
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    return { error: error.message };
  }
}

class Parser {
  readonly #text: string;
  #at = 1;
  readonly #variables: string[] = [];
  #sawAny = false;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): UriTemplate {
    if (!/^\/[!-~]*$/.test(this.#text)) throw new TemplateError('a template begins with / and holds no white space');
    let pattern = '/';
    while (this.#at < this.#text.length) {
      pattern += this.#segment();
      const rest = this.#text.slice(this.#at);
      if (rest === '') break;
      if (rest.startsWith('/')) {
        this.#at++;
        pattern += '/';
      } else {
        pattern += this.#literal();
        if (this.#at < this.#text.length)
          throw new TemplateError('a text right behind a glob or variable ends a template');
      }
    }
    return { pattern, variables: this.#variables };
  }

  #segment(): string {
    const c = this.#text[this.#at];
    if (c === '*') return this.#glob();
    return c === '{' ? this.#variable() : this.#literal();
  }

  #glob(): string {
    if (this.#sawAny) throw new TemplateError('no glob or variable without a text may follow **');
    if (this.#text.startsWith('**', this.#at)) {
      this.#at += 2;
      this.#sawAny = true;
      return ANY;
    }
    this.#at++;
    return SEGMENT;
  }

  #literal(): string {
    const found = LITERAL.exec(this.#text.slice(this.#at));
    if (found === null)
      throw new TemplateError(`${JSON.stringify(this.#text[this.#at] ?? '')} may not stand at ${this.#at}`);
    this.#at += found[0].length;
    return found[0].replace(/[$()+.]/g, '\\$&');
  }

  #variable(): string {
    const found = /^\{([a-zA-Z]\w*)(=?)/.exec(this.#text.slice(this.#at));
    if (found === null) throw new TemplateError(`a variable at ${this.#at} is {name} or {name=segments}`);
    const [head, name = '', equals] = found;
    if (name.length > MAX_NAME) throw new TemplateError(`the name ${name} has more than ${MAX_NAME} characters`);
    if (this.#variables.includes(name)) throw new TemplateError(`the variable ${name} is there twice`);
    if (this.#variables.length === MAX_VARIABLES)
      throw new TemplateError(`there are more than ${MAX_VARIABLES} variables`);
    this.#variables.push(name);
    this.#at += head.length;
    let inner = '';
    if (equals === '') {
      if (this.#sawAny) throw new TemplateError('no glob or variable without a text may follow **');
      inner = SEGMENT;
    } else {
      inner = this.#text[this.#at] === '*' ? this.#glob() : this.#literal();
      while (this.#text[this.#at] === '/') {
        this.#at++;
        inner += `/${this.#text[this.#at] === '*' ? this.#glob() : this.#literal()}`;
      }
    }
    if (this.#text[this.#at] !== '}') throw new TemplateError(`the variable ${name} lacks its }`);
    this.#at++;
    return `(?P<${name}>${inner})`;
  }
}

/** A template's rewrite (`/a/{name}`) as a substitution (`/a/\1`) for its pattern, or what is wrong with it. */
export function templateSubstitution(
  rewrite: string,
  { variables }: UriTemplate,
): { readonly ok: string; readonly error?: undefined } | { readonly ok?: undefined; readonly error: string } {
  if (!rewrite.startsWith('/')) return { error: 'a rewrite begins with /' };
  if (rewrite.includes('//')) return { error: 'a rewrite holds no //' };
  let out = '';
  for (const [part, name] of rewrite.matchAll(/\{([^{}]*)\}|[^{}]+|[{}]/g)) {
    if (name !== undefined) {
      const group = variables.indexOf(name);
      if (group < 0) return { error: `{${name}} is no variable of the path template` };
      out += `\\${group + 1}`;
    } else if (/^[\w.~%!$&'()+,;:@/-]+$/.test(part)) {
      out += part;
    } else {
      return { error: `${JSON.stringify(part)} may not stand in a rewrite` };
    }
  }
  return { ok: out };
}
