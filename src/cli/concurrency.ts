import { readFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join } from 'node:path';

/** What is asked of the machine; tests give their own. */
export interface Processors {
  /** How many this process may run on. */
  available(): number;
  /** How many there are. */
  all(): number;
  readFile(path: string): string;
}

/** Members that can share numbers, less the thread that looks after the others. */
export const MAX_CONCURRENCY = 63;
/** Istio's `concurrency` of a sidecar (mesh.DefaultProxyConfig). */
const SIDECAR = 2;

/**
 * How many threads serve. Given: that many, 0 for all processors of the machine. Otherwise as many as the CPU limit of
 * the cgroup has room for, rounded up as Istio does, or without a limit one a processor; a sidecar has 2 at most. Istio
 * names the kind of a proxy at the start of its node's id (`sidecar~…`, `router~…`).
 */
export function concurrencyOf(given: number | undefined, nodeId: string, machine: Processors = MACHINE): number {
  if (given === 0) return clamp(machine.all());
  if (given !== undefined) return clamp(given);
  const limit = Math.ceil(cpuLimit(machine.readFile));
  const room = Math.min(limit, machine.available());
  return clamp(nodeId.startsWith('sidecar~') ? Math.min(SIDECAR, room) : room);
}

function clamp(count: number): number {
  return Math.max(1, Math.min(MAX_CONCURRENCY, count));
}

const MACHINE: Processors = {
  available: availableParallelism,
  all: () => cpus().length,
  readFile: (path) => readFileSync(path, 'utf8'),
};

const ROOT = '/sys/fs/cgroup';

/** Processors that the cgroup of this process may use, in parts; infinite without a limit, or where nothing tells. */
export function cpuLimit(readFile: (path: string) => string): number {
  const read = (path: string): string | null => {
    try {
      return readFile(path);
    } catch {
      return null;
    }
  };
  // Lines `hierarchy:controllers:path`; version 2 has hierarchy 0 and names no controller.
  const groups = (read('/proc/self/cgroup') ?? '0::/').trim().split('\n');
  let limit = Number.POSITIVE_INFINITY;
  for (const group of groups) {
    const [, controllers = '', ...rest] = group.split(':');
    const path = rest.join(':');
    if (controllers === '')
      limit = Math.min(
        limit,
        lowest(ROOT, path, (folder) => limitOfV2(read(join(folder, 'cpu.max')))),
      );
    else if (controllers.split(',').includes('cpu')) {
      const quota = (folder: string): number =>
        limitOfV1(read(join(folder, 'cpu.cfs_quota_us')), read(join(folder, 'cpu.cfs_period_us')));
      // Where it is mounted depends on the distribution.
      for (const mount of new Set(['cpu', controllers]))
        limit = Math.min(limit, lowest(join(ROOT, mount), path, quota));
    }
  }
  return limit;
}

/** A group may use what each group above it may. In a container its own path may not be there, but the mount is it. */
function lowest(mount: string, path: string, limitOf: (folder: string) => number): number {
  let limit = limitOf(mount);
  for (let at = path; at !== '/' && at !== '.' && at !== ''; at = dirname(at)) {
    limit = Math.min(limit, limitOf(join(mount, at)));
  }
  return limit;
}

/** `max 100000`, or quota and period in µs. */
function limitOfV2(text: string | null): number {
  const [quota, period] = (text ?? '').trim().split(' ');
  return share(Number(quota), Number(period));
}

/** A quota of -1 is none. */
function limitOfV1(quota: string | null, period: string | null): number {
  return quota === null || period === null ? Number.POSITIVE_INFINITY : share(Number(quota), Number(period));
}

function share(quota: number, period: number): number {
  return quota > 0 && period > 0 ? quota / period : Number.POSITIVE_INFINITY;
}
