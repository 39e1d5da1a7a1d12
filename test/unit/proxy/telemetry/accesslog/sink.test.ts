import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '../../../../../src/base/clock.ts';
import { LogSink, LogSinks, type SinkOutput } from '../../../../../src/proxy/telemetry/accesslog/sink.ts';

class ManualClock implements Clock {
  timers: { ms: number; fn: () => void }[] = [];
  now = (): number => 0;
  wall = (): number => 0;
  after = (ms: number, fn: () => void) => {
    const timer = { ms, fn };
    this.timers.push(timer);
    return {
      cancel: () => {
        this.timers = this.timers.filter((other) => other !== timer);
      },
    };
  };
  fire(): void {
    const due = this.timers;
    this.timers = [];
    for (const { fn } of due) fn();
  }
}

class ManualOutput implements SinkOutput {
  writes: string[] = [];
  log: string[] = [];
  done: ((error: Error | null) => void) | null = null;
  failReopen = false;
  write(bytes: Buffer, done: (error: Error | null) => void): void {
    this.writes.push(bytes.toString('latin1'));
    this.log.push(`write ${bytes.length}`);
    this.done = done;
  }
  finish(error: Error | null = null): void {
    const { done } = this;
    this.done = null;
    done?.(error);
  }
  reopen(): void {
    this.log.push('reopen');
    if (this.failReopen) throw new Error('gone');
  }
  close(): void {
    this.log.push('close');
  }
}

describe('a sink', () => {
  let clock: ManualClock;
  let output: ManualOutput;
  let sink: LogSink;
  beforeEach(() => {
    clock = new ManualClock();
    output = new ManualOutput();
    sink = new LogSink(output, clock, { flushBytes: 10, maxBytes: 20 });
  });

  test('writes the lines of a while together', () => {
    sink.write('a\n');
    sink.write('b\n');
    expect(output.writes).toEqual([]);
    expect(clock.timers.map(({ ms }) => ms)).toEqual([10]);
    clock.fire();
    expect(output.writes).toEqual(['a\nb\n']);
  });

  test('writes at once when much waits', () => {
    sink.write('123456789\n');
    expect(output.writes).toEqual(['123456789\n']);
    expect(clock.timers).toEqual([]);
  });

  test('has one write under way; what came meanwhile follows', () => {
    sink.write('123456789\n');
    sink.write('a\n');
    clock.fire();
    expect(output.writes).toHaveLength(1);
    output.finish();
    expect(clock.timers).toHaveLength(1);
    clock.fire();
    expect(output.writes[1]).toBe('a\n');
  });

  test('drops and counts lines beyond the bound, and recovers', () => {
    sink.write('123456789\n');
    sink.write('123456789\n');
    sink.write('x');
    expect(sink.dropped).toBe(1);
    output.finish();
    sink.write('y');
    output.finish();
    clock.fire();
    expect(sink.dropped).toBe(1);
    expect(output.writes).toEqual(['123456789\n', '123456789\n', 'y']);
  });

  test('counts failed writes and goes on', () => {
    sink.write('123456789\n');
    output.finish(new Error('ENOSPC'));
    expect(sink).toMatchObject({ failures: 1, lastError: 'ENOSPC' });
    sink.write('123456789\n');
    expect(output.writes).toHaveLength(2);
  });

  test('reopens between writes, after what was logged before', () => {
    sink.write('a');
    sink.reopen();
    expect(output.log).toEqual(['write 1']);
    output.finish();
    expect(output.log).toEqual(['write 1', 'reopen']);
    output.failReopen = true;
    sink.reopen();
    expect(sink).toMatchObject({ failures: 1, lastError: 'gone' });
  });

  test('close writes what waits, then closes; later lines are dropped', async () => {
    sink.write('123456789\n');
    sink.write('a');
    const closed = sink.close();
    sink.write('late');
    output.finish();
    output.finish();
    await closed;
    expect(output.log).toEqual(['write 10', 'write 1', 'close']);
    expect(sink.dropped).toBe(1);
    expect(clock.timers).toEqual([]);
    await sink.close();
  });
});

describe('sinks of a process', () => {
  let folder: string;
  const clock = new ManualClock();
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'remora-log-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  test('a file is shared, appended to, rotated and closed', async () => {
    const sinks = new LogSinks(clock, { stdout, stderr });
    const path = join(folder, 'access.log');
    const sink = sinks.get({ kind: 'file', path });
    expect(sinks.get({ kind: 'file', path })).toBe(sink);
    sink.write('one \xe9\n');
    renameSync(path, join(folder, 'old.log'));
    sinks.reopen();
    sink.write('two\n');
    await sinks.close();
    expect(readFileSync(join(folder, 'old.log'), 'latin1')).toBe('one \xe9\n');
    expect(readFileSync(path, 'latin1')).toBe('two\n');
  });

  test('a sink that config no longer names is closed, the others stay', async () => {
    const sinks = new LogSinks(clock, { stdout, stderr });
    const gone = { kind: 'file', path: join(folder, 'gone') } as const;
    const out = { kind: 'stdout' } as const;
    sinks.get(gone).write('x');
    const kept = sinks.get(out);
    await sinks.keepOnly([out]);
    expect(sinks.get(out)).toBe(kept);
    expect(readFileSync(gone.path, 'latin1')).toBe('x');
    await sinks.close();
  });

  test('stdout gets the bytes', async () => {
    const sinks = new LogSinks(clock, { stdout, stderr });
    sinks.get({ kind: 'stdout' }).write('line\n');
    await sinks.close();
    expect(stdout.read().toString()).toBe('line\n');
  });

  test('a file that cannot be opened is one clear line', () => {
    const sinks = new LogSinks(clock, { stdout, stderr });
    const path = join(folder, 'none', 'access.log');
    expect(() => sinks.get({ kind: 'file', path })).toThrow(/^access log .* cannot be opened: ENOENT/);
  });
});
