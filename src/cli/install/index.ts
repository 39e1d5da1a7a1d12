import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { ConfigError, RemoraError } from '../../base/errors.ts';
import { LOG_LEVELS } from '../../base/log.ts';
import { VERSION } from '../version.ts';
import { plainControl, plainGateway } from './render.ts';
import { defaultValues, type Values } from './values.ts';

interface InstallFlags {
  readonly dryRun?: boolean;
  readonly part: 'control' | 'ingress' | 'egress';
  readonly set: Readonly<Record<string, string>>;
}

export function installCommand(): Command {
  return new Command('install')
    .description('print the manifests of an installation on Kubernetes')
    .option('--dry-run', 'print them; nothing else is done here: pipe them to kubectl')
    .addOption(
      new Option('--part <name>', 'what to install').choices(['control', 'ingress', 'egress']).default('control'),
    )
    .option('--set <name=value>', 'a value, such as image=registry/remora:1; may be repeated', collect, {})
    .addHelpText(
      'after',
      '\nExamples:\n  remora install --dry-run | kubectl apply -f -\n  remora install --dry-run --part ingress --set ingressServiceType=NodePort | kubectl apply -f -' +
        '\n\nValues: those of deploy/chart/values.yaml.',
    )
    .action((flags: InstallFlags) => {
      if (flags.dryRun !== true)
        throw new RemoraError('usage', 'nothing is applied from here: `remora install --dry-run | kubectl apply -f -`');
      const values = valuesOf(flags.set);
      process.stdout.write(flags.part === 'control' ? plainControl(values, crds()) : plainGateway(values, flags.part));
    });
}

function collect(text: string, before: Readonly<Record<string, string>>): Record<string, string> {
  const at = text.indexOf('=');
  if (at <= 0) throw new InvalidArgumentError('must be name=value');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** The defaults with values set by their names, `resources.cpu` for nested ones. */
export function valuesOf(given: Readonly<Record<string, string>>): Values {
  const values = structuredClone(defaultValues(VERSION)) as unknown as Record<string, unknown>;
  const problems: string[] = [];
  for (const [name, text] of Object.entries(given)) {
    const parts = name.split('.');
    const last = parts.pop() ?? '';
    const holder = parts.reduce<unknown>((node, part) => (isRecord(node) ? node[part] : undefined), values);
    const before = isRecord(holder) && Object.hasOwn(holder, last) ? holder[last] : undefined;
    const choices = CHOICES[name];
    if (!isRecord(holder) || before === undefined || isRecord(before))
      problems.push(`${name}: is no value of the installation; there are ${namesOf(values).join(', ')}`);
    else if (choices !== undefined && !choices.includes(text))
      problems.push(`${name}: must be one of ${choices.join(', ')}, got ${JSON.stringify(text)}`);
    else if (text === '') problems.push(`${name}: must not be empty`);
    else if (name === 'namespace' && !/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text))
      problems.push(`${name}: must be the name of a namespace, got ${JSON.stringify(text)}`);
    else if (typeof before === 'number' && !/^\d{1,6}$/.test(text)) problems.push(`${name}: must be a whole number`);
    else if (typeof before === 'boolean' && text !== 'true' && text !== 'false')
      problems.push(`${name}: must be true or false`);
    else
      holder[last] = typeof before === 'number' ? Number(text) : typeof before === 'boolean' ? text === 'true' : text;
  }
  if (problems.length > 0) throw new ConfigError('wrong values in --set', problems);
  return values as unknown as Values;
}

const CHOICES: Readonly<Record<string, readonly string[]>> = {
  webhookFailurePolicy: ['Fail', 'Ignore'],
  imagePullPolicy: ['Always', 'IfNotPresent', 'Never'],
  ingressServiceType: ['LoadBalancer', 'NodePort', 'ClusterIP'],
  logLevel: LOG_LEVELS,
};

/** `minReplicas`, `resources.cpu` … */
function namesOf(values: Record<string, unknown>, path = ''): string[] {
  return Object.entries(values).flatMap(([name, value]) =>
    isRecord(value) ? namesOf(value, `${path}${name}.`) : [`${path}${name}`],
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** deploy/crds, wherever this program was put together with it. */
function crds(): string[] {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const path = join(folder, 'deploy/crds');
    if (existsSync(path))
      return readdirSync(path)
        .filter((file) => file.endsWith('.yaml'))
        .sort()
        .map((file) => readFileSync(join(path, file), 'utf8'));
    if (dirname(folder) === folder) throw new RemoraError('no_crds', 'deploy/crds is not beside this program');
  }
}
