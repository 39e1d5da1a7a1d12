import type { SocketAddress } from '../../model/address.ts';
import { type ResolvConf, readResolvConf } from '../../protocol/dns/resolv-conf.ts';
import type { Bootstrap } from '../../xds/bootstrap/bootstrap.ts';
import { parseNodeId } from '../../xds/bootstrap/node.ts';
import { DnsProxy } from '../dns/dns-proxy.ts';
import type { ProxyEnvironment } from './environment.ts';

/** DNS for the program beside the proxy. */
export interface DnsOptions {
  readonly addresses: readonly SocketAddress[];
  /** The text of the pod's resolv.conf. */
  readonly resolvConf: string;
  /** Where its servers listen; 53. */
  readonly serverPort?: number;
}

/** Listens; names come with discovery. Loaded only by a proxy that was asked for it. */
export async function startDns(options: DnsOptions, { node }: Bootstrap, env: ProxyEnvironment): Promise<DnsProxy> {
  const log = env.log.child('dns');
  const resolvConf: ResolvConf = readResolvConf(options.resolvConf);
  if (resolvConf.servers.length === 0) log.warn('resolv.conf names no server: only names of the mesh can be resolved');
  const { namespace, domain } = whoIs(node.id);
  const { clock, random, stats, sockets } = env;
  const proxy = new DnsProxy({ ...options, resolvConf, namespace, domain, clock, random, log, stats, sockets });
  await proxy.start();
  return proxy;
}

/** `default.svc.cluster.local` in the node's id: the namespace, and the domain of all Services. */
function whoIs(id: string): { namespace: string; domain: string } {
  const { namespace = '', domain = '' } = parseNodeId(id) ?? {};
  return { namespace, domain: domain.startsWith(`${namespace}.`) ? domain.slice(namespace.length + 1) : domain };
}
