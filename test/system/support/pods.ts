import { output } from './process.ts';

export interface Pods {
  /** A command line, for `Program` and `output`, that runs `args` in the network namespace of a pod. */
  within(pod: string, ...args: readonly string[]): [command: string, args: string[]];
  /** What it says, trimmed. */
  run(pod: string, ...args: readonly string[]): Promise<string>;
}

/** The network namespaces that `pods.sh up ID` made. */
export function pods(id: string): Pods {
  const within: Pods['within'] = (pod, ...args) => ['ip', ['netns', 'exec', `${id}-${pod}`, ...args]];
  return { within, run: async (...of) => (await output(...within(...of))).text.trim() };
}
