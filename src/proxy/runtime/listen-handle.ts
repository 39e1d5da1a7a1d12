import net, { type Server } from 'node:net';
import { loadCLibrary } from '../../base/c-library.ts';
import { RemoraError } from '../../base/errors.ts';
import { isIP } from '../../base/ip.ts';
import type { ListenAddress } from '../io/listen-sockets.ts';

/** A socket that is bound, and that this thread does not accept on. (Node's TCP handle) */
export interface ListenHandle {
  readonly fd: number;
  close(): void;
  /** 0, or libuv's error of the bind too. */
  getsockname(into: { port?: number }): number;
}

/** What Node's cluster makes its sockets with: a handle, or libuv's error. */
type CreateServerHandle = (host: string, port: number, family: 4 | 6, fd: -1, flags: number) => ListenHandle | number;

/** enum uv_tcp_flags */
const IPV6_ONLY = 1;
const REUSE_PORT = 2;

/** Binds a socket of its own for one of those who share the address. Throws with Node's code. */
export function bindShared(address: ListenAddress): { readonly handle: ListenHandle; readonly port: number } {
  return bind(address, REUSE_PORT);
}

/** Throws where somebody else listens already, though he would share. */
export function checkFree(address: ListenAddress): void {
  if (address.port !== 0) bind(address, 0).handle.close();
}

function bind({ host, port, ipv6Only = false }: ListenAddress, flags: number): ReturnType<typeof bindShared> {
  const { _createServerHandle: create } = net as unknown as { readonly _createServerHandle: CreateServerHandle };
  const six = isIP(host) === 6;
  const made = create(host, port, six ? 6 : 4, -1, flags | (six && ipv6Only ? IPV6_ONLY : 0));
  if (typeof made === 'number') throw systemError(made);
  const name: { port?: number } = {};
  // That an address is in use, libuv says here only.
  const error = made.getsockname(name);
  if (error === 0) return { handle: made, port: name.port ?? port };
  made.close();
  throw systemError(error);
}

function systemError(number: number): RemoraError {
  const { getSystemErrorName } = process.getBuiltinModule('node:util');
  const code = getSystemErrorName(number);
  return new RemoraError(code, code, { source: 'user' });
}

/** The handle in the form in which `ListenSockets.keep` takes servers. */
export function asServer(handle: ListenHandle): Server {
  return { _handle: handle } as unknown as Server;
}

/** Another descriptor of a socket: closing one leaves the other. */
export type Duplicate = (fd: number) => number;

/** dup(2), which Node has no call for; null where the C library cannot be called. */
export function loadDuplicate(): Duplicate | null {
  if (process.platform !== 'linux') return null;
  try {
    const c = loadCLibrary();
    if (c === null) return null;
    const dup = c.library.getFunction('dup', { arguments: ['int32'], return: 'int32' });
    return (fd) => {
      const other = dup(fd) as number;
      if (other < 0) throw new RemoraError('EMFILE', 'no descriptor is free');
      return other;
    };
  } catch {
    return null;
  }
}
