import { Command } from 'commander';
import { ConfigError, errorCode, messageOf } from '../base/errors.ts';
import type { Verbs } from './verbs.ts';
import { VERSION } from './version.ts';

/** Reads argv, runs one verb. Errors are one line on stderr: exit 2 for bad config, 1 for everything else. */
export async function main(verbs: Verbs): Promise<void> {
  const program = new Command('remora')
    .description('A service mesh: data plane and control server')
    .version(VERSION)
    .configureOutput({ outputError: (text, write) => write(usageError(text)) })
    .enablePositionalOptions();
  process.stdout.on('error', stopAtClosedPipe);
  // By itself Node would open its debugger. A proxy does more.
  process.on('SIGUSR1', () => {});
  try {
    for (const load of verbsFor(verbs, process.argv[2]))
      program.addCommand((await load()).copyInheritedSettings(program));
    await program.parseAsync();
  } catch (error) {
    process.exitCode = error instanceof ConfigError ? 2 : 1;
    // What was started before the error must not keep the process.
    process.stderr.write(`remora: ${messageOf(error)}\n`, () => process.exit());
  }
}

/** Commander's complaint and its suggestion, in one line. */
export function usageError(text: string): string {
  const said = text
    .trim()
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ');
  return `remora: ${said.replace('(Did', '(did')}; --help shows how\n`;
}

/** `remora explain … | head` ends when head does. */
function stopAtClosedPipe(error: Error): void {
  if (errorCode(error) === 'EPIPE') process.exit(0);
  throw error;
}

/** The verb that was asked for, or all of them: for help, and to suggest one for a name that is none. */
function verbsFor(verbs: Verbs, name: string | undefined): (() => Promise<Command>)[] {
  const one = name !== undefined && Object.hasOwn(verbs, name) ? verbs[name] : undefined;
  return one === undefined ? Object.values(verbs) : [one];
}
