/** What `/etc/resolv.conf` says (resolv.conf(5)); what it does not say is the C library's default. */
export interface ResolvConf {
  /** Addresses, IPv6 ones without brackets. */
  readonly servers: readonly string[];
  /** Lower case, without dots at the end. */
  readonly search: readonly string[];
  readonly timeoutS: number;
  readonly attempts: number;
}

const MAX_SEARCH = 32;
const MAX_SERVERS = 8;

export function readResolvConf(text: string): ResolvConf {
  const servers: string[] = [];
  let search: string[] = [];
  let timeoutS = 5;
  let attempts = 2;
  for (const line of text.split('\n')) {
    const [word = '', ...rest] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/);
    if (word === 'nameserver' && rest[0] !== undefined && servers.length < MAX_SERVERS) servers.push(rest[0]);
    // The last of both lines counts.
    else if (word === 'search' || word === 'domain')
      search = rest
        .slice(0, MAX_SEARCH)
        .map(bare)
        .filter((name) => name !== '');
    else if (word === 'options') {
      for (const option of rest) {
        const [name = '', value = ''] = option.split(':', 2);
        if (!/^\d{1,3}$/.test(value)) continue;
        if (name === 'timeout') timeoutS = clamp(Number(value), 30);
        else if (name === 'attempts') attempts = clamp(Number(value), 5);
      }
    }
  }
  return { servers, search, timeoutS, attempts };
}

function bare(name: string): string {
  return name.toLowerCase().replace(/\.+$/, '');
}

function clamp(value: number, most: number): number {
  return Math.max(1, Math.min(most, value));
}
