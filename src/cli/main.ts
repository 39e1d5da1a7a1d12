import { Command } from 'commander';
import { ConfigError, messageOf } from '../base/errors.ts';
import { controlCommand } from './control.ts';
import { demoCommand } from './demo/index.ts';
import { proxyCommand } from './proxy.ts';
import { runCommand } from './run.ts';
import { VERSION } from './version.ts';

/** Reads argv, runs one verb. Errors are one line on stderr: exit 2 for bad config, 1 for everything else. */
export async function main(): Promise<void> {
  const program = new Command('remora')
    .description('A service mesh: data plane and control server')
    .version(VERSION)
    .showHelpAfterError('(add --help for usage)');
  program.enablePositionalOptions();
  for (const command of [proxyCommand(), controlCommand(), runCommand(), demoCommand()]) program.addCommand(command);
  try {
    await program.parseAsync();
  } catch (error) {
    process.stderr.write(`remora: ${messageOf(error)}\n`);
    process.exitCode = error instanceof ConfigError ? 2 : 1;
  }
}
