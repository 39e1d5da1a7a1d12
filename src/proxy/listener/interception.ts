import type { Server, Socket } from 'node:net';
import type { Logger } from '../../base/log.ts';
import type { SocketAddress } from '../../model/address.ts';
import type { Listener as ListenerConfig } from '../../model/listener.ts';
import { plainAddress } from '../http/addresses.ts';
import { bindError } from './bind-error.ts';
import { factsOf } from './connection-facts.ts';
import type { NoOriginalDestinations, OriginalDestinations } from './original-dst.ts';

export interface InterceptionEnvironment {
  readonly log: Logger;
  /** Where redirected connections were meant to go; loaded when a listener first asks. */
  originalDestinations(): OriginalDestinations | NoOriginalDestinations;
}

/** What a listener asks of the kernel whose connections were meant for others. */
export class Interception {
  readonly #name: string;
  readonly #env: InterceptionEnvironment;
  #said = false;

  constructor(name: string, env: InterceptionEnvironment) {
    this.#name = name;
    this.#env = env;
  }

  /** Throws where the kernel cannot be asked: who only hands on, or takes any address, would be of no use. */
  check({ useOriginalDst, transparent, addresses }: ListenerConfig): void {
    if (!useOriginalDst && !transparent) return;
    const destinations = this.#env.originalDestinations();
    if (!('reason' in destinations)) return;
    const field = useOriginalDst ? 'use_original_dst' : 'transparent';
    throw bindError(this.#name, addresses[0]!, new Error(`${field}: ${destinations.reason}`));
  }

  /** Lets a bound server take connections to any address, where it should; throws where it may not. */
  open(server: Server, address: SocketAddress, { transparent }: ListenerConfig): void {
    if (!transparent) return;
    const destinations = this.#env.originalDestinations();
    if ('reason' in destinations || destinations.makeTransparent(server)) return;
    throw bindError(this.#name, address, new Error('transparent needs the capability NET_ADMIN or NET_RAW'));
  }

  destinationOf(socket: Socket, { transparent }: ListenerConfig): SocketAddress | null {
    const destinations = this.#env.originalDestinations();
    if ('reason' in destinations) {
      this.#say(destinations.reason);
      return null;
    }
    const destination = destinations.of(socket);
    if (destination !== null) return { host: plainAddress(destination.host), port: destination.port };
    // By TPROXY the connection has the address that the client wanted.
    return transparent ? factsOf(socket).local : null;
  }

  /** Once: it is right where nothing is redirected. */
  #say(reason: string): void {
    if (this.#said) return;
    this.#said = true;
    this.#env.log.warn(
      `listener ${this.#name}: original destinations are not known: the address that a client connects to is taken; ${reason}`,
    );
  }
}
