import { Command } from 'commander';
import { messageOf } from '../base/errors.ts';
import { ConfigError } from '../base/errors.ts';
import { proxyCommand } from './proxy.ts';

/** Reads argv, runs one verb. Errors are one line on stderr: exit 2 for bad config, 1 for everything else. */
export async function main(): Promise<void> {
  const program = new Command('remora')
    .description('A service mesh: data plane and control server')
    .version('0.1.0')
    .showHelpAfterError('(add --help for usage)');
  program.addCommand(proxyCommand());
  try {
    await program.parseAsync();
  } catch (error) {
    process.stderr.write(`remora: ${messageOf(error)}\n`);
    process.exitCode = error instanceof ConfigError ? 2 : 1;
  }
}
