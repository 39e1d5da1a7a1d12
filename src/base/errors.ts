/** Who caused a failure. */
export type ErrorSource = 'downstream' | 'upstream' | 'internal' | 'user';

/**
 * An error with a stable code, its source, and whether trying again can help. Each layer that
 * passes one on wraps it with its own code and keeps the cause.
 */
export class RemoraError extends Error {
  readonly code: string;
  readonly source: ErrorSource;
  readonly retryable: boolean;

  constructor(
    code: string,
    message: string,
    options: { source?: ErrorSource; retryable?: boolean; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'RemoraError';
    this.code = code;
    this.source = options.source ?? 'internal';
    this.retryable = options.retryable ?? false;
  }
}

/** Bad configuration: one line for the user, naming file, object, field and remedy; the CLI exits 2. */
export class ConfigError extends RemoraError {
  readonly problems: readonly string[];
  constructor(message: string, problems: readonly string[] = [], cause?: unknown) {
    super('config', problems.length === 0 ? message : `${message}\n${problems.map((p) => `  ${p}`).join('\n')}`, {
      source: 'user',
      cause,
    });
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** The text of anything thrown, for one log line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Where it was thrown, for the log of an error that nobody expected. */
export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** The `code` of a Node system error, such as `ECONNREFUSED`. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
