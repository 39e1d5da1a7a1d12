import { compileRegex, type Regex } from '../../../base/regex.ts';
import type { Path, Sink } from '../../source/schema/type.ts';

/** Istio's own limit for a regular expression. */
const LONGEST_REGEX = 1024;

/**
 * `regex` in RE2's syntax, as Istio and Envoy have it: no backreferences, no lookaround, linear time. Answers it compiled; null
 * when it is none.
 */
export function checkRegex(regex: string, path: Path, sink: Sink): Regex | null {
  const problem = lengthProblem(regex);
  const { ok, error } = problem === '' ? compileRegex(regex) : { error: problem };
  if (ok !== undefined) return ok;
  sink.error('invalid-regex', path, problem || `not a regular expression of RE2: ${error}`);
  return null;
}

function lengthProblem(regex: string): string {
  if (regex === '') return 'the regular expression is empty';
  return regex.length > LONGEST_REGEX ? `the regular expression is longer than ${LONGEST_REGEX} characters` : '';
}

export function checkPort(port: number | undefined, path: Path, sink: Sink): void {
  if (port !== undefined && (port < 1 || port > 65535)) {
    sink.error('out-of-range', path, `expected a port from 1 to 65535, got ${port}`);
  }
}

export function checkRange(value: number | undefined, low: number, high: number, path: Path, sink: Sink): void {
  if (value !== undefined && (value < low || value > high)) {
    sink.error('out-of-range', path, `expected ${low} to ${high}, got ${value}`);
  }
}

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** A name of Kubernetes without dots: lower case letters, digits and `-`. */
export function isLabel(text: string): boolean {
  return LABEL.test(text);
}

/** A host, `*`, or `*.rest`; letters of either case. */
export function isWildcardHost(host: string): boolean {
  if (host === '*') return true;
  const name = host.startsWith('*.') ? host.slice(2) : host;
  return (
    name.length <= 255 && name.split('.').every((part) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(part))
  );
}

const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

export function isHeaderName(name: string): boolean {
  return HEADER_NAME.test(name);
}

/** `.`, `*`, `~` or a namespace; `~` and `*` stand alone. */
export function checkExportTo(exportTo: readonly string[] | undefined, path: Path, sink: Sink): void {
  for (const [i, space] of (exportTo ?? []).entries()) {
    if (space !== '.' && space !== '*' && space !== '~' && !isLabel(space)) {
      sink.error('invalid-value', [...path, i], `expected ".", "*", "~" or a namespace, got ${JSON.stringify(space)}`);
    } else if ((space === '*' || space === '~') && (exportTo?.length ?? 0) > 1) {
      sink.error('invalid-value', [...path, i], `${JSON.stringify(space)} excludes every other value`);
    }
  }
}

/** A host as a request names it, with or without a port. */
export function checkAuthority(text: string | undefined, path: Path, sink: Sink): void {
  if (text && !/^[^\s/?#@\\\p{Cc}]+$/u.test(text))
    sink.error('invalid-host', path, `${JSON.stringify(text)} is not a host`);
}

/** What becomes part of a path: it would end the request line, or the Location. */
export function checkPathText(text: string | undefined, path: Path, sink: Sink): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a path must not have.
  if (text && /[\u0000-\u0020\u007f]/.test(text))
    sink.error('invalid-value', path, `${JSON.stringify(text)} has white space or control characters: write %20`);
}

/** A header's value with Envoy's command operators; which there are is the proxy's to know. */
export function checkHeaderValue(value: string, path: Path, sink: Sink): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a header value must not have.
  if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value))
    sink.error('invalid-header', path, 'a header value cannot have control characters');
  else if (value.replace(/%%|%[A-Z0-9_]+(?:\([^)]*\))?(?::\d+)?%/g, '').includes('%'))
    sink.error(
      'invalid-header',
      path,
      'a percent sign begins a command operator such as %START_TIME%: for the sign write %%',
    );
}
