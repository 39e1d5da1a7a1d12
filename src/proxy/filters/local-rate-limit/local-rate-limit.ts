import { type Bucket, SharedTokenBucket, TokenBucket } from '../../../base/token-bucket.ts';
import { count, duration } from '../../../base/words.ts';
import type { LocalRateLimit as WireLimit } from '../../../xds/proto/gen/envoy/extensions/filters/http/local_ratelimit/v3.ts';
import type { StatStore, Stats } from '../../telemetry/metrics/store.ts';
import { ResponseFlag } from '../../telemetry/response-flags.ts';
import type { ConnectionInfo, StreamInfo } from '../../telemetry/stream-info.ts';
import {
  type FilterContext,
  type FilterDescription,
  FilterResult,
  type FilterStream,
  type Heir,
  type HttpFilter,
  type HttpFilterType,
  type SharedPlace,
} from '../filter.ts';
import { isEnabled } from '../fraction.ts';
import { HeaderOption } from '../header-option.ts';
import { decodeLocalRateLimit, type LocalRateLimitConfig } from './config.ts';

const RESOURCE_EXHAUSTED = 8;

export const localRateLimit: HttpFilterType<LocalRateLimitConfig, Limit> = {
  kind: 'local_rate_limit',
  configType: 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit',
  routeConfigType: 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit',
  decode: (message, problems, warnings, path) =>
    decodeLocalRateLimit(message as WireLimit, problems, warnings, path, false),
  decodeRoute: (message, problems, warnings, path) =>
    new Limit(decodeLocalRateLimit(message as WireLimit, problems, warnings, path, true)),
  routeData: {
    plain: ({ config }) => config,
    compile: (plain, shared) => new Limit(plain as LocalRateLimitConfig, shared),
  },
  create: (config, context) => new LocalRateLimitFilter(config, context),
};

interface Slots {
  readonly enabled: number;
  readonly ok: number;
  readonly rateLimited: number;
  readonly enforced: number;
}

/**
 * One limit with its bucket: the filter's own, or that of a route or virtual host, where all requests under that
 * config share it, whatever listener they came by.
 */
export class Limit implements Heir {
  readonly config: LocalRateLimitConfig;
  readonly responseHeaders: readonly HeaderOption[];
  readonly requestHeaders: readonly HeaderOption[];
  #shared: Bucket | null;
  #perConnection: WeakMap<ConnectionInfo, Bucket> | null;
  #slots: Slots | null = null;

  /** `among`: where its tokens are shared by workers; null: they are this thread's. */
  constructor(config: LocalRateLimitConfig, among: SharedPlace | null = null) {
    this.config = config;
    this.responseHeaders = config.responseHeaders.map((option) => new HeaderOption(option));
    this.requestHeaders = config.requestHeadersWhenNotEnforced.map((option) => new HeaderOption(option));
    this.#shared = config.perConnection ? null : makeBucket(config, among);
    this.#perConnection = config.perConnection ? new WeakMap() : null;
  }

  /** Tokens stay while the bucket is configured as it was, whatever else is changed. */
  inherit(previous: unknown): void {
    if (!(previous instanceof Limit) || !sameBucket(this.config, previous.config)) return;
    // Those that workers share are found by their place: one that starts later finds them too.
    if (!(this.#shared instanceof SharedTokenBucket)) this.#shared = previous.#shared;
    this.#perConnection = previous.#perConnection;
  }

  /** The bucket a request takes from; null: no limit. */
  bucketFor(info: StreamInfo): Bucket | null {
    if (this.#perConnection === null) return this.#shared;
    let bucket = this.#perConnection.get(info.connection) ?? null;
    if (bucket === null) {
      bucket = makeBucket(this.config, null);
      if (bucket !== null) this.#perConnection.set(info.connection, bucket);
    }
    return bucket;
  }

  slots(stats: Stats): Slots {
    // A route's limit is shared by whatever managers have the route.
    this.#slots ??= makeSlots(stats.root, this.config.statPrefix);
    return this.#slots;
  }
}

function makeBucket({ bucket }: LocalRateLimitConfig, among: SharedPlace | null): Bucket | null {
  if (bucket === null) return null;
  const { maxTokens, tokensPerFill, fillIntervalMs } = bucket;
  if (among === null) return new TokenBucket(maxTokens, tokensPerFill, fillIntervalMs);
  return new SharedTokenBucket(among.counts, among.place, maxTokens, tokensPerFill, fillIntervalMs);
}

function sameBucket(a: LocalRateLimitConfig, b: LocalRateLimitConfig): boolean {
  return (
    a.perConnection === b.perConnection &&
    a.bucket?.maxTokens === b.bucket?.maxTokens &&
    a.bucket?.tokensPerFill === b.bucket?.tokensPerFill &&
    a.bucket?.fillIntervalMs === b.bucket?.fillIntervalMs
  );
}

function makeSlots(stats: StatStore, prefix: string): Slots {
  const counter = (stat: string): number =>
    stats.counter(
      `envoy_http_local_rate_limit_${stat}`,
      { envoy_local_http_ratelimit_prefix: prefix },
      `${prefix}.http_local_rate_limit.${stat}`,
    );
  return {
    enabled: counter('enabled'),
    ok: counter('ok'),
    rateLimited: counter('rate_limited'),
    enforced: counter('enforced'),
  };
}

class LocalRateLimitFilter implements HttpFilter<Limit> {
  readonly #own: Limit;
  readonly #context: FilterContext;

  constructor(config: LocalRateLimitConfig, context: FilterContext) {
    this.#own = new Limit(config, context.shared ?? null);
    this.#context = context;
  }

  inherit(previous: unknown): void {
    if (previous instanceof LocalRateLimitFilter) this.#own.inherit(previous.#own);
  }

  onRequestHead(stream: FilterStream, route: Limit | null): FilterResult {
    const limit = route ?? this.#own;
    const { config } = limit;
    const context = this.#context;
    if (!isEnabled(config.enabled, false, context)) return FilterResult.Next;
    const bucket = limit.bucketFor(stream.info);
    if (bucket === null) return FilterResult.Next;
    const { stats } = context;
    const slots = limit.slots(stats);
    stats.inc(slots.enabled);
    if (config.rateLimitHeaders) stream.slots[context.slot] = bucket;
    if (bucket.take(context.clock.now())) {
      stats.inc(slots.ok);
      return FilterResult.Next;
    }
    stats.inc(slots.rateLimited);
    if (!isEnabled(config.enforced, false, context)) {
      for (const option of limit.requestHeaders) option.apply(stream.request.headers, stream.info);
      return FilterResult.Next;
    }
    stats.inc(slots.enforced);
    this.#refuse(stream, limit);
    return FilterResult.Replied;
  }

  onResponseHead(stream: FilterStream): FilterResult {
    const bucket = stream.slots[this.#context.slot] as Bucket | undefined;
    if (bucket === undefined) return FilterResult.Next;
    const now = this.#context.clock.now();
    const { headers } = stream.response;
    headers.set('x-ratelimit-limit', String(bucket.maxTokens));
    headers.set('x-ratelimit-remaining', String(bucket.remaining(now)));
    headers.set('x-ratelimit-reset', String(Math.ceil(bucket.msUntilFill(now) / 1000)));
    return FilterResult.Next;
  }

  describe(route: Limit | null): FilterDescription | null {
    const { bucket, status, perConnection, enabled, enforced } = (route ?? this.#own).config;
    if (bucket === null || enabled === null || enabled.partsPerMillion === 0) return null;
    const { maxTokens, tokensPerFill, fillIntervalMs } = bucket;
    const rate = `${count(tokensPerFill, 'request')} every ${duration(fillIntervalMs)}, at most ${maxTokens} at once`;
    const where = perConnection ? ' on a connection' : '';
    const refuses = enforced !== null && enforced.partsPerMillion > 0;
    const says = refuses ? `admits ${rate}${where}; beyond that ${status}` : `counts beyond ${rate}${where}`;
    return { says, fault: null };
  }

  #refuse(stream: FilterStream, limit: Limit): void {
    const { config } = limit;
    const { info } = stream;
    const headers: [string, string][] = [];
    for (const option of limit.responseHeaders) {
      const value = option.value(info);
      if (value !== null) headers.push([option.name, value]);
    }
    stream.reply({
      status: config.status,
      body: 'local_rate_limited',
      details: 'local_rate_limited',
      flags: ResponseFlag.RateLimited,
      reason: reasonOf(config, info),
      headers,
      ...(config.resourceExhausted ? { grpcStatus: RESOURCE_EXHAUSTED } : {}),
    });
  }
}

function reasonOf({ bucket, perConnection, statPrefix }: LocalRateLimitConfig, info: StreamInfo): string {
  const { maxTokens, tokensPerFill, fillIntervalMs } = bucket!;
  const interval = fillIntervalMs % 1000 === 0 ? `${fillIntervalMs / 1000} s` : `${fillIntervalMs} ms`;
  const origin = info.route?.origin ?? '';
  return (
    `Local rate limit ${JSON.stringify(statPrefix)}: ${tokensPerFill} requests every ${interval}, at most ${maxTokens} at once, ` +
    `${perConnection ? 'on each connection to' : 'in'} this proxy${origin === '' ? '' : ` (route: ${origin})`}.`
  );
}
