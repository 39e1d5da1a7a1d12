import type { HeaderValueOption } from '../../../model/route.ts';
import type { Problems } from '../../../xds/proto/codec.ts';
import type { HeaderMutation as WireMutation } from '../../../xds/proto/gen/envoy/config/common/mutation_rules/v3.ts';
import type { Mutations as WireMutations } from '../../../xds/proto/gen/envoy/extensions/filters/http/header_mutation/v3.ts';
import { checkHeaderName, decodeHeaderOption } from '../wire.ts';

/** One step: take a header away (lower-case name), or set one. */
export type Mutation = { readonly remove: string } | { readonly set: HeaderValueOption };

/** In the order they are applied. */
export interface MutationsConfig {
  readonly request: readonly Mutation[];
  readonly response: readonly Mutation[];
}

export function decodeMutations(
  mutations: WireMutations | undefined,
  problems: Problems,
  path: string,
): MutationsConfig {
  return {
    request: decodeList(mutations?.request_mutations, problems, `${path}.request_mutations`),
    response: decodeList(mutations?.response_mutations, problems, `${path}.response_mutations`),
  };
}

function decodeList(list: readonly WireMutation[] | undefined, problems: Problems, path: string): Mutation[] {
  const out: Mutation[] = [];
  for (const [i, mutation] of (list ?? []).entries()) {
    const at = `${path}[${i}]`;
    if (mutation.remove !== undefined) {
      if (checkHeaderName(mutation.remove, problems, `${at}.remove`))
        out.push({ remove: mutation.remove.toLowerCase() });
    } else if (mutation.append !== undefined) {
      const set = decodeHeaderOption(mutation.append, problems, `${at}.append`);
      if (set !== null) out.push({ set });
    }
  }
  return out;
}
