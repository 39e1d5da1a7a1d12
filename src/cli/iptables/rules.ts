import type { InterceptionOptions } from './options.ts';

export type Family = 'v4' | 'v6';
export type Table = 'raw' | 'mangle' | 'nat';

/** What one family's tables are to hold. Chains of our own, and one jump to each from a chain of the kernel's. */
export interface RuleSet {
  readonly family: Family;
  readonly tables: ReadonlyMap<Table, TableRules>;
}

export interface TableRules {
  /** Each of our chains with its rules, without `-A CHAIN`. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** `PREROUTING -p tcp -j ISTIO_INBOUND`, without `-A`. */
  readonly jumps: readonly string[];
}

/** Every chain that is ours, for cleaning up; Istio's names, which people and tools look for. */
export const CHAINS: Readonly<Record<Table, readonly string[]>> = {
  raw: ['ISTIO_OUTPUT_DNS', 'ISTIO_INBOUND'],
  mangle: ['ISTIO_INBOUND', 'ISTIO_TPROXY', 'ISTIO_DIVERT', 'ISTIO_PREROUTING', 'ISTIO_OUTPUT', 'ISTIO_DROP'],
  nat: ['ISTIO_INBOUND', 'ISTIO_OUTPUT', 'ISTIO_OUTPUT_DNS', 'ISTIO_REDIRECT', 'ISTIO_IN_REDIRECT'],
};

/** Inbound packets that are the proxy's; what the proxy sends to its own pod. As in Istio. */
export const TPROXY_MARK = '1337';
const OUTBOUND_MARK = '1338';
/** The routing table that delivers marked packets here. */
export const TPROXY_TABLE = '133';

/** Where the application itself is called from, past these rules: inbound connections, probes. */
const PASS = { v4: '127.0.0.6/32', v6: '::6/128' } as const;
const LOOPBACK = { v4: '127.0.0.1/32', v6: '::1/128' } as const;

/** The rules of one family. Pure; the order of rules is their meaning. */
export function ruleSet(options: InterceptionOptions, family: Family): RuleSet {
  const nat = new Builder();
  const mangle = new Builder();
  const raw = new Builder();
  const transparent = options.inboundMode === 'TPROXY';
  if (options.dropInvalid) {
    mangle.rule('ISTIO_DROP', '-j DROP');
    mangle.jump('PREROUTING -m conntrack --ctstate INVALID -j ISTIO_DROP');
  }
  inbound(options, transparent ? mangle : nat, transparent ? 'ISTIO_TPROXY' : 'ISTIO_IN_REDIRECT', family);
  if (transparent) tproxy(options, mangle, family);
  nat.rule('ISTIO_REDIRECT', `-p tcp -j REDIRECT --to-ports ${options.outboundPort}`);
  nat.rule('ISTIO_IN_REDIRECT', `-p tcp -j REDIRECT --to-ports ${options.inboundPort}`);
  if (options.dns !== null) dns(options, nat, raw, family);
  outbound(options, nat, family, transparent);
  const tables = new Map<Table, TableRules>();
  for (const [table, builder] of [
    ['raw', raw],
    ['mangle', mangle],
    ['nat', nat],
  ] as const)
    if (builder.chains.size > 0) tables.set(table, builder);
  return { family, tables };
}

function inbound(options: InterceptionOptions, table: Builder, target: string, family: Family): void {
  const { includeInboundPorts: include } = options;
  for (const name of options.rerouteInterfaces) rerouted(options, table, name, family, target);
  if (include !== '*' && include.length === 0) return;
  for (const name of options.excludeInterfaces) table.rule('ISTIO_INBOUND', `-i ${name} -j RETURN`);
  const divert = (match: string): void => {
    if (target === 'ISTIO_TPROXY')
      table.rule('ISTIO_INBOUND', `-p tcp${match} -m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT`);
    table.rule('ISTIO_INBOUND', `-p tcp${match} -j ${target}`);
  };
  if (target === 'ISTIO_TPROXY') {
    // What the proxy itself sends, marked, must not come back to it.
    table.rule('ISTIO_INBOUND', `-p tcp -m mark --mark ${TPROXY_MARK} -j RETURN`);
    table.rule('ISTIO_INBOUND', `-s ${PASS[family]} -i lo -p tcp -j RETURN`);
    // The application that calls itself by its pod's address.
    table.rule('ISTIO_INBOUND', `-i lo -p tcp -m mark ! --mark ${OUTBOUND_MARK} -j RETURN`);
  }
  if (include === '*') {
    for (const port of options.excludeInboundPorts) table.rule('ISTIO_INBOUND', `-p tcp --dport ${port} -j RETURN`);
    divert('');
  } else {
    for (const port of include) divert(` --dport ${port}`);
  }
  table.jump('PREROUTING -p tcp -j ISTIO_INBOUND');
}

/** What guests behind a virtual interface send goes out as the pod's own does. */
function rerouted(options: InterceptionOptions, table: Builder, name: string, family: Family, target: string): void {
  // Redirecting is nat's: with TPROXY the guests' traffic is not captured.
  if (target !== 'ISTIO_TPROXY') {
    const include = options.includeOutboundRanges;
    if (include === '*') table.rule('ISTIO_INBOUND', `-i ${name} -p tcp -j ISTIO_REDIRECT`);
    else
      for (const range of ofFamily(include, family))
        table.rule('ISTIO_INBOUND', `-d ${range} -i ${name} -p tcp -j ISTIO_REDIRECT`);
  }
  table.rule('ISTIO_INBOUND', `-i ${name} -j RETURN`);
  table.jump('PREROUTING -p tcp -j ISTIO_INBOUND');
}

function tproxy(options: InterceptionOptions, mangle: Builder, family: Family): void {
  mangle.rule('ISTIO_DIVERT', `-j MARK --set-mark ${TPROXY_MARK}`);
  mangle.rule('ISTIO_DIVERT', '-j ACCEPT');
  mangle.rule(
    'ISTIO_TPROXY',
    `! -d ${LOOPBACK[family]} -p tcp -j TPROXY --on-port ${options.inboundPort} --tproxy-mark ${TPROXY_MARK}/0xffffffff`,
  );
  // The mark of a connection that the proxy opened with the client's address is put on its answers.
  mangle.rule('ISTIO_PREROUTING', `-p tcp -m mark --mark ${TPROXY_MARK} -j CONNMARK --save-mark`);
  mangle.jump('PREROUTING -p tcp -j ISTIO_PREROUTING');
  for (const name of options.excludeInterfaces) mangle.rule('ISTIO_OUTPUT', `-o ${name} -j RETURN`);
  mangle.rule('ISTIO_OUTPUT', `-o lo -p tcp -m mark --mark ${TPROXY_MARK} -j RETURN`);
  for (const owner of owners(options))
    mangle.rule(
      'ISTIO_OUTPUT',
      `! -d ${LOOPBACK[family]} -o lo -p tcp -m owner ${owner} -j MARK --set-mark ${OUTBOUND_MARK}`,
    );
  mangle.rule('ISTIO_OUTPUT', `-p tcp -m connmark --mark ${TPROXY_MARK} -j CONNMARK --restore-mark`);
  mangle.jump('OUTPUT -p tcp -j ISTIO_OUTPUT');
}

function outbound(options: InterceptionOptions, nat: Builder, family: Family, transparent: boolean): void {
  const rule = (text: string): void => nat.rule('ISTIO_OUTPUT', text);
  const loopback = LOOPBACK[family];
  const { includeOutboundRanges: include, dns: capture } = options;
  for (const name of options.excludeInterfaces) rule(`-o ${name} -j RETURN`);
  for (const port of options.excludeOutboundPorts) {
    rule(`-p tcp --dport ${port} -j RETURN`);
    rule(`-p udp --dport ${port} -j RETURN`);
  }
  rule(`-s ${PASS[family]} -o lo -j RETURN`);
  const notDns = capture === null ? '' : ' ! --dport 53';
  // The application that calls a Service which is itself: its proxy sends to its own pod, and that is inbound.
  // With TPROXY the mark above does that.
  if (!transparent)
    for (const owner of owners(options))
      rule(`! -d ${loopback} -o lo -p tcp${notDns} -m owner ${owner} -j ISTIO_IN_REDIRECT`);
  // The application that calls itself by its pod's address; unless loopback was asked for by name.
  const wantsLoopback =
    include !== '*' && include.some((range) => range.startsWith('127.') || range.startsWith('::1/'));
  if (!wantsLoopback) {
    const others = owners(options).map((owner) => `-m owner ! ${owner}`);
    rule(`-o lo${capture === null ? '' : ' -p tcp ! --dport 53'} ${others.join(' ')} -j RETURN`);
  }
  // No loops: what the proxy sends goes where it is sent, whatever it is.
  for (const owner of owners(options)) rule(`-m owner ${owner} -j RETURN`);
  if (capture !== null) rule('-j ISTIO_OUTPUT_DNS');
  rule(`-d ${loopback} -j RETURN`);
  for (const range of ofFamily(options.excludeOutboundRanges, family)) rule(`-d ${range} -j RETURN`);
  for (const port of options.includeOutboundPorts) rule(`-p tcp --dport ${port} -j ISTIO_REDIRECT`);
  if (include === '*') rule('-j ISTIO_REDIRECT');
  else for (const range of ofFamily(include, family)) rule(`-d ${range} -j ISTIO_REDIRECT`);
  nat.jump('OUTPUT -j ISTIO_OUTPUT');
}

/**
 * DNS goes to the proxy; to servers by name, so that what a local resolver asks further does not come back. The
 * conntrack zones keep the application's question and the proxy's own, from the same port perhaps, apart.
 */
function dns(options: InterceptionOptions, nat: Builder, raw: Builder, family: Family): void {
  const { port, servers } = options.dns!;
  const named = servers === '*' ? [''] : ofFamily(servers, family);
  const to = (server: string): string => (server === '' ? '' : ` -d ${server}`);
  const from = (server: string): string => (server === '' ? '' : ` -s ${server}`);
  for (const protocol of ['tcp', 'udp'])
    for (const server of named)
      nat.rule('ISTIO_OUTPUT_DNS', `${to(server)} -p ${protocol} --dport 53 -j REDIRECT --to-ports ${port}`.trim());
  if (named.length === 0) nat.chain('ISTIO_OUTPUT_DNS');
  for (const owner of owners(options)) {
    raw.rule('ISTIO_OUTPUT_DNS', `-p udp --dport 53 -m owner ${owner} -j CT --zone 1`);
    raw.rule('ISTIO_OUTPUT_DNS', `-p udp --sport ${port} -m owner ${owner} -j CT --zone 2`);
  }
  for (const server of named) {
    raw.rule('ISTIO_OUTPUT_DNS', `${to(server)} -p udp --dport 53 -j CT --zone 2`.trim());
    raw.rule('ISTIO_INBOUND', `${from(server)} -p udp --sport 53 -j CT --zone 1`.trim());
  }
  raw.jump('OUTPUT -p udp -j ISTIO_OUTPUT_DNS');
  if (named.length > 0) raw.jump('PREROUTING -p udp -j ISTIO_INBOUND');
}

/** Whose traffic is the proxy's. */
function owners({ uids, gids }: InterceptionOptions): string[] {
  return [...uids.map((uid) => `--uid-owner ${uid}`), ...gids.map((gid) => `--gid-owner ${gid}`)];
}

function ofFamily(ranges: readonly string[], family: Family): string[] {
  return ranges.filter((range) => range.includes(':') === (family === 'v6'));
}

class Builder implements TableRules {
  readonly chains = new Map<string, string[]>();
  readonly jumps: string[] = [];

  chain(name: string): string[] {
    const rules = this.chains.get(name) ?? [];
    this.chains.set(name, rules);
    return rules;
  }
  rule(chain: string, rule: string): void {
    this.chain(chain).push(rule);
  }
  jump(rule: string): void {
    if (!this.jumps.includes(rule)) this.jumps.push(rule);
  }
}
