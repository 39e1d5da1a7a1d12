import type { SpiffeIdentity } from '../../base/spiffe.ts';

/** What is known of whoever makes a call, before anybody believed any of it but the transport. */
export interface CallFacts {
  /** `address:port` */
  readonly peer: string;
  /** It came by TLS. */
  readonly secure: boolean;
  /** It came from this machine. */
  readonly loopback: boolean;
  /** The bearer token it carries; '' none. */
  readonly token: string;
  /** Of a client certificate of ours that is still valid; null: none. */
  readonly certificate: SpiffeIdentity | null;
}

/** `local`: a process of this server's own user, who may be whoever it says. */
export type Caller = SpiffeIdentity | 'local';

/** Finds out who calls; rejects with CallRefused. */
export type Authenticate = (call: CallFacts) => Promise<Caller>;

export type RefusalCode = 'UNAUTHENTICATED' | 'PERMISSION_DENIED' | 'INVALID_ARGUMENT' | 'UNAVAILABLE';

/** Why a call is not served; the message goes to the caller. */
export class CallRefused extends Error {
  readonly code: RefusalCode;

  constructor(code: RefusalCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** One more method beside ADS: a message in, a message out. */
export interface UnaryMethod {
  /** `/package.Service/Method` */
  readonly path: string;
  handle(request: Uint8Array, call: CallFacts): Promise<Uint8Array>;
}
