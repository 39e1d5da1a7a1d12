import { fromOctets, toOctets } from '../../../base/regex.ts';
import type { LogFormat, LogJson } from '../../../model/access-log.ts';
import type { StreamInfo } from '../stream-info.ts';
import { compileFormat, type FormatEnvironment, type FormatResult, parseFormat } from './format.ts';

/** Gives the JSON text of a value; undefined when it is missing and to be left out. */
type Node = (info: StreamInfo) => string | undefined;

/** Compiles an access log's or local reply's format. A JSON line ends with a line feed, a text has its own. */
export function compileLogFormat(format: LogFormat, environment: FormatEnvironment): FormatResult {
  return format.kind === 'text'
    ? compileFormat(format.text, { ...environment, omitEmpty: format.omitEmptyValues })
    : compileJsonFormat(format.fields, format.omitEmptyValues, environment);
}

/**
 * Compiles a JSON format. A string that is one operator takes the type of its value (numbers stay numbers,
 * what is missing is null, or left out with `omitEmpty`); one with text around operators is a string.
 */
export function compileJsonFormat(fields: LogJson, omitEmpty: boolean, environment: FormatEnvironment): FormatResult {
  const warnings: string[] = [];
  const node = compileNode(fields, omitEmpty, environment, warnings);
  if (typeof node === 'string') return { error: node };
  return { ok: { format: (info) => `${node(info) ?? 'null'}\n`, fixed: null, warnings } };
}

/** A node, or the text of what is wrong. */
function compileNode(
  json: LogJson,
  omitEmpty: boolean,
  environment: FormatEnvironment,
  warnings: string[],
): Node | string {
  if (typeof json === 'string') return compileText(json, omitEmpty, environment, warnings);
  if (json === null || typeof json !== 'object') {
    const fixed = JSON.stringify(json);
    return () => fixed;
  }
  const entries = Array.isArray(json) ? json.map((value) => ['', value] as const) : Object.entries(json);
  const prefixes: string[] = [];
  const nodes: Node[] = [];
  for (const [key, value] of entries as readonly (readonly [string, LogJson])[]) {
    const node = compileNode(value, omitEmpty, environment, warnings);
    if (typeof node === 'string') return Array.isArray(json) ? node : `${key}: ${node}`;
    prefixes.push(Array.isArray(json) ? '' : `${toOctets(JSON.stringify(key))}:`);
    nodes.push(node);
  }
  const [open, close] = Array.isArray(json) ? ['[', ']'] : ['{', '}'];
  return (info) => {
    let out = '';
    for (let i = 0; i < nodes.length; i++) {
      const value = nodes[i]!(info);
      if (value === undefined) continue;
      out += out === '' ? prefixes[i]! + value : `,${prefixes[i]!}${value}`;
    }
    return open + out + close;
  };
}

function compileText(
  text: string,
  omitEmpty: boolean,
  environment: FormatEnvironment,
  warnings: string[],
): Node | string {
  const parsed = parseFormat(text, environment);
  if (parsed.error !== undefined) return parsed.error;
  warnings.push(...parsed.ok.warnings);
  const { pieces } = parsed.ok;
  const only = pieces[0];
  if (pieces.length === 1 && only !== undefined && typeof only !== 'string') {
    const missing = omitEmpty ? undefined : 'null';
    return (info) => {
      const value = only.value(info);
      return value === undefined || value === null ? missing : quote(value);
    };
  }
  const { ok: formatter, error } = compileFormat(text, { ...environment, omitEmpty });
  if (formatter === undefined) return error;
  if (formatter.fixed !== null) {
    const fixed = quote(formatter.fixed);
    return () => fixed;
  }
  const { format } = formatter;
  return (info) => quote(format(info));
}

/** JSON of a value, as octets of UTF-8. Octets that are no UTF-8 become U+FFFD, so that the line stays JSON. */
function quote(value: unknown): string {
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : 'null';
  if (typeof value !== 'string') return toOctets(JSON.stringify(value) ?? 'null');
  if (!/[^ !#-[\]-~]/.test(value)) return `"${value}"`;
  const text = /[^\0-\xff]/.test(value) ? value : fromOctets(value);
  return toOctets(JSON.stringify(text));
}
