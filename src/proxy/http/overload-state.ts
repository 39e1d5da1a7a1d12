import type { ConnectionManager } from './connection-manager.ts';

/** What is shed at this moment, each a share from 0 (nothing) to 1 (all). Read at each request, so it is plain numbers. */
export interface OverloadState {
  /** Requests answered with 503. */
  readonly requests: number;
  /** Responses after which the connection closes. */
  readonly keepAlive: number;
}

/** For what bypasses the overload manager, and where there is none. */
export const NO_OVERLOAD: OverloadState = Object.freeze({ requests: 0, keepAlive: 0 });

/** Whether a request is to be shed, counted. */
export function shedsRequest({ overload, env, stats }: ConnectionManager): boolean {
  if (env.random.next() >= overload.requests) return false;
  stats.count(stats.overloadShed);
  return true;
}

/** Whether a connection is to close after the response, counted. */
export function shedsKeepAlive({ overload, env, stats }: ConnectionManager): boolean {
  if (env.random.next() >= overload.keepAlive) return false;
  stats.count(stats.overloadKeepAlive);
  return true;
}
