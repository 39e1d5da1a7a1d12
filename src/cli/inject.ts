import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { Command, InvalidArgumentError, Option } from 'commander';
import { ConfigError, errorCode, messageOf } from '../base/errors.ts';
import { injectManifest } from '../control/injector/manifest.ts';
import { readMeshProxyConfig, readSettings } from '../control/injector/read-settings.ts';
import { defaultSettings, type InjectionSettings } from '../control/injector/settings.ts';
import { formatFinding } from '../control/source/collection.ts';
import { VERSION } from './version.ts';

interface InjectFlags {
  readonly filename: string;
  readonly namespace: string;
  readonly systemNamespace: string;
  readonly settings?: string;
  readonly meshConfig?: string;
  readonly image?: string;
  readonly imagePullPolicy?: InjectionSettings['imagePullPolicy'];
  readonly control?: string;
  readonly revision?: string;
  readonly nativeSidecar: boolean;
}

export function injectCommand(): Command {
  return new Command('inject')
    .description('put the workloads of a manifest on the mesh: YAML in, YAML out')
    .requiredOption('-f, --filename <file>', 'YAML or JSON, - for stdin')
    .option('-n, --namespace <name>', 'namespace of objects that name none', 'default')
    .option('--system-namespace <name>', 'namespace of the control server', 'remora-system')
    .option('--settings <file>', 'what is written where a pod says nothing else; that of the control server')
    .option('--mesh-config <file>', 'MeshConfig, or the ConfigMap that holds it: its defaultConfig is for pods too')
    .option('--image <name>', 'image of the proxy')
    .addOption(
      new Option('--image-pull-policy <policy>', 'when to pull it').choices(['Always', 'IfNotPresent', 'Never']),
    )
    .option('--control <address>', 'xDS address of the control server, host:port', hostAndPort)
    .option('--revision <name>', 'the istio.io/rev that is meant')
    .option('--no-native-sidecar', 'the proxy as an ordinary container: for Kubernetes before 1.29')
    .addHelpText(
      'after',
      '\nExamples:\n  remora inject -f app.yaml | kubectl apply -f -\n  kubectl get deploy -o yaml | remora inject -f - | kubectl apply -f -' +
        '\n\nWhat is skipped is said on stderr, with the reason. Annotations are Istio’s.',
    )
    .action(runInject);
}

async function runInject(flags: InjectFlags): Promise<void> {
  const file = flags.filename === '-' ? 'stdin' : flags.filename;
  const text = flags.filename === '-' ? utf8(await buffer(process.stdin), 'stdin') : readManifest(flags.filename);
  const result = injectManifest(text, { settings: settingsOf(flags), namespace: flags.namespace, file });
  const errors = result.findings.filter(({ severity }) => severity === 'error');
  for (const finding of result.findings)
    if (finding.severity !== 'error') process.stderr.write(`remora: warning: ${formatFinding(finding)}\n`);
  for (const { object, reason } of result.skipped) process.stderr.write(`remora: not injected: ${object}: ${reason}\n`);
  if (errors.length > 0) throw new ConfigError('nothing was injected', errors.map(formatFinding));
  if (result.injected.length + result.skipped.length === 0)
    process.stderr.write(`remora: ${file} has no workload${othersOf(result.others)}: nothing is injected\n`);
  process.stdout.write(result.text);
}

function othersOf(kinds: readonly string[]): string {
  return kinds.length === 0 ? '' : ` (it has ${kinds.join(', ')})`;
}

function readManifest(path: string): string {
  try {
    return utf8(readFileSync(path), path);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const reasons: Readonly<Record<string, string>> = {
      ENOENT: 'no such file',
      EISDIR: 'it is a folder: name a file, or - for stdin',
    };
    throw new ConfigError(`cannot read ${path}: ${reasons[errorCode(error) ?? ''] ?? messageOf(error)}`, [], error);
  }
}

function utf8(bytes: Buffer, from: string): string {
  // What is not UTF-8 would come out changed.
  if (!isUtf8(bytes)) throw new ConfigError(`${from} is not UTF-8 text`);
  return bytes.toString();
}

/** The defaults of this build, with what a file says over them. */
export function settingsFrom(file: string | undefined, namespace?: string): InjectionSettings {
  const defaults = defaultSettings(VERSION, namespace);
  return file === undefined ? defaults : readSettings(readManifest(file), file, defaults);
}

function settingsOf(flags: InjectFlags): InjectionSettings {
  const { meshConfig } = flags;
  return {
    ...settingsFrom(flags.settings, flags.systemNamespace),
    ...(meshConfig === undefined ? {} : { proxyConfig: readMeshProxyConfig(readManifest(meshConfig), meshConfig) }),
    ...(flags.nativeSidecar ? {} : { nativeSidecar: false }),
    ...(flags.image === undefined ? {} : { image: flags.image }),
    ...(flags.imagePullPolicy === undefined ? {} : { imagePullPolicy: flags.imagePullPolicy }),
    ...(flags.control === undefined ? {} : { control: flags.control }),
    ...(flags.revision === undefined ? {} : { revision: flags.revision }),
  };
}

function hostAndPort(text: string): string {
  if (!/^.+:\d{1,5}$/.test(text)) throw new InvalidArgumentError('must be host:port');
  return text;
}
