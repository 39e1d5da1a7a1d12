import { isIP } from '../../base/ip.ts';
import type { NameEntry, NameTable } from '../../model/name-table.ts';
import { Problems, typeUrl, unpack } from '../proto/codec.ts';
import * as nds from '../proto/gen/istio/networking/nds/v1.ts';
import type { ResourceType } from './resource-type.ts';

const MAX_HOST = 255;
const KUBERNETES = 'Kubernetes';
const NO_DEPENDENCIES = { clusters: [], routes: [], endpoints: [] };

/**
 * Names for the DNS proxy (Istio's NDS). A table has no name of its own: istiod sends one with everything, our control
 * server one a host, and in SotW a table of one host is called as it. A host without an address that can be read is left
 * out and said; fields of newer versions are passed over, since names have to be answered all the same.
 */
export const NAME_TABLE: ResourceType<NameTable> = {
  typeUrl: typeUrl(nds.NameTable),
  unnamed: true,
  decode(any) {
    const problems = new Problems();
    const message = unpack(any, nds.NameTable, problems, '');
    const errors = problems.list.filter(({ reason }) => !reason.startsWith('unknown field number'));
    if (message === undefined || errors.length > 0) return { ok: false, errors, warnings: [] };
    const warnings = new Problems();
    const entries: NameEntry[] = [];
    const table = message.table ?? {};
    const hosts = Object.keys(table);
    for (const host of hosts) {
      const entry = readEntry(host, table[host] ?? {}, warnings);
      if (entry !== null) entries.push(entry);
    }
    const name = hosts.length === 1 ? (hosts[0] ?? '') : '';
    return { ok: true, name, resource: { entries }, warnings: warnings.list, dependencies: NO_DEPENDENCIES };
  },
};

function readEntry(host: string, info: nds.NameTable_NameInfo, warnings: Problems): NameEntry | null {
  const path = `table[${JSON.stringify(host.slice(0, MAX_HOST))}]`;
  if (host === '' || host.length > MAX_HOST) {
    warnings.add(path, 'is not a host, and left out');
    return null;
  }
  const { ips = [], registry = '', shortname = '', namespace = '', alt_hosts = [] } = info;
  const addresses = ips.filter((ip) => isIP(ip) !== 0);
  if (addresses.length === 0) {
    warnings.add(`${path}.ips`, 'has no IP address, so the host is left out');
    return null;
  }
  const isService = registry === KUBERNETES && shortname !== '' && namespace !== '';
  return {
    host: bare(host),
    addresses,
    aliases: alt_hosts.map(bare),
    service: isService ? { name: shortname.toLowerCase(), namespace } : null,
  };
}

function bare(host: string): string {
  return host.toLowerCase().replace(/\.$/, '');
}
