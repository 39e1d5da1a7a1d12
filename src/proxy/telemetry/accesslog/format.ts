import { toOctets } from '../../../base/regex.ts';
import type { StreamInfo } from '../stream-info.ts';
import { type FormatEnvironment, makeOperator, type Operator } from './operators.ts';

export type { FormatEnvironment } from './operators.ts';

export interface FormatOptions extends FormatEnvironment {
  /** A value that is missing prints nothing instead of `-`. */
  readonly omitEmpty?: boolean;
}

/** A compiled format string. Its texts are octets as latin1 characters. */
export interface Formatter {
  readonly format: (info: StreamInfo) => string;
  /** The text where the format has no operators, else null. */
  readonly fixed: string | null;
  /** Operators that are accepted but never have a value here. */
  readonly warnings: readonly string[];
}

export type FormatResult =
  | { readonly ok: Formatter; readonly error?: never }
  | { readonly ok?: never; readonly error: string };

/**
 * Compiles a text with Envoy's command operators: `%OPERATOR(argument):maxLength%`, `%%` for a percent sign.
 * An operator that does not exist is an error that names its position.
 */
export function compileFormat(text: string, options: FormatOptions = {}): FormatResult {
  const parsed = parseFormat(text, options);
  if (parsed.error !== undefined) return { error: parsed.error };
  const { pieces, warnings } = parsed.ok;
  const only = pieces[0];
  if (pieces.length === 0) return { ok: { format: () => '', fixed: '', warnings } };
  if (pieces.length === 1 && typeof only === 'string') return { ok: { format: () => only, fixed: only, warnings } };
  return { ok: { format: joinPieces(pieces, options.omitEmpty ? '' : '-'), fixed: null, warnings } };
}

/** Text and operators in the order of the format; no two texts in a row. */
export interface ParsedFormat {
  readonly pieces: readonly (string | Operator)[];
  readonly warnings: readonly string[];
}

export type ParseResult =
  | { readonly ok: ParsedFormat; readonly error?: never }
  | { readonly ok?: never; readonly error: string };

export function parseFormat(text: string, environment: FormatEnvironment): ParseResult {
  const command = /%([A-Z0-9_]+)(?:\((.*?)\))?(?::(\d+))?%/sy;
  const pieces: (string | Operator)[] = [];
  const warnings: string[] = [];
  let literal = '';
  let at = 0;
  while (at < text.length) {
    const next = text.indexOf('%', at);
    if (next < 0) break;
    literal += text.slice(at, next);
    if (text[next + 1] === '%') {
      literal += '%';
      at = next + 2;
      continue;
    }
    command.lastIndex = next;
    const found = command.exec(text);
    if (found === null) return { error: `no command operator begins at position ${next} (a percent sign is "%%")` };
    const [all, name = '', argument, maxLength] = found;
    const made = makeOperator(name, argument ?? null, environment);
    if (made === null) return { error: `command operator %${name}% at position ${next} does not exist` };
    if (made.error !== undefined) return { error: `command operator %${name}% at position ${next} ${made.error}` };
    if (made.ok.neverKnown) warnings.push(`${all} never has a value here and prints "-"`);
    if (literal !== '') pieces.push(toOctets(literal));
    literal = '';
    pieces.push(maxLength === undefined ? made.ok : truncated(made.ok, Number(maxLength)));
    at = next + all.length;
  }
  literal += text.slice(at);
  if (literal !== '') pieces.push(toOctets(literal));
  return { ok: { pieces, warnings } };
}

function truncated(operator: Operator, length: number): Operator {
  const text = (info: StreamInfo): string | undefined => operator.text(info)?.substring(0, length);
  return {
    text,
    value: (info) => {
      const value = operator.value(info);
      return typeof value === 'string' ? value.substring(0, length) : value;
    },
  };
}

function joinPieces(pieces: readonly (string | Operator)[], missing: string): (info: StreamInfo) => string {
  // Each operator with the text before it: one array walk a line, no test of what a piece is.
  const before: string[] = [];
  const texts: Operator['text'][] = [];
  let pending = '';
  for (const piece of pieces) {
    if (typeof piece === 'string') {
      pending += piece;
      continue;
    }
    before.push(pending);
    texts.push(piece.text);
    pending = '';
  }
  const last = pending;
  const count = texts.length;
  return (info) => {
    let line = '';
    for (let i = 0; i < count; i++) {
      const text = texts[i]!(info);
      line += before[i]!;
      line += text === undefined ? missing : text;
    }
    return line + last;
  };
}
