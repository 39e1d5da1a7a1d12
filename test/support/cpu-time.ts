/** What `work` gives, and the processor time in ms that this thread needed for it, however busy the machine is. */
export function timed<T>(work: () => T): { readonly result: T; readonly took: number } {
  const before = process.threadCpuUsage();
  const result = work();
  const { user, system } = process.threadCpuUsage(before);
  return { result, took: (user + system) / 1000 };
}
