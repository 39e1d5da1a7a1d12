import { type Count, LocalCount, SharedCount } from '../../../base/shared-counts.ts';
import { WheelTimer } from '../../../base/timer-wheel.ts';
import { duration } from '../../../base/words.ts';
import type { Headers } from '../../../protocol/http/headers.ts';
import type { HTTPFault } from '../../../xds/proto/gen/envoy/extensions/filters/http/fault/v3.ts';
import { compileHeaderMatcher, type HeaderTest } from '../../matcher/header.ts';
import { ResponseFlag } from '../../telemetry/response-flags.ts';
import {
  type FilterContext,
  type FilterDescription,
  FilterResult,
  type FilterStream,
  type HttpFilter,
  type HttpFilterType,
  type InjectedFault,
} from '../filter.ts';
import { isDrawn } from '../fraction.ts';
import { decodeFault, type FaultConfig, type Share } from './config.ts';

/** A fault with its matchers compiled: what a route carries. */
export interface Fault {
  readonly config: FaultConfig;
  readonly headers: readonly HeaderTest[];
}

export const fault: HttpFilterType<FaultConfig, Fault> = {
  kind: 'fault',
  configType: 'envoy.extensions.filters.http.fault.v3.HTTPFault',
  routeConfigType: 'envoy.extensions.filters.http.fault.v3.HTTPFault',
  decode: (message, problems, warnings, path) => decodeFault(message as HTTPFault, problems, warnings, path),
  decodeRoute: (message, problems, warnings, path) =>
    compileFault(decodeFault(message as HTTPFault, problems, warnings, path)),
  routeData: { plain: ({ config }) => config, compile: (plain) => compileFault(plain as FaultConfig) },
  create: (config, context) => new FaultFilter(compileFault(config), context),
};

function compileFault(config: FaultConfig): Fault {
  return { config, headers: config.headers.map(compileHeaderMatcher) };
}

/** What a request that meets a fault has in its slot. */
interface ActiveFault {
  timer: WheelTimer | null;
}

/** An abort that was drawn: status of the answer and, for gRPC callers, their own. */
interface Abort {
  readonly status: number;
  readonly grpcStatus: number | null;
}

class FaultFilter implements HttpFilter<Fault> {
  readonly #own: Fault;
  readonly #context: FilterContext;
  readonly #delaysInjected: number;
  readonly #abortsInjected: number;
  readonly #overflow: number;
  readonly #activeFaults: number;
  /** Streams with a fault, of this filter and of those in whose place it came. */
  #active: Count;

  constructor(own: Fault, context: FilterContext) {
    this.#own = own;
    this.#context = context;
    const { stats, statPrefix, shared = null } = context;
    this.#active =
      shared === null ? new LocalCount() : new SharedCount(shared.counts.counters(`faults ${shared.place}`, 1));
    const labels = { envoy_http_conn_manager_prefix: statPrefix };
    const name = (stat: string) => [`envoy_http_fault_${stat}`, labels, `http.${statPrefix}.fault.${stat}`] as const;
    this.#delaysInjected = stats.counter(...name('delays_injected'));
    this.#abortsInjected = stats.counter(...name('aborts_injected'));
    this.#overflow = stats.counter(...name('faults_overflow'));
    this.#activeFaults = stats.gauge(...name('active_faults'));
  }

  inherit(previous: unknown): void {
    if (previous instanceof FaultFilter && this.#active instanceof LocalCount) this.#active = previous.#active;
  }

  onRequestHead(stream: FilterStream, route: Fault | null): FilterResult {
    const { config, headers } = route ?? this.#own;
    if (config.delay === null && config.abort === null) return FilterResult.Next;
    const { request } = stream;
    if (!this.#applies(config, headers, stream)) return FilterResult.Next;
    const delayMs = this.#delayMs(config, request.headers);
    if (delayMs > 0 && this.#begin(stream, config)) {
      this.#delay(stream, config, delayMs);
      return FilterResult.Wait;
    }
    const abort = this.#abort(config, request.headers);
    if (abort === null || !this.#begin(stream, config)) return FilterResult.Next;
    this.#reply(stream, abort);
    return FilterResult.Replied;
  }

  describe(route: Fault | null): FilterDescription | null {
    const { config } = route ?? this.#own;
    const injected = injectedBy(config);
    const says = inWords(injected);
    if (says === '') return null;
    const always = config.headers.length === 0 && config.downstreamNodes.length === 0;
    return always ? { says, fault: injected } : { says: `${says}, where its headers match`, fault: null };
  }

  onEnd(stream: FilterStream): void {
    const active = stream.slots[this.#context.slot] as ActiveFault | undefined;
    if (active === undefined) return;
    if (active.timer !== null) this.#context.wheel.release(active.timer);
    stream.slots[this.#context.slot] = undefined;
    this.#active.release();
    this.#context.stats.add(this.#activeFaults, -1);
  }

  #applies(config: FaultConfig, headers: readonly HeaderTest[], { request }: FilterStream): boolean {
    for (const header of headers) if (!header.test(request)) return false;
    const nodes = config.downstreamNodes;
    return nodes.length === 0 || nodes.includes(request.headers.get('x-envoy-downstream-service-node') ?? '');
  }

  #delayMs(config: FaultConfig, headers: Headers): number {
    const { delay, runtime } = config;
    if (delay === null) return 0;
    let ms = delay.fixedMs;
    let share = delay.share.partsPerMillion;
    if (ms === null) {
      ms = headerNumber(headers, 'x-envoy-fault-delay-request');
      if (ms === null) return 0;
      share = headerShare(headers, 'x-envoy-fault-delay-request-percentage', delay.share);
    }
    if (!isDrawn(share, runtime.delayPercent, this.#context)) return 0;
    return this.#context.runtime.number(runtime.delayMs, ms);
  }

  #abort(config: FaultConfig, headers: Headers): Abort | null {
    const { abort, runtime } = config;
    if (abort === null) return null;
    const { runtime: values } = this.#context;
    if (abort.with.kind !== 'header') {
      if (!isDrawn(abort.share.partsPerMillion, runtime.abortPercent, this.#context)) return null;
      const { kind, status } = abort.with;
      if (kind === 'http') return { status: values.number(runtime.abortHttpStatus, status), grpcStatus: null };
      return { status: 200, grpcStatus: values.number(runtime.abortGrpcStatus, status) };
    }
    const status = headerNumber(headers, 'x-envoy-fault-abort-request');
    const grpcStatus = headerNumber(headers, 'x-envoy-fault-abort-grpc-request');
    const http = status !== null && status >= 200 && status < 600;
    if (!http && grpcStatus === null) return null;
    const share = headerShare(headers, 'x-envoy-fault-abort-request-percentage', abort.share);
    if (!isDrawn(share, runtime.abortPercent, this.#context)) return null;
    return http ? { status, grpcStatus: null } : { status: 200, grpcStatus };
  }

  /** Counts the stream as one with an active fault, once; false when there are too many. */
  #begin(stream: FilterStream, config: FaultConfig): boolean {
    const { slot, stats, runtime } = this.#context;
    if (stream.slots[slot] !== undefined) return true;
    const limit = config.maxActiveFaults;
    if (limit !== null && this.#active.sum >= runtime.number(config.runtime.maxActiveFaults, limit)) {
      stats.inc(this.#overflow);
      return false;
    }
    stream.slots[slot] = { timer: null } satisfies ActiveFault;
    this.#active.take();
    stats.inc(this.#activeFaults);
    return true;
  }

  #delay(stream: FilterStream, config: FaultConfig, ms: number): void {
    const { wheel, stats, slot } = this.#context;
    const active = stream.slots[slot] as ActiveFault;
    // onEnd releases the timer, so it never meets the object's next request.
    active.timer = new WheelTimer(() => {
      active.timer = null;
      const abort = this.#abort(config, stream.request.headers);
      if (abort === null) stream.resume();
      else this.#reply(stream, abort);
    });
    stream.info.flags |= ResponseFlag.DelayInjected;
    stats.inc(this.#delaysInjected);
    wheel.arm(active.timer, ms);
  }

  #reply(stream: FilterStream, { status, grpcStatus }: Abort): void {
    this.#context.stats.inc(this.#abortsInjected);
    const origin = stream.info.route?.origin ?? '';
    const what = grpcStatus === null ? `status ${status}` : `gRPC status ${grpcStatus}`;
    stream.reply({
      status,
      body: 'fault filter abort',
      details: 'fault_filter_abort',
      flags: ResponseFlag.FaultInjected,
      reason: `Fault injection answered with ${what} in place of the service${origin === '' ? '' : ` (${origin})`}.`,
      ...(grpcStatus === null ? {} : { grpcStatus }),
    });
  }
}

function headerNumber(headers: Headers, name: string): number | null {
  const value = headers.get(name);
  return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : null;
}

/** A caller may ask for a smaller share than is configured, never for a larger one. */
function headerShare(headers: Headers, name: string, share: Share): number {
  const asked = headerNumber(headers, name);
  return asked === null ? share.partsPerMillion : Math.min(asked * share.unit, share.partsPerMillion);
}

function injectedBy({ delay, abort }: FaultConfig): InjectedFault {
  const fixed = abort !== null && abort.with.kind !== 'header' ? abort.with : null;
  return {
    delayMs: delay?.fixedMs ?? 0,
    delayPercent: (delay?.share.partsPerMillion ?? 0) / 10_000,
    abort: fixed === null ? '' : fixed.kind === 'http' ? String(fixed.status) : `gRPC status ${fixed.status}`,
    abortPercent: fixed === null ? 0 : (abort?.share.partsPerMillion ?? 0) / 10_000,
  };
}

function inWords({ delayMs, delayPercent, abort, abortPercent }: InjectedFault): string {
  const parts: string[] = [];
  if (delayMs > 0 && delayPercent > 0) parts.push(`delays ${delayPercent} % of requests by ${duration(delayMs)}`);
  if (abort !== '' && abortPercent > 0) parts.push(`answers ${abortPercent} % of requests with ${abort}`);
  return parts.join(', ');
}
