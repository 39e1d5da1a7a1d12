import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { Command, InvalidArgumentError, Option } from 'commander';
import { messageOf, RemoraError } from '../../base/errors.ts';
import { applyRules, type Backend, cleanRules, findBackend, runProgram } from './apply.ts';
import type { InterceptionOptions } from './options.ts';
import { restoreText } from './restore.ts';
import { type Family, type RuleSet, ruleSet } from './rules.ts';

export interface IptablesFlags extends Omit<InterceptionOptions, 'uids' | 'gids' | 'dns' | 'dropInvalid'> {
  readonly uid: readonly number[];
  readonly gid: readonly number[];
  readonly redirectDns?: boolean;
  readonly dnsPort: number;
  readonly dnsServers?: '*' | readonly string[];
  readonly dropInvalid?: boolean;
  readonly ipv6: 'auto' | 'on' | 'off';
  readonly backend: 'auto' | Backend;
  readonly dryRun?: boolean;
  readonly clean?: boolean;
}

export function iptablesCommand(): Command {
  return new Command('iptables')
    .description('capture the traffic of this network namespace: what a pod’s init container does')
    .option('--outbound-port <port>', 'the proxy’s listener for what goes out', port, 15001)
    .option('--inbound-port <port>', 'the proxy’s listener for what comes in', port, 15006)
    .addOption(
      new Option('--inbound-mode <mode>', 'TPROXY keeps the client’s address')
        .choices(['REDIRECT', 'TPROXY'])
        .default('REDIRECT'),
    )
    .option('--uid <ids>', 'users whose traffic is the proxy’s own', numbers, [1337])
    .option('--gid <ids>', 'groups, likewise', numbers, [1337])
    .option('--include-inbound-ports <ports>', 'ports to capture, * all', portsOrAll, '*')
    .option('--exclude-inbound-ports <ports>', 'ports to leave alone', ports, [])
    .option('--include-outbound-ports <ports>', 'ports to capture wherever they go', ports, [])
    .option('--exclude-outbound-ports <ports>', 'ports to leave alone', ports, [])
    .option('--include-outbound-ranges <cidrs>', 'destinations to capture, * all', rangesOrAll, '*')
    .option('--exclude-outbound-ranges <cidrs>', 'destinations to leave alone', ranges, [])
    .option('--exclude-interfaces <names>', 'network interfaces to leave alone', interfaces, [])
    .option('--reroute-interfaces <names>', 'virtual interfaces whose inbound traffic is outbound', interfaces, [])
    .option('--redirect-dns', 'DNS goes to the proxy')
    .option('--dns-port <port>', 'where the proxy answers DNS', port, 15053)
    .option(
      '--dns-servers <cidrs>',
      'capture what goes to these, * all; default: those of /etc/resolv.conf',
      serversOrAll,
    )
    .option('--drop-invalid', 'drop packets that belong to no connection, instead of resetting it')
    .addOption(
      new Option('--ipv6 <when>', 'auto: where there is an address').choices(['auto', 'on', 'off']).default('auto'),
    )
    .addOption(
      new Option('--backend <name>', 'auto: the one in use').choices(['auto', 'nft', 'legacy']).default('auto'),
    )
    .option('--dry-run', 'print what iptables-restore would get, change nothing')
    .option('--clean', 'take the rules away')
    .addHelpText(
      'after',
      '\nExamples:\n  remora iptables --exclude-inbound-ports 15021,15090\n  remora iptables --dry-run --include-outbound-ranges 10.0.0.0/8\n  remora iptables --clean\n\nIt needs root and NET_ADMIN, and may be run again: the rules are the same then.',
    )
    .action(runIptables);
}

function runIptables(flags: IptablesFlags): void {
  const families: Family[] = wantsV6(flags.ipv6) ? ['v4', 'v6'] : ['v4'];
  if (flags.clean) {
    if (flags.dryRun) throw new RemoraError('usage', '--clean takes away what is there: leave --dry-run out');
    findBackend(runProgram);
    cleanRules(['v4', ...(flags.ipv6 === 'off' ? [] : ['v6' as const])], runProgram);
    process.stderr.write('remora: the rules are gone\n');
    return;
  }
  const options = interception(flags);
  const sets = families.map((family) => ruleSet(options, family));
  if (flags.dryRun) {
    process.stdout.write(sets.map(dryRun).join(''));
    return;
  }
  const backend = flags.backend === 'auto' ? findBackend(runProgram) : flags.backend;
  applyRules(sets, backend, options.inboundMode === 'TPROXY', runProgram);
  const what = options.inboundMode === 'TPROXY' ? 'inbound by TPROXY' : `inbound to ${options.inboundPort}`;
  process.stderr.write(
    `remora: captured by iptables-${backend}${families.length > 1 ? ', IPv6 too' : ''}: outbound to ${options.outboundPort}, ${what}\n`,
  );
}

export function dryRun(set: RuleSet): string {
  return `# ${set.family === 'v4' ? 'iptables' : 'ip6tables'}-restore --noflush\n${restoreText(set, '')}`;
}

export function interception(flags: IptablesFlags, resolvConf = '/etc/resolv.conf'): InterceptionOptions {
  if (flags.uid.length + flags.gid.length === 0)
    throw new RemoraError('usage', 'without --uid or --gid the proxy’s own traffic would come back to it');
  if (flags.outboundPort === flags.inboundPort)
    throw new RemoraError(
      'usage',
      `--outbound-port and --inbound-port are both ${flags.outboundPort}: the proxy has a listener for each`,
    );
  return {
    ...flags,
    uids: flags.uid,
    gids: flags.gid,
    dropInvalid: flags.dropInvalid === true,
    dns: flags.redirectDns ? { port: flags.dnsPort, servers: flags.dnsServers ?? nameservers(resolvConf) } : null,
  };
}

/** As CIDRs. */
export function nameservers(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new RemoraError('resolv_conf', `cannot read ${path}: ${messageOf(error)}; name servers with --dns-servers`);
  }
  const addresses = [...text.matchAll(/^\s*nameserver\s+([^\s#;%]+)/gm)].map(([, address]) => address!);
  return addresses.flatMap((address) => (isIP(address) === 0 ? [] : [`${address}/${isIP(address) === 4 ? 32 : 128}`]));
}

function wantsV6(when: IptablesFlags['ipv6']): boolean {
  if (when !== 'auto') return when === 'on';
  const addresses = Object.values(networkInterfaces()).flatMap((one) => one ?? []);
  return addresses.some(
    ({ family, internal, address }) => family === 'IPv6' && !internal && !/^fe[89ab]/i.test(address),
  );
}

// === what flags may say ===

function list(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function port(text: string): number {
  const number = Number(text);
  if (!/^\d{1,5}$/.test(text) || number < 1 || number > 65535)
    throw new InvalidArgumentError(`${JSON.stringify(text)} is no port, 1 to 65535`);
  return number;
}

function ports(text: string): number[] {
  return [...new Set(list(text).map(port))];
}

function portsOrAll(text: string): '*' | number[] {
  return text.trim() === '*' ? '*' : ports(text);
}

function numbers(text: string): number[] {
  return list(text).map((item) => {
    if (!/^\d{1,10}$/.test(item))
      throw new InvalidArgumentError(
        `${JSON.stringify(item)} is no number of a user or group: names are not looked up`,
      );
    return Number(item);
  });
}

function ranges(text: string): string[] {
  return list(text).map((item) => {
    const [address = '', bits = '', ...rest] = item.split('/');
    const most = isIP(address) === 4 ? 32 : isIP(address) === 6 ? 128 : -1;
    if (rest.length > 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > most)
      throw new InvalidArgumentError(`${item} is no CIDR, such as 10.0.0.0/8`);
    return item;
  });
}

function rangesOrAll(text: string): '*' | string[] {
  return text.trim() === '*' ? '*' : ranges(text);
}

function serversOrAll(text: string): '*' | string[] {
  return text.trim() === '*'
    ? '*'
    : ranges(
        list(text)
          .map((item) => (item.includes('/') ? item : `${item}/${isIP(item) === 6 ? 128 : 32}`))
          .join(','),
      );
}

function interfaces(text: string): string[] {
  return list(text).map((item) => {
    if (!/^[A-Za-z0-9][\w.@-]{0,14}$/.test(item)) throw new InvalidArgumentError(`${item} is no name of an interface`);
    return item;
  });
}
