import { readFileSync } from 'node:fs';
import { descendants } from './processes.ts';

/** /proc counts CPU in these, on every Linux there is. */
const MICROS_PER_TICK = 10_000;

export interface Memory {
  /** MB resident now (VmRSS), and at most since its start (VmHWM), of the process and its children. */
  readonly rss: number;
  readonly peak: number;
  /** MB that no file backs (RssAnon): what a further process of the kind costs at least. */
  readonly anonymous: number;
  /** MB with each shared page counted for its part (PSS). */
  readonly proportional: number;
}

/** User and system time of a process, all its threads and its living children, in µs. */
export function cpuMicros(pid: number): number {
  let ticks = 0;
  for (const member of [pid, ...descendants(pid)]) {
    // After the command's name, which may hold anything: state is field 3, utime 14, stime 15.
    const stat = readFileSync(`/proc/${member}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks * MICROS_PER_TICK;
}

export function memory(pid: number): Memory {
  let rss = 0;
  let peak = 0;
  let anonymous = 0;
  let proportional = 0;
  for (const member of [pid, ...descendants(pid)]) {
    const status = readFileSync(`/proc/${member}/status`, 'utf8');
    rss += kilobytes(status, 'VmRSS');
    peak += kilobytes(status, 'VmHWM');
    anonymous += kilobytes(status, 'RssAnon');
    proportional += kilobytes(readFileSync(`/proc/${member}/smaps_rollup`, 'utf8'), 'Pss');
  }
  return { rss: rss / 1024, peak: peak / 1024, anonymous: anonymous / 1024, proportional: proportional / 1024 };
}

function kilobytes(status: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0);
}
