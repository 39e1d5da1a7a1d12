import { text } from 'node:stream/consumers';
import { Command } from 'commander';
import { RemoraError } from '../base/errors.ts';
import { examine } from '../control/analyze/examine.ts';
import type { Finding } from '../control/source/collection.ts';
import { readPaths, readText } from './config-files.ts';
import { readMesh } from './mesh-state.ts';
import { count, type OutputFormat, outputFormat, type Paint, paintFor, printJson } from './output.ts';

interface AnalyzeFlags {
  readonly output: OutputFormat;
}

export function analyzeCommand(): Command {
  return new Command('analyze')
    .description('find mistakes in YAML before it is applied; exit 1 when there are errors')
    .argument('[path...]', 'folders and files, or - for stdin; without any, those of the mesh running on this machine')
    .option('-o, --output <format>', 'text or json', outputFormat, 'text')
    .addHelpText(
      'after',
      '\nExamples:\n  remora analyze config/bookinfo/*.yaml\n  kubectl get vs,dr,svc -o yaml | remora analyze -',
    )
    .action(runAnalyze);
}

async function runAnalyze(paths: readonly string[], { output }: AnalyzeFlags): Promise<void> {
  const { state, where } = await read(paths);
  const { findings } = examine(state);
  if (output === 'json') printJson(findings);
  else process.stdout.write(formatFindings(findings, state.objects.length, where, paintFor(process.stdout)));
  if (findings.some(({ severity }) => severity === 'error')) process.exitCode = 1;
}

async function read(paths: readonly string[]) {
  if (paths.includes('-')) {
    if (paths.length > 1) throw new RemoraError('usage', '- reads stdin alone: leave the other paths out');
    return { state: readText(await text(process.stdin), 'stdin'), where: 'stdin' };
  }
  if (paths.length > 0) return { state: await readPaths(paths), where: paths.join(', ') };
  const mesh = readMesh();
  if (mesh === null)
    throw new RemoraError(
      'no_mesh',
      'what to analyze? Name a folder or a file, or - for stdin: no mesh runs on this machine',
    );
  return { state: await readPaths([...mesh.files, mesh.instances]), where: mesh.files.join(', ') };
}

/** A line for each finding, errors first, and a sum. */
export function formatFindings(findings: readonly Finding[], objects: number, where: string, paint: Paint): string {
  const errors = findings.filter(({ severity }) => severity === 'error');
  const warnings = findings.filter(({ severity }) => severity !== 'error');
  const lines = [...errors, ...warnings].map((finding) => `${formatLine(finding, paint)}\n`).join('');
  const looked = `${count(objects, 'object')} in ${where}`;
  if (findings.length === 0)
    return objects === 0 ? `no objects in ${where}\n` : `${paint.good('no mistakes found')} in ${looked}\n`;
  return `${lines}${count(errors.length, 'error')}, ${count(warnings.length, 'warning')} in ${looked}\n`;
}

function formatLine({ severity, file, line, object, field, message, code }: Finding, paint: Paint): string {
  const place = line > 0 ? `${file}:${line}` : file;
  const kind = severity === 'error' ? paint.bad('error') : paint.warn('warning');
  const what = [object, field].filter((part) => part !== '').join(' ');
  return `${place === '' ? '' : `${paint.strong(place)}: `}${kind}: ${what === '' ? '' : `${what}: `}${message} ${paint.faint(`[${code}]`)}`;
}
