import type { Clock } from './clock.ts';

/** Envoy's level names, least severe first. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Facts beside the message; values are printed as `key=value`. Never put a secret here. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** The process's own log (not the access log): one line an event, readable by people. */
export class Logger {
  readonly #root: LogRoot;
  readonly scope: string;

  constructor(root: LogRoot, scope: string) {
    this.#root = root;
    this.scope = scope;
  }
  /** A logger for a part of the process, `parent.part`. */
  child(part: string): Logger {
    return new Logger(this.#root, this.scope === '' ? part : `${this.scope}.${part}`);
  }
  enabled(level: LogLevel): boolean {
    return this.#root.enabled(level);
  }
  debug(message: string, fields?: LogFields): void {
    this.#root.write('debug', this.scope, message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.#root.write('info', this.scope, message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.#root.write('warning', this.scope, message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.#root.write('error', this.scope, message, fields);
  }
}

/** Level and sink shared by all loggers of a process; the level can change while it runs (`POST /logging`). */
export class LogRoot {
  #threshold: number;
  readonly #clock: Clock;
  readonly #sink: (line: string) => void;

  constructor(clock: Clock, sink: (line: string) => void, level: LogLevel = 'info') {
    this.#clock = clock;
    this.#sink = sink;
    this.#threshold = LOG_LEVELS.indexOf(level);
  }
  get level(): LogLevel {
    return LOG_LEVELS[this.#threshold] ?? 'info';
  }
  set level(level: LogLevel) {
    this.#threshold = LOG_LEVELS.indexOf(level);
  }
  enabled(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) >= this.#threshold;
  }
  logger(scope = ''): Logger {
    return new Logger(this, scope);
  }
  /** @internal */
  write(level: LogLevel, scope: string, message: string, fields?: LogFields): void {
    if (!this.enabled(level)) return;
    const time = new Date(this.#clock.wall()).toISOString();
    this.#sink(`${time} ${level.padEnd(7)} ${scope === '' ? '' : `[${scope}] `}${message}${formatFields(fields)}\n`);
  }
}

function formatFields(fields: LogFields | undefined): string {
  if (fields === undefined) return '';
  let out = '';
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const text = String(value);
    out += ` ${key}=${/^[\w.:/@%+,~-]+$/.test(text) ? text : JSON.stringify(text)}`;
  }
  return out;
}

/** Discards everything, for tests and libraries. */
export function silentLogger(clock: Clock): Logger {
  return new LogRoot(clock, () => {}, 'off').logger();
}
