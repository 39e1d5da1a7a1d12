/** Milliseconds of processor time that this thread needs for `work`: how busy the machine is otherwise does not count. */
export function cpuMs(work: () => void): number {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}
