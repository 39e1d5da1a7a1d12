import type { Clock } from '../../../../src/base/clock.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { type Random, seededRandom } from '../../../../src/base/random.ts';
import { TimerWheel } from '../../../../src/base/timer-wheel.ts';
import type { Headers } from '../../../../src/protocol/http/headers.ts';
import type { RequestHead, ResponseHead } from '../../../../src/protocol/http/message.ts';
import type { FilterContext, FilterStream, HttpFilterType, LocalReply } from '../../../../src/proxy/filters/filter.ts';
import { StatStore, type Stats } from '../../../../src/proxy/telemetry/metrics/store.ts';
import { type ConnectionInfo, StreamInfo } from '../../../../src/proxy/telemetry/stream-info.ts';
import { fromJson, type MessageType, Problems } from '../../../../src/xds/proto/codec.ts';
import { type ManualClock, manualClock } from '../../../support/clock.ts';

/** A stream that notes what filters do to it. */
export class FakeStream implements FilterStream {
  readonly info = new StreamInfo();
  readonly slots: unknown[] = [];
  readonly generation = 1;
  readonly replies: LocalReply[] = [];
  resumed = 0;

  constructor(headers: Record<string, string> = {}, method = 'GET') {
    this.info.request.method = method;
    this.info.request.path = '/';
    this.info.request.authority = 'reviews';
    for (const [name, value] of Object.entries(headers)) this.info.request.headers.add(name, value);
  }
  get request(): RequestHead {
    return this.info.request;
  }
  get response(): ResponseHead {
    return this.info.response;
  }
  get headers(): Headers {
    return this.info.request.headers;
  }
  get lastReply(): LocalReply | undefined {
    return this.replies.at(-1);
  }
  resume(): void {
    this.resumed++;
  }
  reply(reply: LocalReply): void {
    this.replies.push(reply);
    this.info.flags |= reply.flags;
  }
  rematch(): void {}
  connection(info: Partial<ConnectionInfo>): this {
    this.info.connection = { ...this.info.connection, ...info };
    return this;
  }
}

export interface TestContext extends FilterContext {
  readonly clock: ManualClock;
}

/** A filter's context on a manual clock; `runtime` values by key. */
export function context(
  overrides: { random?: Random; slot?: number; runtime?: Record<string, number> } = {},
): TestContext {
  const clock = manualClock();
  const values = overrides.runtime ?? {};
  return {
    clock,
    wheel: new TimerWheel(clock as Clock),
    random: overrides.random ?? seededRandom(1),
    stats: new StatStore(),
    log: silentLogger(clock),
    runtime: { number: (key, fallback) => values[key] ?? fallback, boolean: (_key, fallback) => fallback },
    slot: overrides.slot ?? 0,
    statPrefix: 'in',
  };
}

/** A filter's config as a bootstrap would have it, with what its decoding said. */
export function decoded<C, R, T>(type: HttpFilterType<C, R>, message: MessageType<T>, json: unknown) {
  const problems = new Problems();
  const warnings = new Problems();
  const wire = fromJson(message, json, problems);
  const config = type.decode(wire, problems, warnings, 'c');
  return { config, problems: problems.list.map((p) => p.path), warnings: warnings.list.map((w) => w.path) };
}

/** A per-route config; throws when it is not valid. */
export function route<C, R, T>(type: HttpFilterType<C, R>, message: MessageType<T>, json: unknown): R {
  const problems = new Problems();
  const config = type.decodeRoute(fromJson(message, json, problems), problems, new Problems(), 'r');
  if (!problems.ok) throw new Error(JSON.stringify(problems.list));
  return config;
}

export function stat(stats: Stats, dotted: string): number | undefined {
  for (const series of stats.root.series()) if (series.dotted === dotted) return stats.value(series.id);
  return undefined;
}

export const percent = (numerator: number, denominator = 'HUNDRED') => ({ numerator, denominator });
