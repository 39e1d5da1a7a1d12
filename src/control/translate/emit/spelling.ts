import type { MeshService } from '../../mesh/service.ts';
import { isAddress } from '../names.ts';
import { domainHost, withPort } from './names.ts';

/** One way to write a service's name. */
export class Spelling {
  /** As a domain without a port. */
  readonly domain: string;
  /** The name, where it is shorter than the full one and may be some other service's full name; null where it cannot. */
  readonly shorter: string | null;
  readonly #name: string;
  #port = -1;
  #ported = '';

  constructor(name: string, shorter: string | null) {
    this.#name = name;
    this.domain = domainHost(name);
    this.shorter = shorter;
  }

  withPort(port: number): string {
    // Most services have one.
    if (port !== this.#port) {
      this.#port = port;
      this.#ported = withPort(this.#name, port);
    }
    return this.#ported;
  }
}

const known = new WeakMap<MeshService, Map<string, readonly Spelling[]>>();

/**
 * Every way to write the service's name: the full one, shorter ones for a Kubernetes service, its addresses. `near`: the
 * caller is in its namespace; `instances`: those that it has have names of their own. The very same texts each time, since
 * all names of the mesh are gone through with every change.
 */
export function spellings(
  service: MeshService,
  domain: string,
  near: boolean,
  instances: boolean,
): readonly Spelling[] {
  let of = known.get(service);
  if (of === undefined) {
    of = new Map();
    known.set(service, of);
  }
  const key = `${domain} ${near} ${instances}`;
  let found = of.get(key);
  if (found === undefined) {
    found = spell(service, domain, near, instances);
    of.set(key, found);
  }
  return found;
}

function spell(service: MeshService, domain: string, near: boolean, instances: boolean): readonly Spelling[] {
  const { host, addresses } = service;
  const names: [string, string | null][] = [[host, null]];
  for (const shorter of shorterNames(host, domain, near)) names.push([shorter, shorter]);
  if (!isAddress(host) && !host.startsWith('*')) names.push([`${host}.`, null]);
  for (const address of addresses) if (isAddress(address)) names.push([address, null]);
  if (instances) for (const [name, shorter] of [...names]) names.push([`*.${name}`, shorter]);
  return names.map(([name, shorter]) => new Spelling(name, shorter));
}

function shorterNames(host: string, domain: string, near: boolean): readonly string[] {
  const suffix = `.svc.${domain}`;
  if (!host.endsWith(suffix) || host.startsWith('*')) return [];
  const short = host.slice(0, -suffix.length);
  const [name = '', space, more] = short.split('.');
  if (space === undefined || more !== undefined) return [];
  return [...(near ? [name] : []), short, `${short}.svc`];
}
