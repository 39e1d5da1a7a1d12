import type { Socket } from 'node:net';
import { plainAddress } from '../http/addresses.ts';
import type { ChainInput } from './filter-chain.ts';
import type { ConnectionFacts } from './listener-filters.ts';

/** Of a connection that another listener handed on. */
export type AcceptedFacts = ConnectionFacts & { readonly handedOn?: boolean };

/** What the kernel knows of an accepted connection. */
export function factsOf(socket: Socket): AcceptedFacts {
  const remote = { host: plainAddress(socket.remoteAddress), port: socket.remotePort ?? 0 };
  return {
    directRemote: remote,
    remote,
    local: { host: plainAddress(socket.localAddress), port: socket.localPort ?? 0 },
    restored: false,
    serverName: '',
    transportProtocol: '',
    applicationProtocols: NO_PROTOCOLS,
  };
}

/** As filter chains are chosen by it. */
export function inputOf(facts: ConnectionFacts): ChainInput {
  return {
    destinationAddress: facts.local.host,
    destinationPort: facts.local.port,
    serverName: facts.serverName,
    transportProtocol: facts.transportProtocol,
    applicationProtocols: facts.applicationProtocols,
    directSource: facts.directRemote.host,
    source: facts.remote.host,
    sourcePort: facts.remote.port,
  };
}

/** 'close' follows. */

const NO_PROTOCOLS: readonly string[] = [];
