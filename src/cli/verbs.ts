import type { Command } from 'commander';

/** Loads verbs by name. */
export type Verbs = Readonly<Record<string, () => Promise<Command>>>;

/** What the precompiled bundle holds: the verbs that put a proxy on the data path. */
export const PROXY_VERBS: Verbs = {
  proxy: async () =>
    process.argv.includes('--hot-restart')
      ? (await import('./hot-restart.ts')).supervisorCommand()
      : (await import('./proxy.ts')).proxyCommand(),
  run: async () => (await import('./run.ts')).runCommand(),
};
