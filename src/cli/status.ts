import { Command } from 'commander';
import { RemoraError } from '../base/errors.ts';
import { formatAddress, type SocketAddress } from '../model/address.ts';
import { fetchJson } from './fetch-json.ts';
import { readMesh } from './mesh-state.ts';
import { count, type OutputFormat, outputFormat, type Paint, paintFor, printJson, table } from './output.ts';
import { parseAddress } from './proxy.ts';

interface StatusFlags {
  readonly control?: SocketAddress;
  readonly output: OutputFormat;
}

/** One type as `/proxies` tells of it; what else is there is not read. */
export interface TypeState {
  readonly typeUrl: string;
  readonly state: 'synced' | 'pushing' | 'rejected' | 'waiting';
  readonly nacked: { readonly reason: string } | null;
}

export interface ProxyState {
  readonly node: {
    readonly id: string;
    readonly kind: string;
    readonly pod: string;
    readonly namespace: string;
    readonly userAgent: string;
  };
  readonly types: readonly TypeState[];
}

export interface MeshStatus {
  readonly control: string;
  readonly proxies: readonly ProxyState[];
  readonly findings: readonly { readonly severity: string; readonly text: string }[];
}

export function statusCommand(): Command {
  return new Command('status')
    .description('the proxies of a control server, and whether they have its config')
    .option(
      '--control <address>',
      'HTTP address of the control server; without it, the mesh running on this machine',
      parseAddress,
    )
    .option('-o, --output <format>', 'text or json', outputFormat, 'text')
    .addHelpText('after', '\nExample:\n  remora status --control 127.0.0.1:15014')
    .action(runStatus);
}

async function runStatus(flags: StatusFlags): Promise<void> {
  const control = flags.control ?? ownControl();
  const who = 'the control server’s HTTP port';
  const [proxies, findings] = await Promise.all([
    fetchJson(control, '/proxies', who) as Promise<MeshStatus['proxies']>,
    fetchJson(control, '/findings', who) as Promise<MeshStatus['findings']>,
  ]);
  const status = { control: formatAddress(control), proxies, findings };
  if (flags.output === 'json') printJson(status);
  else process.stdout.write(formatStatus(status, paintFor(process.stdout)));
}

function ownControl(): SocketAddress {
  const mesh = readMesh();
  if (mesh !== null) return parseAddress(mesh.http);
  throw new RemoraError(
    'no_mesh',
    'no mesh runs on this machine: start `remora demo`, or name a control server with --control ADDR',
  );
}

const COLUMNS = [
  ['LDS', 'listener.v3.Listener'],
  ['RDS', 'route.v3.RouteConfiguration'],
  ['CDS', 'cluster.v3.Cluster'],
  ['EDS', 'endpoint.v3.ClusterLoadAssignment'],
] as const;

const WORDS = { synced: 'SYNCED', pushing: 'STALE', waiting: 'STALE', rejected: 'NACKED' } as const;

/** A row for each proxy, the reasons of refusals below, and what is wrong with the config. */
export function formatStatus({ control, proxies, findings }: MeshStatus, paint: Paint): string {
  const sorted = proxies.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  const rows = sorted.map((proxy) => [
    nameOf(proxy),
    proxy.node.kind,
    ...COLUMNS.map(([, suffix]) => stateOf(proxy, suffix)),
    proxy.node.userAgent,
  ]);
  const header = ['PROXY', 'KIND', ...COLUMNS.map(([name]) => name), 'VERSION'];
  const colour = (cell: string, text: string): string => {
    if (cell === 'SYNCED') return paint.good(text);
    if (cell === 'STALE') return paint.warn(text);
    return cell === 'NACKED' ? paint.bad(text) : text;
  };
  const refusals = sorted.flatMap((proxy) =>
    proxy.types.flatMap(({ typeUrl, nacked, state }) =>
      state === 'rejected'
        ? `${paint.bad('NACKED')} ${nameOf(proxy)} ${shortType(typeUrl)}: ${oneLine(nacked?.reason ?? 'no reason given')}\n`
        : [],
    ),
  );
  const grid =
    rows.length === 0
      ? `no proxy is connected to the control server at ${control}\n`
      : table([header, ...rows], colour);
  return `${grid}${refusals.join('')}\n${summary(findings, sorted)} ${paint.faint(`(control server ${control})`)}\n`;
}

function summary(findings: MeshStatus['findings'], proxies: readonly ProxyState[]): string {
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const warnings = findings.length - errors;
  const wrong =
    findings.length === 0
      ? 'no mistakes in the config'
      : `${count(errors, 'error')}, ${count(warnings, 'warning')} in the config: see \`remora analyze\``;
  return `${count(proxies.length, 'proxy', 'proxies')}; ${wrong}`;
}

function nameOf({ node }: ProxyState): string {
  return node.pod === '' ? node.id || '(no id)' : `${node.pod}.${node.namespace}`;
}

/** `-` for a type that the proxy does not ask for. */
function stateOf({ types }: ProxyState, suffix: string): string {
  const type = types.find(({ typeUrl }) => typeUrl.endsWith(suffix));
  return type === undefined ? '-' : WORDS[type.state];
}

function shortType(url: string): string {
  return COLUMNS.find(([, suffix]) => url.endsWith(suffix))?.[0] ?? url.slice(url.lastIndexOf('.') + 1);
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
