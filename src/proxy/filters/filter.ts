import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { SharedCounts } from '../../base/shared-counts.ts';
import type { TimerWheel } from '../../base/timer-wheel.ts';
import type { Headers } from '../../protocol/http/headers.ts';
import type { RequestHead, ResponseHead } from '../../protocol/http/message.ts';
import type { Problems } from '../../xds/proto/codec.ts';
import type { Stats } from '../telemetry/metrics/store.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';

/** What a head hook answers. */
export const FilterResult = {
  /** Go on with the next filter. */
  Next: 0,
  /** Hold the stream here; the filter calls `stream.resume()` or `stream.reply()` later, once. */
  Wait: 1,
  /** The filter has called `stream.reply()`. */
  Replied: 2,
  /**
   * Hold a request's head until all of its body is there: the filter's `onRequestData` keeps what comes, answering null,
   * and gives it back at the end. Filters behind it see nothing before. For heads with a body only.
   */
  Gather: 3,
} as const;
export type FilterResult = (typeof FilterResult)[keyof typeof FilterResult];

/**
 * The stream as a filter sees it. Valid from `onRequestHead` until `onEnd`; the object serves many
 * requests in turn, so a filter that works in the background keeps `generation` and compares it.
 */
export interface FilterStream {
  readonly request: RequestHead;
  /** Valid from `onResponseHead` on. */
  readonly response: ResponseHead;
  readonly info: StreamInfo;
  /** One slot a filter of the chain, at `context.slot`; undefined at first. */
  readonly slots: unknown[];
  /** Changes with every request that the object serves. */
  readonly generation: number;
  /** Continues a stream that a hook of this filter held with `Wait`. */
  resume(): void;
  /** Answers in the proxy's own name. Ends the request phase; response hooks of filters before this one still run. */
  reply(reply: LocalReply): void;
  /** The request head was changed in a way that may choose another route; the table is asked again. */
  rematch(): void;
}

/** An answer that the proxy makes itself. */
export interface LocalReply {
  readonly status: number;
  readonly body: string;
  /** The body is octets as latin1 characters, not text. */
  readonly octets?: boolean;
  /** Envoy's `response_code_details`, e.g. `fault_filter_abort`. */
  readonly details: string;
  /** {@link ResponseFlag} bits to add. */
  readonly flags: number;
  /** One sentence: why, and what to look at. */
  readonly reason: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** gRPC status for gRPC callers; derived from `status` when absent. */
  readonly grpcStatus?: number;
}

/**
 * What has state that must outlive an edit of something else: tokens of a bucket, faults that go on. When config
 * changes, the new filter (or route config) is shown the one in whose place it comes, before it meets a request, and
 * shares its state if its own config of it is the same. Streams of the old one may go on for long.
 */
export interface Heir {
  /** `previous` has the same name, but may be of any kind. */
  inherit(previous: unknown): void;
}

/**
 * An HTTP filter of one connection manager: made once when config changes, shared by all its streams, so
 * what belongs to a request lives in `stream.slots`. `R` is the filter's per-route config, which may be an
 * {@link Heir} too. Every hook is optional; one that is absent costs nothing. Request hooks run in configured order,
 * response hooks in reverse. `onEnd` runs exactly once for every stream, however it ended, also when no other hook
 * ran for it.
 */
export interface HttpFilter<R = unknown> extends Partial<Heir> {
  /** Its data hooks pass on the very bytes that came: a declared Content-Length stays true. */
  readonly keepsBody?: boolean;
  onRequestHead?(stream: FilterStream, route: R | null): FilterResult;
  /** Gives back the bytes to pass on: the same buffer, another, or null to pass nothing. */
  onRequestData?(stream: FilterStream, chunk: Buffer, end: boolean, route: R | null): Buffer | null;
  onRequestTrailers?(stream: FilterStream, trailers: Headers, route: R | null): void;
  onResponseHead?(stream: FilterStream, route: R | null): FilterResult;
  onResponseData?(stream: FilterStream, chunk: Buffer, end: boolean, route: R | null): Buffer | null;
  onResponseTrailers?(stream: FilterStream, trailers: Headers, route: R | null): void;
  onEnd?(stream: FilterStream): void;
  /** What it does to requests of such a route, for `remora explain`; null when nothing. Never for one that is off. */
  describe?(route: R | null): FilterDescription | null;
}

/** What a filter does, without a request. */
export interface FilterDescription {
  /** In words and numbers, the filter being the subject: `delays 50 % of requests by 2 s`. */
  readonly says: string;
  /** What it does to every request that comes, where it keeps them from their answer; null for nothing of the kind. */
  readonly fault: InjectedFault | null;
}

/** Delays and answers of a filter's own. */
export interface InjectedFault {
  readonly delayMs: number;
  readonly delayPercent: number;
  /** Such as `500`; '' none. */
  readonly abort: string;
  readonly abortPercent: number;
}

/** What a filter may use besides the stream. */
export interface FilterContext {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly random: Random;
  /** Its series live as long as the filter does; for what outlives it (config that managers share) ask `stats.root`. */
  readonly stats: Stats;
  readonly log: Logger;
  /** Numeric or boolean runtime value (layered_runtime), or the default. */
  readonly runtime: RuntimeValues;
  /** Index of this filter's slot in `stream.slots`. */
  readonly slot: number;
  /** The connection manager's `stat_prefix`. */
  readonly statPrefix: string;
  /** What the filter has in common with itself in other workers; absent: this thread is the only one. */
  readonly shared?: SharedPlace | null;
}

/** Numbers that workers share, for one place of the config: a key that begins with it is nobody else's. */
export interface SharedPlace {
  readonly counts: SharedCounts;
  readonly place: string;
}

/** Envoy's runtime: flat keys to values, from the bootstrap's static layers. */
export interface RuntimeValues {
  number(key: string, fallback: number): number;
  boolean(key: string, fallback: boolean): boolean;
}

/** A per-route config as plain data, and made of it again. */
export interface RouteData<R = unknown> {
  plain(config: R): unknown;
  compile(plain: unknown, shared: SharedPlace): R;
}

/** Why a connection of bytes is not let pass. */
export interface Denial {
  /** Envoy's `CONNECTION_TERMINATION_DETAILS`. */
  readonly details: string;
  /** For people. */
  readonly reason: string;
}

/** Asked once for each connection, before anything is dialled for it; null: it may pass. */
export type Admit = (info: StreamInfo) => Denial | null;

/** One kind of filter of connections, before their TCP proxy. Its config is plain data. */
export interface NetworkFilterType<C = unknown> {
  readonly kind: string;
  /** Full proto name of the config. */
  readonly configType: string;
  decode(message: unknown, problems: Problems, warnings: Problems, path: string): C;
  create(config: C, stats: Stats): Admit;
}

/**
 * One kind of filter, as `standard.ts` lists it. `decode` gets the unpacked message and reports what is
 * wrong or not supported into `problems`; what is accepted without effect goes to `warnings`.
 */
export interface HttpFilterType<C = unknown, R = unknown> {
  /** Short name: `fault`, `local_rate_limit`. */
  readonly kind: string;
  /** Full proto name of the config, e.g. `envoy.extensions.filters.http.fault.v3.HTTPFault`. */
  readonly configType: string;
  /** Full proto name of the per-route config; '' when the filter has none. */
  readonly routeConfigType: string;
  decode(message: unknown, problems: Problems, warnings: Problems, path: string): C;
  decodeRoute(message: unknown, problems: Problems, warnings: Problems, path: string): R;
  /** How a route's config travels to another thread; absent: as it is, for it is plain. */
  readonly routeData?: RouteData<R>;
  create(config: C, context: FilterContext): HttpFilter<R>;
}
