import { Command } from 'commander';
import { ConfigError, errorCode, messageOf } from '../base/errors.ts';
import { VERSION } from './version.ts';

/**
 * The verbs. Each is loaded only when it is asked for: a proxy must not pay, in time or memory, for the
 * control server or the demo.
 */
const VERBS: Readonly<Record<string, () => Promise<Command>>> = {
  proxy: async () =>
    process.argv.includes('--hot-restart')
      ? (await import('./hot-restart.ts')).supervisorCommand()
      : (await import('./proxy.ts')).proxyCommand(),
  control: async () => (await import('./control.ts')).controlCommand(),
  inject: async () => (await import('./inject.ts')).injectCommand(),
  run: async () => (await import('./run.ts')).runCommand(),
  iptables: async () => (await import('./iptables/index.ts')).iptablesCommand(),
  install: async () => (await import('./install/index.ts')).installCommand(),
  wait: async () => (await import('./wait.ts')).waitCommand(),
  drain: async () => (await import('./drain.ts')).drainCommand(),
  gateway: async () => (await import('./gateway.ts')).gatewayCommand(),
  demo: async () => (await import('./demo/index.ts')).demoCommand(),
  explain: async () => (await import('./explain/index.ts')).explainCommand(),
  analyze: async () => (await import('./analyze.ts')).analyzeCommand(),
  elect: async () => (await import('./elect.ts')).electCommand(),
  status: async () => (await import('./status.ts')).statusCommand(),
};

/** Reads argv, runs one verb. Errors are one line on stderr: exit 2 for bad config, 1 for everything else. */
export async function main(): Promise<void> {
  const program = new Command('remora')
    .description('A service mesh: data plane and control server')
    .version(VERSION)
    .configureOutput({ outputError: (text, write) => write(usageError(text)) })
    .enablePositionalOptions();
  process.stdout.on('error', stopAtClosedPipe);
  try {
    for (const load of verbsFor(process.argv[2])) program.addCommand((await load()).copyInheritedSettings(program));
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
function verbsFor(name: string | undefined): (() => Promise<Command>)[] {
  const one = name !== undefined && Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  return one === undefined ? Object.values(VERBS) : [one];
}
