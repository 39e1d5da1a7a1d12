import { Command, InvalidArgumentError } from 'commander';
import { RemoraError } from '../../base/errors.ts';
import { formatAddress, type SocketAddress } from '../../model/address.ts';
import type { Explanation } from '../../proxy/admin/explain.ts';
import { fetchJson } from '../fetch-json.ts';
import { readMesh } from '../mesh-state.ts';
import { type OutputFormat, outputFormat, paintFor, printJson } from '../output.ts';
import { parseAddress } from '../proxy.ts';
import { type Answer, answerOf, NO_DETAILS, type Question } from './answer.ts';
import { formatAnswer } from './print.ts';

interface ExplainFlags {
  readonly header: readonly (readonly [string, string])[];
  readonly from?: string;
  readonly namespace: string;
  readonly listener?: string;
  readonly files?: readonly string[];
  readonly admin?: SocketAddress;
  readonly control?: SocketAddress;
  readonly output: OutputFormat;
}

export function explainCommand(): Command {
  return new Command('explain')
    .description('what would happen to one request, and why, without sending it')
    .argument('[method]', 'GET, POST, …; may be left out for GET')
    .argument('[url]', 'such as http://reviews:9080/reviews/0')
    .option('-H, --header <name: value>', 'header of the request, may be repeated', collectHeader, [])
    .option('--from <workload>', 'whose sidecar is asked: productpage-v1, productpage, or gateway')
    .option('--namespace <name>', 'namespace of the caller', 'default')
    .option('--files <path...>', 'ask what these folders and files of YAML make of it')
    .option('--admin <address>', 'ask a running proxy, by its admin port', parseAddress)
    .option('--control <address>', 'ask a running control server, by its xDS port', parseAddress)
    .option('--listener <name>', 'the listener that the request comes to, where the URL does not tell')
    .option('-o, --output <format>', 'text or json', outputFormat, 'text')
    .addHelpText(
      'after',
      '\nWithout --files, --admin or --control: the mesh that runs on this machine (`remora demo`).\n' +
        '\nExamples:\n' +
        "  remora explain GET http://reviews:9080/reviews/0 -H 'end-user: jason' --from productpage\n" +
        '  remora explain GET http://127.0.0.1:8080/productpage\n' +
        '  remora explain http://ratings:9080/ratings/0 --files config/bookinfo/*.yaml',
    )
    .action(runExplain);
}

async function runExplain(method: string | undefined, url: string | undefined, given: ExplainFlags): Promise<void> {
  const { words, flags } = untangle(
    [method, url].filter((word) => word !== undefined),
    given,
  );
  const answer = await ask(flags, questionOf(words[0], words[1], flags));
  if (flags.output === 'json') printJson(answer);
  else process.stdout.write(formatAnswer(answer, paintFor(process.stdout)));
}

/** `--files` takes all that follows it, so also a request that is written behind: a URL is no file. */
export function untangle<T extends Pick<ExplainFlags, 'files'>>(
  words: string[],
  flags: T,
): { words: string[]; flags: T } {
  const { files } = flags;
  if (words.length > 0 || files === undefined || !/^https?:\/\//i.test(files.at(-1) ?? '')) return { words, flags };
  const from = /^[A-Z]+$/.test(files.at(-2) ?? '') ? -2 : -1;
  return { words: files.slice(from), flags: { ...flags, files: files.slice(0, from) } };
}

/** `GET URL`, or a URL alone. */
export function questionOf(
  first: string | undefined,
  second: string | undefined,
  flags: Pick<ExplainFlags, 'header' | 'namespace' | 'from' | 'listener'>,
): Question {
  if (first === undefined || (second === undefined && !/[/:.]/.test(first))) {
    throw new RemoraError(
      'usage',
      `which URL? Such as: remora explain ${first ?? 'GET'} http://reviews:9080/reviews/0`,
    );
  }
  const url = second ?? first;
  const { header: headers, namespace, from, listener } = flags;
  const hosted = headers.some(([name]) => name.toLowerCase() === 'host');
  if (url.startsWith('/') && !hosted) {
    throw new RemoraError('usage', `${url} has no host: give a whole URL, such as http://reviews:9080${url}`);
  }
  return {
    method: second === undefined ? 'GET' : first.toUpperCase(),
    url,
    headers,
    namespace,
    ...(from === undefined ? {} : { from }),
    ...(listener === undefined ? {} : { listener }),
  };
}

async function ask({ files, admin, control }: ExplainFlags, question: Question): Promise<Answer> {
  if ([files, admin, control].filter((one) => one !== undefined).length > 1) {
    throw new RemoraError('usage', '--files, --admin and --control are different places to ask: give one of them');
  }
  if (admin !== undefined) return askAdmin(admin, question);
  // The translators are heavy, and so is gRPC: what is not asked is not loaded.
  if (control !== undefined)
    return (await import('./from-control.ts')).explainControl(formatAddress(control), question);
  const { explainFiles } = await import('./offline.ts');
  if (files !== undefined) return explainFiles(files, named(files), question);
  const mesh = readMesh();
  if (mesh === null) {
    throw new RemoraError(
      'no_mesh',
      'no mesh runs on this machine: start `remora demo`, or name what to ask with --files, --admin or --control',
    );
  }
  return explainFiles([...mesh.files, mesh.instances], `the mesh on this machine (${named(mesh.files)})`, question);
}

function named(paths: readonly string[]): string {
  return paths.length > 2 ? `${paths.length} files and folders` : paths.join(', ');
}

async function askAdmin(admin: SocketAddress, question: Question): Promise<Answer> {
  const query = new URLSearchParams([
    ['method', question.method],
    ['url', question.url],
    ...question.headers.map(([name, value]) => ['header', `${name}:${value}`]),
  ]);
  const explanation = (await fetchJson(admin, `/remora/explain?${query}`, 'the proxy’s admin port')) as Explanation;
  const notes =
    question.from === undefined
      ? []
      : ['--from counts for --files and --control only: a running proxy answers for itself'];
  const about = { asked: `the proxy at ${formatAddress(admin)}`, source: 'what it runs by now', notes };
  return answerOf(question, explanation, about, () => NO_DETAILS);
}

/** `name: value`, as curl's. */
export function collectHeader(
  text: string,
  before: readonly (readonly [string, string])[],
): (readonly [string, string])[] {
  const colon = text.indexOf(':');
  if (colon <= 0 || /[\r\n\0]/.test(text)) throw new InvalidArgumentError("must be 'name: value'");
  return [...before, [text.slice(0, colon).trim(), text.slice(colon + 1).trim()]];
}
