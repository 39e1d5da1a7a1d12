import { describe, expect, it } from 'vitest';
import { concurrencyOf, cpuLimit } from '../../../src/cli/concurrency.ts';

type Files = Readonly<Record<string, string>>;

const reader =
  (files: Files) =>
  (path: string): string => {
    const text = files[path];
    if (text === undefined) throw new Error(`ENOENT ${path}`);
    return text;
  };
const NONE = Number.POSITIVE_INFINITY;

describe('the CPU limit', () => {
  const cases: readonly (readonly [string, number, Files])[] = [
    ['nothing that tells', NONE, {}],
    ['version 2 without a limit', NONE, { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': 'max 100000\n' }],
    ['version 2 in a container', 1.5, { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '150000 100000\n' }],
    [
      'version 2, the lowest of the groups above',
      2,
      {
        '/proc/self/cgroup': '0::/kubepods/pod1/box\n',
        '/sys/fs/cgroup/kubepods/pod1/box/cpu.max': 'max 100000\n',
        '/sys/fs/cgroup/kubepods/pod1/cpu.max': '200000 100000\n',
        '/sys/fs/cgroup/kubepods/cpu.max': '800000 100000\n',
      },
    ],
    [
      'version 1',
      0.5,
      {
        '/proc/self/cgroup': '12:memory:/a\n4:cpu,cpuacct:/\n1:name=systemd:/a\n',
        '/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '50000\n',
        '/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000\n',
      },
    ],
    [
      'version 1 without a limit',
      NONE,
      {
        '/proc/self/cgroup': '4:cpuacct,cpu:/\n',
        '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
        '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
      },
    ],
    [
      'version 1, whose path is the host’s and not mounted here',
      3,
      {
        '/proc/self/cgroup': '4:cpu:/kubepods/pod1\n0::/kubepods/pod1\n',
        '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '300000\n',
        '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
      },
    ],
    ['a file of nonsense', NONE, { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': 'x\n' }],
  ];
  it.each(cases)('%s: %d', (_name, limit, files) => {
    expect(cpuLimit(reader(files))).toBe(limit);
  });
});

describe('how many threads serve', () => {
  const machine = (limit: string, available = 8) => ({
    available: () => available,
    all: () => 16,
    readFile: reader({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': limit }),
  });
  it.each([
    ['a sidecar without a limit has two', undefined, 'sidecar~10.0.0.1~a.b~c', 'max 100000', 2],
    ['a sidecar with half a processor has one', undefined, 'sidecar~10.0.0.1~a.b~c', '50000 100000', 1],
    ['a sidecar with more than two has two', undefined, 'sidecar~10.0.0.1~a.b~c', '600000 100000', 2],
    ['a gateway has its limit, rounded up', undefined, 'router~10.0.0.1~a.b~c', '350000 100000', 4],
    ['a gateway without a limit has what it may run on', undefined, 'router~10.0.0.1~a.b~c', 'max 100000', 8],
    ['a bootstrap of other kind too', undefined, 'front', 'max 100000', 8],
    ['what is given holds', 3, 'sidecar~10.0.0.1~a.b~c', '50000 100000', 3],
    ['0 is all, whatever the limit', 0, 'sidecar~10.0.0.1~a.b~c', '50000 100000', 16],
  ])('%s', (_name, given, node, limit, threads) => {
    expect(concurrencyOf(given, node, machine(limit))).toBe(threads);
  });

  it('is never more than the processors that the process may run on, but where it is given', () => {
    expect(concurrencyOf(undefined, 'router~x', machine('max 100000', 1))).toBe(1);
    expect(concurrencyOf(4, 'router~x', machine('max 100000', 1))).toBe(4);
  });
});
