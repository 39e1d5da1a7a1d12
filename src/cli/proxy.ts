import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { ConfigError, messageOf } from '../base/errors.ts';
import { LOG_LEVELS, type LogLevel, LogRoot } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import { proxyDecodeContext } from '../proxy/runtime/extensions.ts';
import { Proxy } from '../proxy/runtime/server.ts';
import { type Bootstrap, readBootstrap } from '../xds/bootstrap/bootstrap.ts';
import { describeProblems } from '../xds/bootstrap/document.ts';

interface ProxyFlags {
  readonly config?: string;
  readonly configYaml?: string;
  readonly logLevel: string;
  readonly validate?: boolean;
}

export function proxyCommand(): Command {
  return new Command('proxy')
    .description('run one proxy from an Envoy v3 bootstrap')
    .option('-c, --config <file>', 'bootstrap file, YAML or JSON')
    .option('--config-yaml <text>', 'the bootstrap itself, in one argument')
    .option('--log-level <level>', `one of ${LOG_LEVELS.join(', ')}`, 'info')
    .option('--validate', 'check the bootstrap and exit')
    .addHelpText('after', '\nExample:\n  remora proxy -c config/proxy/front-proxy.yaml')
    .action(runProxy);
}

async function runProxy(flags: ProxyFlags): Promise<void> {
  const log = new LogRoot(systemClock, (line) => process.stderr.write(line), logLevel(flags.logLevel)).logger();
  const bootstrap = loadBootstrap(flags, (warning) => log.warn(warning));
  if (flags.validate) {
    process.stdout.write('configuration is valid\n');
    return;
  }
  const proxy = new Proxy({
    bootstrap,
    clock: systemClock,
    random: systemRandom,
    log,
    stdout: process.stdout,
    stderr: process.stderr,
  });
  await proxy.start();
}

function loadBootstrap(flags: ProxyFlags, warn: (warning: string) => void): Bootstrap {
  const { name, text } = bootstrapText(flags);
  const result = readBootstrap(text, proxyDecodeContext());
  for (const warning of describeProblems(name, result.warnings)) warn(warning);
  if (result.ok) return result.bootstrap;
  throw new ConfigError(`${name} is not a valid bootstrap`, describeProblems(name, result.problems));
}

function bootstrapText(flags: ProxyFlags): { name: string; text: string } {
  if (flags.configYaml !== undefined) return { name: '--config-yaml', text: flags.configYaml };
  if (flags.config === undefined) throw new ConfigError('no bootstrap: give one with -c FILE or --config-yaml TEXT');
  try {
    return { name: flags.config, text: readFileSync(flags.config, 'utf8') };
  } catch (error) {
    throw new ConfigError(`cannot read ${flags.config}: ${messageOf(error)}`);
  }
}

export function logLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((name) => name === (text === 'warn' ? 'warning' : text));
  if (level === undefined) throw new ConfigError(`--log-level ${text}: must be one of ${LOG_LEVELS.join(', ')}`);
  return level;
}
