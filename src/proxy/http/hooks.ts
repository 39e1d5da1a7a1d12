import type { Headers } from '../../protocol/http/headers.ts';
import type { HookEntry } from '../filters/chain.ts';
import type { FilterStream } from '../filters/filter.ts';
import type { FaultLog } from './fault-log.ts';
import type { RouteFilterConfigs } from './route-filter-configs.ts';

/** Runs the hooks of a filter chain that never hold a stream; the one that may, for request heads, is the stream's. */
type Hooks = readonly HookEntry[];

export function isOff(configs: RouteFilterConfigs, index: number): boolean {
  return configs !== null && configs[index]!.disabled;
}
export function configOf(configs: RouteFilterConfigs, index: number): unknown {
  return configs === null ? null : configs[index]!.config;
}

/** What is left of a piece of the request's body; null when a filter took it, or answered. */
export function requestData(
  hooks: Hooks,
  stream: FilterStream & { readonly replied: boolean },
  configs: RouteFilterConfigs,
  chunk: Buffer,
): Buffer | null {
  let data: Buffer | null = chunk;
  for (const { filter, index } of hooks) {
    if (isOff(configs, index)) continue;
    data = filter.onRequestData!(stream, data, false, configOf(configs, index));
    if (data === null || stream.replied) return null;
  }
  return data;
}

/** What filters still add at the end of the request's body. */
export function endRequestData(hooks: Hooks, stream: FilterStream, configs: RouteFilterConfigs): Buffer {
  let data: Buffer = EMPTY;
  for (const { filter, index } of hooks) {
    if (!isOff(configs, index)) data = filter.onRequestData!(stream, data, true, configOf(configs, index)) ?? EMPTY;
  }
  return data;
}

export function requestTrailers(
  hooks: Hooks,
  stream: FilterStream,
  configs: RouteFilterConfigs,
  trailers: Headers,
): void {
  for (const { filter, index } of hooks) {
    if (!isOff(configs, index)) filter.onRequestTrailers!(stream, trailers, configOf(configs, index));
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
