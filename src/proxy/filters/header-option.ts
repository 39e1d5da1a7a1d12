import { toOctets } from '../../base/regex.ts';
import type { HeaderValueOption } from '../../model/route.ts';
import type { Headers } from '../../protocol/http/headers.ts';
import { compileFormat } from '../telemetry/accesslog/format.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';

/** One header to be set or added, compiled: its value may have command operators. */
export class HeaderOption {
  readonly name: string;
  readonly #lower: string;
  readonly #fixed: string | null;
  readonly #format: (info: StreamInfo) => string;
  readonly #action: HeaderValueOption['action'];
  readonly #keepEmpty: boolean;

  /** The option must have passed its decoder: its format compiles. */
  constructor(option: HeaderValueOption) {
    const { ok: formatter, error } = compileFormat(option.value, { omitEmpty: true });
    if (formatter === undefined) throw new Error(`header ${option.name}: ${error}`);
    this.name = toOctets(option.name);
    this.#lower = option.name.toLowerCase();
    this.#fixed = formatter.fixed === null ? null : sanitize(formatter.fixed);
    this.#format = formatter.format;
    this.#action = option.action;
    this.#keepEmpty = option.keepEmptyValue;
  }

  /** The value for this stream; null when the header is not to be sent. */
  value(info: StreamInfo): string | null {
    const value = this.#fixed ?? sanitize(this.#format(info));
    return value === '' && !this.#keepEmpty ? null : value;
  }

  apply(headers: Headers, info: StreamInfo): void {
    const value = this.value(info);
    if (value === null) return;
    switch (this.#action) {
      case 'ADD_IF_ABSENT':
        if (headers.has(this.#lower)) return;
        break;
      case 'OVERWRITE_IF_EXISTS':
        if (!headers.remove(this.#lower)) return;
        break;
      case 'OVERWRITE_IF_EXISTS_OR_ADD':
        headers.remove(this.#lower);
        break;
      case 'APPEND_IF_EXISTS_OR_ADD':
        break;
    }
    headers.add(this.name, value);
  }
}

/** What would end a header line becomes a space, wherever the value came from. */
function sanitize(value: string): string {
  return /[\0\r\n]/.test(value) ? value.replace(/[\0\r\n]/g, ' ') : value;
}
