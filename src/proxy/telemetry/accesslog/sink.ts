import { close, openSync, write } from 'node:fs';
import type { Clock, TimerHandle } from '../../../base/clock.ts';
import { ConfigError, messageOf } from '../../../base/errors.ts';
import type { AccessLogSink } from '../../../model/access-log.ts';

/** Where a sink's bytes go. One write is under way at a time. */
export interface SinkOutput {
  /** Writes all bytes, then calls `done`, with the error when it did not work. Never calls it before it returns. */
  write(bytes: Buffer, done: (error: Error | null) => void): void;
  /** Opens the file anew, after it was moved away; nothing for stdout and stderr. */
  reopen(): void;
  close(): void;
}

export interface SinkOptions {
  /** Lines wait this long for company; 10 ms. */
  readonly flushMs?: number;
  /** So many waiting bytes are written at once; 64 KiB. */
  readonly flushBytes?: number;
  /** Beyond so many waiting bytes lines are dropped and counted; 4 MiB. */
  readonly maxBytes?: number;
}

/**
 * Gathers access log lines and writes them together, off the request's path. A reader that does not keep up
 * costs lines, never memory or latency: beyond the bound they are dropped and counted.
 */
export class LogSink {
  /** Lines that were dropped because the output did not keep up. */
  dropped = 0;
  /** Writes and reopenings that failed; the bytes of a failed write are lost. */
  failures = 0;
  lastError = '';
  readonly #output: SinkOutput;
  readonly #clock: Clock;
  readonly #flushMs: number;
  readonly #flushBytes: number;
  readonly #maxBytes: number;
  #waiting = '';
  #underWay = 0;
  #timer: TimerHandle | null = null;
  #closing: (() => void) | null = null;
  #closed = false;
  #reopen = false;

  constructor(output: SinkOutput, clock: Clock, options: SinkOptions = {}) {
    this.#output = output;
    this.#clock = clock;
    this.#flushMs = options.flushMs ?? 10;
    this.#flushBytes = options.flushBytes ?? 64 * 1024;
    this.#maxBytes = options.maxBytes ?? 4 * 1024 * 1024;
  }

  /** Takes a line, given as octets, with its line end. */
  write(line: string): void {
    const size = this.#waiting.length + line.length;
    if (this.#closed || size + this.#underWay > this.#maxBytes) {
      this.dropped++;
      return;
    }
    this.#waiting += line;
    if (this.#underWay > 0) return;
    if (size >= this.#flushBytes) this.#flush();
    else this.#timer ??= this.#clock.after(this.#flushMs, this.#onTimer);
  }

  /** Opens the file again, once what is under way has been written: for log rotation. */
  reopen(): void {
    if (this.#closed) return;
    // What was logged before belongs to the old file.
    if (this.#underWay === 0 && this.#waiting !== '') this.#flush();
    this.#reopen = true;
    if (this.#underWay === 0) this.#reopenNow();
  }

  /** Writes what waits and closes; resolves when done. */
  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#closed = true;
    return new Promise((resolve) => {
      this.#closing = resolve;
      if (this.#underWay > 0) return;
      if (this.#waiting !== '') this.#flush();
      else this.#finish();
    });
  }

  readonly #onTimer = (): void => {
    this.#timer = null;
    if (this.#underWay === 0 && this.#waiting !== '') this.#flush();
  };

  #flush(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const bytes = Buffer.from(this.#waiting, 'latin1');
    this.#waiting = '';
    this.#underWay = bytes.length;
    this.#output.write(bytes, this.#onWritten);
  }

  readonly #onWritten = (error: Error | null): void => {
    this.#underWay = 0;
    if (error !== null) this.#failed(error);
    if (this.#reopen) this.#reopenNow();
    if (this.#closed) {
      if (this.#waiting !== '') this.#flush();
      else this.#finish();
    } else if (this.#waiting.length >= this.#flushBytes) {
      this.#flush();
    } else if (this.#waiting !== '') {
      this.#timer ??= this.#clock.after(this.#flushMs, this.#onTimer);
    }
  };

  #reopenNow(): void {
    this.#reopen = false;
    try {
      this.#output.reopen();
    } catch (error) {
      this.#failed(error);
    }
  }

  #finish(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#output.close();
    this.#closing?.();
  }

  #failed(error: unknown): void {
    this.failures++;
    this.lastError = messageOf(error);
  }
}

/** A file that lines are appended to. Throws ConfigError when it cannot be opened. */
export function fileOutput(path: string): SinkOutput {
  const open = (): number => openSync(path, 'a', 0o644);
  let fd: number;
  try {
    fd = open();
  } catch (error) {
    throw new ConfigError(`access log ${path} cannot be opened: ${messageOf(error)}`, [], error);
  }
  const writeRest = (bytes: Buffer, at: number, done: (error: Error | null) => void): void => {
    write(fd, bytes, at, bytes.length - at, null, (error, written) => {
      if (error !== null) done(error);
      else if (at + written < bytes.length) writeRest(bytes, at + written, done);
      else done(null);
    });
  };
  return {
    write: (bytes, done) => writeRest(bytes, 0, done),
    reopen: () => {
      // Opened first: where that fails, the old file goes on.
      const fresh = open();
      close(fd);
      fd = fresh;
    },
    close: () => close(fd),
  };
}

/** stdout or stderr, or any stream; it is not closed with the sink. */
export function streamOutput(stream: NodeJS.WritableStream): SinkOutput {
  return {
    write: (bytes, done) => {
      let returned = false;
      const finish = (error?: Error | null): void => {
        if (returned) done(error ?? null);
        else queueMicrotask(() => done(error ?? null));
      };
      stream.write(bytes, finish);
      returned = true;
    },
    reopen: () => {},
    close: () => {},
  };
}

/**
 * The sinks of a process: loggers that name the same file share one. A sink stays when config changes, so that
 * a new config neither reopens files nor loses lines; {@link LogSinks.keepOnly} closes those no longer named.
 */
export class LogSinks {
  readonly #clock: Clock;
  readonly #options: SinkOptions;
  readonly #streams: { readonly stdout: NodeJS.WritableStream; readonly stderr: NodeJS.WritableStream };
  readonly #sinks = new Map<string, LogSink>();

  constructor(
    clock: Clock,
    streams: { readonly stdout: NodeJS.WritableStream; readonly stderr: NodeJS.WritableStream },
    options: SinkOptions = {},
  ) {
    this.#clock = clock;
    this.#streams = streams;
    this.#options = options;
  }

  /** The sink a config names, opened when it is new. */
  get(sink: AccessLogSink): LogSink {
    const key = sinkKey(sink);
    let found = this.#sinks.get(key);
    if (found === undefined) {
      const output = sink.kind === 'file' ? fileOutput(sink.path) : streamOutput(this.#streams[sink.kind]);
      found = new LogSink(output, this.#clock, this.#options);
      this.#sinks.set(key, found);
    }
    return found;
  }

  /** Opens all files anew (SIGUSR1, `POST /reopen_logs`). */
  reopen(): void {
    for (const sink of this.#sinks.values()) sink.reopen();
  }

  /** Closes the sinks that none of these configs names. */
  async keepOnly(named: Iterable<AccessLogSink>): Promise<void> {
    const keep = new Set([...named].map(sinkKey));
    const gone = [...this.#sinks].filter(([key]) => !keep.has(key));
    for (const [key] of gone) this.#sinks.delete(key);
    await Promise.all(gone.map(([, sink]) => sink.close()));
  }

  /** Writes what waits and closes everything. */
  async close(): Promise<void> {
    await this.keepOnly([]);
  }

  /** Lines dropped by all sinks there are now. */
  get dropped(): number {
    let dropped = 0;
    for (const sink of this.#sinks.values()) dropped += sink.dropped;
    return dropped;
  }
}

function sinkKey(sink: AccessLogSink): string {
  return sink.kind === 'file' ? `file:${sink.path}` : sink.kind;
}
