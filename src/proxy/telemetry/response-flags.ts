/**
 * Why a response is what it is, as Envoy's response flags (envoy/stream_info/stream_info.h). A stream
 * collects them in one integer; the access log and metrics print the short names.
 */
export const ResponseFlag = {
  FailedLocalHealthCheck: 1 << 0,
  NoHealthyUpstream: 1 << 1,
  UpstreamRequestTimeout: 1 << 2,
  LocalReset: 1 << 3,
  UpstreamRemoteReset: 1 << 4,
  UpstreamConnectionFailure: 1 << 5,
  UpstreamConnectionTermination: 1 << 6,
  UpstreamOverflow: 1 << 7,
  NoRouteFound: 1 << 8,
  DelayInjected: 1 << 9,
  FaultInjected: 1 << 10,
  RateLimited: 1 << 11,
  UnauthorizedExternalService: 1 << 12,
  RateLimitServiceError: 1 << 13,
  DownstreamConnectionTermination: 1 << 14,
  UpstreamRetryLimitExceeded: 1 << 15,
  StreamIdleTimeout: 1 << 16,
  InvalidEnvoyRequestHeaders: 1 << 17,
  DownstreamProtocolError: 1 << 18,
  UpstreamMaxStreamDurationReached: 1 << 19,
  DurationTimeout: 1 << 20,
  UpstreamProtocolError: 1 << 21,
  NoClusterFound: 1 << 22,
  OverloadManagerTerminated: 1 << 23,
} as const;

const NAMES: readonly (readonly [flag: number, short: string, long: string])[] = [
  [ResponseFlag.FailedLocalHealthCheck, 'LH', 'FailedLocalHealthCheck'],
  [ResponseFlag.NoHealthyUpstream, 'UH', 'NoHealthyUpstream'],
  [ResponseFlag.UpstreamRequestTimeout, 'UT', 'UpstreamRequestTimeout'],
  [ResponseFlag.LocalReset, 'LR', 'LocalReset'],
  [ResponseFlag.UpstreamRemoteReset, 'UR', 'UpstreamRemoteReset'],
  [ResponseFlag.UpstreamConnectionFailure, 'UF', 'UpstreamConnectionFailure'],
  [ResponseFlag.UpstreamConnectionTermination, 'UC', 'UpstreamConnectionTermination'],
  [ResponseFlag.UpstreamOverflow, 'UO', 'UpstreamOverflow'],
  [ResponseFlag.NoRouteFound, 'NR', 'NoRouteFound'],
  [ResponseFlag.DelayInjected, 'DI', 'DelayInjected'],
  [ResponseFlag.FaultInjected, 'FI', 'FaultInjected'],
  [ResponseFlag.RateLimited, 'RL', 'RateLimited'],
  [ResponseFlag.UnauthorizedExternalService, 'UAEX', 'UnauthorizedExternalService'],
  [ResponseFlag.RateLimitServiceError, 'RLSE', 'RateLimitServiceError'],
  [ResponseFlag.DownstreamConnectionTermination, 'DC', 'DownstreamConnectionTermination'],
  [ResponseFlag.UpstreamRetryLimitExceeded, 'URX', 'UpstreamRetryLimitExceeded'],
  [ResponseFlag.StreamIdleTimeout, 'SI', 'StreamIdleTimeout'],
  [ResponseFlag.InvalidEnvoyRequestHeaders, 'IH', 'InvalidEnvoyRequestHeaders'],
  [ResponseFlag.DownstreamProtocolError, 'DPE', 'DownstreamProtocolError'],
  [ResponseFlag.UpstreamMaxStreamDurationReached, 'UMSDR', 'UpstreamMaxStreamDurationReached'],
  [ResponseFlag.DurationTimeout, 'DT', 'DurationTimeout'],
  [ResponseFlag.UpstreamProtocolError, 'UPE', 'UpstreamProtocolError'],
  [ResponseFlag.NoClusterFound, 'NC', 'NoClusterFound'],
  [ResponseFlag.OverloadManagerTerminated, 'OM', 'OverloadManagerTerminated'],
];

const shortByMask = new Map<number, string>([[0, '-']]);

/** The flags as the access log prints them: short names joined by commas, `-` for none. */
export function formatResponseFlags(flags: number): string {
  let text = shortByMask.get(flags);
  if (text === undefined) {
    text = join(flags, 1);
    // Few combinations occur; a hostile mix of many cannot grow the map without bound.
    if (shortByMask.size < 256) shortByMask.set(flags, text);
  }
  return text;
}

/** The flags by their long names, for `%RESPONSE_FLAGS_LONG%`. */
export function formatResponseFlagsLong(flags: number): string {
  return flags === 0 ? '-' : join(flags, 2);
}

/** The bit of a short name (`UF`), or undefined. */
export function responseFlagByName(short: string): number | undefined {
  return NAMES.find((entry) => entry[1] === short)?.[0];
}

function join(flags: number, column: 1 | 2): string {
  return NAMES.filter((entry) => (flags & entry[0]) !== 0)
    .map((entry) => entry[column])
    .join(',');
}
