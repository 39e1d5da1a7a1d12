import { Command } from 'commander';
import { ConfigError, messageOf } from '../base/errors.ts';
import { VERSION } from './version.ts';

/**
 * The verbs. Each is loaded only when it is asked for: a proxy must not pay, in time or memory, for the
 * control server or the demo.
 */
const VERBS: Readonly<Record<string, () => Promise<Command>>> = {
  proxy: async () => (await import('./proxy.ts')).proxyCommand(),
  control: async () => (await import('./control.ts')).controlCommand(),
  run: async () => (await import('./run.ts')).runCommand(),
  demo: async () => (await import('./demo/index.ts')).demoCommand(),
};

/** Reads argv, runs one verb. Errors are one line on stderr: exit 2 for bad config, 1 for everything else. */
export async function main(): Promise<void> {
  const program = new Command('remora')
    .description('A service mesh: data plane and control server')
    .version(VERSION)
    .showHelpAfterError('(add --help for usage)')
    .enablePositionalOptions();
  try {
    for (const load of verbsFor(process.argv[2])) program.addCommand(await load());
    await program.parseAsync();
  } catch (error) {
    process.stderr.write(`remora: ${messageOf(error)}\n`);
    process.exitCode = error instanceof ConfigError ? 2 : 1;
  }
}

/** The verb that was asked for, or all of them: for help, and to suggest one for a name that is none. */
function verbsFor(name: string | undefined): (() => Promise<Command>)[] {
  const one = name !== undefined && Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  return one === undefined ? Object.values(VERBS) : [one];
}
