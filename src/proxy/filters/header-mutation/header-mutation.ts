import type { Headers } from '../../../protocol/http/headers.ts';
import type {
  HeaderMutationPerRoute,
  HeaderMutation as WireConfig,
} from '../../../xds/proto/gen/envoy/extensions/filters/http/header_mutation/v3.ts';
import type { StreamInfo } from '../../telemetry/stream-info.ts';
import {
  type FilterDescription,
  FilterResult,
  type FilterStream,
  type HttpFilter,
  type HttpFilterType,
} from '../filter.ts';
import { HeaderOption } from '../header-option.ts';
import { reportUnused } from '../wire.ts';
import { decodeMutations, type Mutation, type MutationsConfig } from './config.ts';

type Step = string | HeaderOption;

/** Mutations compiled: what a route carries. A step that is a text removes the header of that name. */
export interface Mutations {
  readonly config: MutationsConfig;
  readonly request: readonly Step[];
  readonly response: readonly Step[];
}

export const headerMutation: HttpFilterType<MutationsConfig, Mutations> = {
  kind: 'header_mutation',
  configType: 'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation',
  routeConfigType: 'envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute',
  decode(message, problems, warnings, path) {
    const config = message as WireConfig;
    reportUnused(
      config,
      { most_specific_header_mutations_wins: 'only the most specific per-route config applies' },
      warnings,
      path,
    );
    return decodeMutations(config.mutations, problems, `${path}.mutations`);
  },
  decodeRoute: (message, problems, _warnings, path) =>
    compile(decodeMutations((message as HeaderMutationPerRoute).mutations, problems, `${path}.mutations`)),
  routeData: { plain: ({ config }) => config, compile: (plain) => compile(plain as MutationsConfig) },
  create: (config) => new HeaderMutationFilter(compile(config)),
};

function compile(config: MutationsConfig): Mutations {
  const steps = (list: readonly Mutation[]): Step[] =>
    list.map((mutation) => ('remove' in mutation ? mutation.remove : new HeaderOption(mutation.set)));
  return { config, request: steps(config.request), response: steps(config.response) };
}

/** Applies the filter's own mutations, then the route's, each in its order. */
class HeaderMutationFilter implements HttpFilter<Mutations> {
  readonly #own: Mutations;

  constructor(own: Mutations) {
    this.#own = own;
  }

  onRequestHead(stream: FilterStream, route: Mutations | null): FilterResult {
    const { headers } = stream.request;
    apply(this.#own.request, headers, stream.info);
    if (route !== null) apply(route.request, headers, stream.info);
    return FilterResult.Next;
  }

  onResponseHead(stream: FilterStream, route: Mutations | null): FilterResult {
    const { headers } = stream.response;
    apply(this.#own.response, headers, stream.info);
    if (route !== null) apply(route.response, headers, stream.info);
    return FilterResult.Next;
  }

  describe(route: Mutations | null): FilterDescription | null {
    const says = [
      ...inWords([...this.#own.request, ...(route?.request ?? [])], 'the request'),
      ...inWords([...this.#own.response, ...(route?.response ?? [])], 'the response'),
    ];
    return says.length === 0 ? null : { says: says.join(', '), fault: null };
  }
}

/** `sets x-a and removes x-b in the request`, names only: values may be secrets. */
function inWords(steps: readonly Step[], where: string): string[] {
  const removed = steps.filter((step) => typeof step === 'string');
  const set = steps.filter((step) => typeof step !== 'string').map(({ name }) => name);
  const parts = [
    set.length === 0 ? '' : `sets ${set.join(', ')}`,
    removed.length === 0 ? '' : `removes ${removed.join(', ')}`,
  ].filter((part) => part !== '');
  return parts.length === 0 ? [] : [`${parts.join(' and ')} in ${where}`];
}

function apply(steps: readonly Step[], headers: Headers, info: StreamInfo): void {
  for (const step of steps) {
    if (typeof step === 'string') headers.remove(step);
    else step.apply(headers, info);
  }
}
