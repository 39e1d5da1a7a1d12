import type { Duplex } from 'node:stream';

/** A connection that may be written to: TCP that connects, or TLS whose other end has been verified. */
export interface Dialled {
  readonly socket: Duplex;
  readonly secure: boolean;
  /** Request headers that prove who calls, names in lower case. */
  readonly metadata: readonly (readonly [name: string, value: string])[];
}

/** Opens a connection to `host:port`; calls one of the two back once, later. Returns what gives it up. */
export type Dial = (target: string, ready: (connection: Dialled) => void, failed: (error: Error) => void) => () => void;
