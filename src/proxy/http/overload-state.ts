/** What is shed at this moment, each a share from 0 (nothing) to 1 (all). Read at each request, so it is plain numbers. */
export interface OverloadState {
  /** Requests answered with 503. */
  readonly requests: number;
  /** Responses after which the connection closes. */
  readonly keepAlive: number;
}

/** For what bypasses the overload manager, and where there is none. */
export const NO_OVERLOAD: OverloadState = Object.freeze({ requests: 0, keepAlive: 0 });
