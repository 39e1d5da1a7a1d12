import { type Any, type MessageType, type Problem, typeUrl } from '../proto/codec.ts';
import type { DecodeContext } from './context.ts';
import { type ClusterReference, Decoding } from './decoding.ts';

/** What a resource names and so must be there, and warm, before it goes live. */
export interface Dependencies {
  readonly clusters: readonly ClusterReference[];
  /** Route configurations to be asked for by RDS. */
  readonly routes: readonly string[];
  /** EDS service names. */
  readonly endpoints: readonly string[];
}

export type Decoded<M> =
  | {
      readonly ok: true;
      readonly name: string;
      readonly resource: M;
      readonly warnings: readonly Problem[];
      readonly dependencies: Dependencies;
    }
  | {
      readonly ok: false;
      readonly name?: string;
      readonly errors: readonly Problem[];
      readonly warnings: readonly Problem[];
    };

/** One kind of resource: how an Any of it becomes a part of the model, or the list of all that is wrong with it. */
export interface ResourceType<M> {
  readonly typeUrl: string;
  /** Its resources say no name of their own: that of the envelope counts, and without one what `decode` gives. */
  readonly unnamed?: boolean;
  decode(any: Any, context: DecodeContext): Decoded<M>;
}

export function resourceType<W extends object, M>(
  wire: MessageType<W>,
  nameOf: (message: W) => string | undefined,
  decode: (message: W, path: string, s: Decoding) => M | undefined,
): ResourceType<M> {
  return {
    typeUrl: typeUrl(wire),
    decode(any, context) {
      const s = new Decoding(context);
      const message = s.openAs(wire, any, '');
      const name = (message && nameOf(message)) ?? '';
      if (message !== undefined && name === '') s.error('name', 'is needed');
      const resource = message && decode(message, '', s);
      if (resource === undefined || !s.problems.ok) {
        return { ok: false, ...(name !== '' ? { name } : {}), errors: s.problems.list, warnings: s.warnings.list };
      }
      return { ok: true, name, resource, warnings: s.warnings.list, dependencies: dependenciesOf(s) };
    },
  };
}

export function dependenciesOf(s: Decoding): Dependencies {
  return { clusters: s.clusters, routes: [...s.routes.keys()], endpoints: [...s.endpoints.keys()] };
}
