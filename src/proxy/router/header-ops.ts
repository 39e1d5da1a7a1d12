import { ConfigError } from '../../base/errors.ts';
import { toOctets } from '../../base/regex.ts';
import type { HeaderValueOption } from '../../model/route.ts';
import type { Headers } from '../../protocol/http/headers.ts';
import { compileFormat, type FormatEnvironment } from '../telemetry/accesslog/format.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';

/** What one level (route, virtual host, …) adds and removes. */
export interface HeaderLevel {
  readonly add: readonly HeaderValueOption[];
  /** Lower case. */
  readonly remove: readonly string[];
}

interface CompiledOption {
  readonly name: string;
  readonly lower: string;
  /** The value where it is always the same, else null. */
  readonly fixed: string | null;
  readonly format: (info: StreamInfo) => string;
  readonly action: HeaderValueOption['action'];
  readonly keepEmpty: boolean;
}

interface CompiledLevel {
  readonly remove: readonly string[];
  readonly add: readonly CompiledOption[];
}

/** Values of the level that is being applied; reused, since applying never yields. null: leave the header alone. */
const values: (string | null)[] = [];

/**
 * Header changes of several levels, compiled. Levels are applied in the order given, so a later one sees and
 * may override what an earlier one did. Within a level removal comes first, then every value is computed, then
 * headers are overwritten, then added: the values of a level never see one another (Envoy's HeaderParser).
 */
export class HeaderMutator {
  readonly #levels: readonly CompiledLevel[];

  constructor(levels: readonly CompiledLevel[]) {
    this.#levels = levels;
  }

  apply(headers: Headers, info: StreamInfo): void {
    for (const level of this.#levels) {
      for (const name of level.remove) headers.remove(name);
      const { add } = level;
      for (let i = 0; i < add.length; i++) values[i] = newValue(add[i]!, headers, info);
      for (let i = 0; i < add.length; i++) {
        const option = add[i]!;
        const value = values[i]!;
        if (value === null || !option.action.startsWith('OVERWRITE')) continue;
        headers.remove(option.lower);
        headers.add(option.name, value);
      }
      for (let i = 0; i < add.length; i++) {
        const option = add[i]!;
        const value = values[i]!;
        if (value !== null && !option.action.startsWith('OVERWRITE')) headers.add(option.name, value);
      }
    }
  }
}

/**
 * Compiles header changes; null when no level says anything. Throws ConfigError for a command operator that
 * does not exist and for headers that may not be changed this way.
 */
export function compileHeaderMutations(
  levels: readonly HeaderLevel[],
  environment: FormatEnvironment,
): HeaderMutator | null {
  const compiled: CompiledLevel[] = [];
  for (const { add, remove } of levels) {
    if (add.length === 0 && remove.length === 0) continue;
    for (const name of remove) checkName(name, 'removed');
    compiled.push({
      remove: remove.map((name) => name.toLowerCase()),
      add: add.map((o) => compileOption(o, environment)),
    });
  }
  return compiled.length === 0 ? null : new HeaderMutator(compiled);
}

function compileOption(option: HeaderValueOption, environment: FormatEnvironment): CompiledOption {
  const { name } = option;
  checkName(name, 'changed');
  const { ok: formatter, error } = compileFormat(option.value, { ...environment, omitEmpty: true });
  if (formatter === undefined) throw new ConfigError(`header ${name}: ${error}`);
  return {
    name: toOctets(name),
    lower: name.toLowerCase(),
    fixed: formatter.fixed === null ? null : sanitize(formatter.fixed),
    format: formatter.format,
    action: option.action,
    keepEmpty: option.keepEmptyValue,
  };
}

function checkName(name: string, verb: string): void {
  if (name.startsWith(':') || name.toLowerCase() === 'host') {
    throw new ConfigError(`:-prefixed or host headers may not be ${verb} (${JSON.stringify(name)}); use a rewrite`);
  }
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name))
    throw new ConfigError(`${JSON.stringify(name)} is not a header name`);
}

function newValue(option: CompiledOption, headers: Headers, info: StreamInfo): string | null {
  if (option.action === 'ADD_IF_ABSENT' && headers.has(option.lower)) return null;
  if (option.action === 'OVERWRITE_IF_EXISTS' && !headers.has(option.lower)) return null;
  const value = option.fixed ?? sanitize(option.format(info));
  return value === '' && !option.keepEmpty ? null : value;
}

/** What would end a header line becomes a space, wherever the value came from. */
function sanitize(value: string): string {
  return /[\0\r\n]/.test(value) ? value.replace(/[\0\r\n]/g, ' ') : value;
}
