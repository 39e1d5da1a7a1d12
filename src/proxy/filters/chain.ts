import type { HttpFilter } from './filter.ts';

/** A filter that has a certain hook, with its place in the configured order. */
export interface HookEntry {
  readonly filter: HttpFilter;
  /** Index into {@link FilterChain.filters}. */
  readonly index: number;
}

/**
 * The filters of a connection manager, one list for each hook that any of them has: request lists in configured
 * order, response lists in reverse. A hook that nobody has is null, so a stream skips it with one comparison.
 * The runner calls a hook as a method (`entry.filter.onRequestHead!(stream, config)`): a bound copy would be one
 * more function for the engine to see through.
 */
export interface FilterChain {
  /** In configured order; a {@link HookEntry}'s index points here. */
  readonly filters: readonly ConfiguredFilter[];
  /** Whether any filter is off unless a route turns it on. */
  readonly someDisabled: boolean;
  readonly requestHead: readonly HookEntry[] | null;
  readonly requestData: readonly HookEntry[] | null;
  readonly requestTrailers: readonly HookEntry[] | null;
  readonly responseHead: readonly HookEntry[] | null;
  readonly responseData: readonly HookEntry[] | null;
  readonly responseTrailers: readonly HookEntry[] | null;
  readonly end: readonly HookEntry[] | null;
}

export interface ConfiguredFilter {
  /** What per-route config refers to. */
  readonly name: string;
  readonly filter: HttpFilter;
  /** Off unless a route's config turns it on. */
  readonly disabled: boolean;
}

/** Flattens filters, in configured order, into lists by hook. */
export function compileChain(filters: readonly ConfiguredFilter[]): FilterChain {
  const entries = filters.map(({ filter }, index): HookEntry => ({ filter, index }));
  const backward = entries.toReversed();
  const having = (list: readonly HookEntry[], hook: keyof HttpFilter): readonly HookEntry[] | null => {
    const found = list.filter((entry) => entry.filter[hook] !== undefined);
    return found.length === 0 ? null : found;
  };
  return {
    filters,
    someDisabled: filters.some((filter) => filter.disabled),
    requestHead: having(entries, 'onRequestHead'),
    requestData: having(entries, 'onRequestData'),
    requestTrailers: having(entries, 'onRequestTrailers'),
    responseHead: having(backward, 'onResponseHead'),
    responseData: having(backward, 'onResponseData'),
    responseTrailers: having(backward, 'onResponseTrailers'),
    end: having(entries, 'onEnd'),
  };
}
