/** One thing wrong with a message, and where. */
export interface Problem {
  /** Such as 'static_resources.listeners[0].filter_chains[0].filters[0].typed_config.stat_prefix'. */
  readonly path: string;
  readonly reason: string;
}

const CAPACITY = 100;
/** Characters of a reason: it goes to logs, and back to the server. */
const MAX_REASON = 1000;

/** Collects every problem of a decoding, up to 100: a hostile message must not be able to fill memory with them. */
export class Problems {
  readonly list: Problem[] = [];

  get ok(): boolean {
    return this.list.length === 0;
  }

  get full(): boolean {
    return this.list.length >= CAPACITY;
  }

  add(path: string, reason: string): void {
    if (!this.full) this.list.push({ path, reason: oneLine(reason) });
  }
}

/** Where a walk over a message stands; text is made of it only when there is a problem to report. */
export class Path {
  readonly #base: string;
  readonly #problems: Problems;
  readonly #steps: (string | number)[] = [];

  constructor(problems: Problems, base: string) {
    this.#problems = problems;
    this.#base = base;
  }

  get depth(): number {
    return this.#steps.length;
  }

  get problems(): Problems {
    return this.#problems;
  }

  /** Enters a field (a string) or an element (a number). */
  push(step: string | number): void {
    this.#steps.push(step);
  }

  /** Enters an entry of a map. */
  pushKey(key: string | number | boolean): void {
    this.#steps.push(`["${key}`);
  }

  pop(): void {
    this.#steps.pop();
  }

  /** Reports a problem here, or at a field of the message here. */
  report(reason: string, field?: string): void {
    if (!this.#problems.full) this.#problems.add(this.#text(field), reason);
  }

  toString(): string {
    return this.#text(undefined);
  }

  #text(field: string | undefined): string {
    let text = this.#base;
    for (const step of field === undefined ? this.#steps : [...this.#steps, field]) {
      if (typeof step === 'number') text += `[${step}]`;
      else if (step.startsWith('["')) text += `[${quote(step.slice(2))}]`;
      else text += text === '' ? step : `.${step}`;
    }
    return text;
  }
}

/** Reasons repeat what they are about: cut, and without line ends or other controls. */
export function oneLine(reason: string): string {
  const short = reason.length > MAX_REASON ? `${reason.slice(0, MAX_REASON)}…` : reason;
  return short.replace(/\p{Cc}/gu, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Nesting beyond this is hostile. */
export const MAX_DEPTH = 100;
export const TOO_DEEP = `nested deeper than ${MAX_DEPTH}`;

/** Text from outside in a message: quoted, and cut when it is long. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}
