import type { Headers } from '../../protocol/http/headers.ts';
import type { HookEntry } from '../filters/chain.ts';
import { FilterResult, type FilterStream } from '../filters/filter.ts';
import type { FaultLog } from './fault-log.ts';
import type { RouteFilterConfigs } from './route-filter-configs.ts';

/** Runs the hooks of a filter chain. */
type Hooks = readonly HookEntry[];

/** Places in a filter chain: all from the first to the last. */
export const FIRST = 0;
export const LAST = 1e9;

function isOff(configs: RouteFilterConfigs, index: number): boolean {
  return configs !== null && configs[index]!.disabled;
}
function configOf(configs: RouteFilterConfigs, index: number): unknown {
  return configs === null ? null : configs[index]!.config;
}

type Stream = FilterStream & { readonly replied: boolean };

/** One pass of a request's head through the filters, any of which may hold it. One a stream, reused. */
export class RequestHeadWalk {
  held = false;
  /** A filter changed what the route depends on. */
  rematch = false;
  /** Held by the filter at place `gatherer` until the whole body is there. */
  gathering = false;
  gatherer = -1;
  /** The whole body, on its way to the filters behind. */
  gathered: Buffer | null = null;
  #at = 0;

  reset(): void {
    this.held = false;
    this.rematch = false;
    this.gathering = false;
    this.gathered = null;
    this.#at = 0;
  }

  /** A filter has seen the head. */
  get begun(): boolean {
    return this.#at > 0;
  }

  /** Goes on behind the filter that held. */
  skip(): void {
    this.held = false;
    this.#at++;
  }

  /** Answers true when the last filter let it pass, false when one holds it or has answered. */
  run(hooks: Hooks, stream: Stream, configs: RouteFilterConfigs): boolean {
    for (; this.#at < hooks.length; this.#at++) {
      const { filter, index } = hooks[this.#at]!;
      if (isOff(configs, index)) continue;
      const result = filter.onRequestHead!(stream, configOf(configs, index));
      if (result === FilterResult.Next) continue;
      this.gathering = result === FilterResult.Gather && !stream.replied;
      this.held = this.gathering || (result === FilterResult.Wait && !stream.replied);
      if (this.gathering) this.gatherer = index;
      return false;
    }
    return true;
  }
}

/** What is left of a piece of the request's body; null when a filter took it, or answered. */
export function requestData(hooks: Hooks, stream: Stream, configs: RouteFilterConfigs, chunk: Buffer): Buffer | null {
  let data: Buffer | null = chunk;
  for (const { filter, index } of hooks) {
    if (isOff(configs, index)) continue;
    data = filter.onRequestData!(stream, data, false, configOf(configs, index));
    if (data === null || stream.replied) return null;
  }
  return data;
}

/** What is left of the end of the request's body behind the filters at places `from` to `to`. */
export function endRequestData(
  hooks: Hooks,
  stream: FilterStream,
  configs: RouteFilterConfigs,
  last: Buffer,
  from: number,
  to: number,
): Buffer {
  let data = last;
  for (const { filter, index } of hooks) {
    if (index < from || index > to || isOff(configs, index)) continue;
    data = filter.onRequestData!(stream, data, true, configOf(configs, index)) ?? EMPTY;
  }
  return data;
}

/** Shows the trailers to the filters at places `from` to `to`. */
export function requestTrailers(
  hooks: Hooks,
  stream: FilterStream,
  configs: RouteFilterConfigs,
  trailers: Headers,
  from: number,
  to: number,
): void {
  for (const { filter, index } of hooks) {
    if (index < from || index > to || isOff(configs, index)) continue;
    filter.onRequestTrailers!(stream, trailers, configOf(configs, index));
  }
}

export function responseHeadHooks(hooks: Hooks, stream: FilterStream, configs: RouteFilterConfigs): void {
  for (const { filter, index } of hooks) {
    if (!isOff(configs, index)) filter.onResponseHead!(stream, configOf(configs, index));
  }
}

/** What is left of a piece of the response's body; null when a filter took it. */
export function responseData(
  hooks: Hooks,
  stream: FilterStream,
  configs: RouteFilterConfigs,
  chunk: Buffer,
): Buffer | null {
  let data: Buffer | null = chunk;
  for (const { filter, index } of hooks) {
    if (isOff(configs, index)) continue;
    data = filter.onResponseData!(stream, data, false, configOf(configs, index));
    if (data === null) return null;
  }
  return data;
}

/** What filters still add at the end of the response's body. */
export function endResponseData(hooks: Hooks, stream: FilterStream, configs: RouteFilterConfigs): Buffer {
  let data: Buffer = EMPTY;
  for (const { filter, index } of hooks) {
    if (!isOff(configs, index)) data = filter.onResponseData!(stream, data, true, configOf(configs, index)) ?? EMPTY;
  }
  return data;
}

export function responseTrailers(
  hooks: Hooks,
  stream: FilterStream,
  configs: RouteFilterConfigs,
  trailers: Headers,
): void {
  for (const { filter, index } of hooks) {
    if (!isOff(configs, index)) filter.onResponseTrailers!(stream, trailers, configOf(configs, index));
  }
}

/** Each hears of the end, whatever the others do: the response is out. */
export function endHooks(hooks: Hooks, stream: FilterStream, configs: RouteFilterConfigs, faults: FaultLog): void {
  for (const { filter, index } of hooks) {
    if (isOff(configs, index)) continue;
    try {
      filter.onEnd!(stream);
    } catch (error) {
      faults.report(error, stream.request.method, undefined);
    }
  }
}

const EMPTY = Buffer.alloc(0);
