import { encode } from '../../xds/proto/codec.ts';
import type { ControlPlane } from '../../xds/proto/gen/envoy/config/core/v3.ts';
import {
  DeltaDiscoveryResponse,
  DiscoveryResponse,
  type Resource,
} from '../../xds/proto/gen/envoy/service/discovery/v3.ts';
import type { ResourceEntry, Resources } from './snapshot.ts';
import type { TypeState } from './type-state.ts';
import { WHOLE_WORLD } from './type-urls.ts';

export type AdsMode = 'sotw' | 'delta';

/** One response: only what changed, of what this client subscribes to. */
export interface Change {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly version: string;
  readonly updated: readonly ResourceEntry[];
  readonly removed: readonly string[];
  /** Hosts that the client asked for and that there are not. */
  readonly unresolved?: readonly string[];
  /** What the client asked for a virtual host by. */
  readonly aliases?: ReadonlyMap<string, readonly string[]>;
  /** No longer wanted, but to be kept until nothing needs it: SotW must repeat it. */
  readonly retained: readonly ResourceEntry[];
}

/** How the two variants of the protocol say a change. */
export interface Wire {
  readonly mode: AdsMode;
  encode(change: Change, state: TypeState, resources: Resources): Uint8Array;
}

/**
 * SotW: listeners and clusters are sent whole, so what is to be removed later is sent along until then;
 * of the other types only what changed, and their removals are not said at all.
 */
export function sotwWire(controlPlane: ControlPlane): Wire {
  return {
    mode: 'sotw',
    encode(change, state, resources) {
      const whole = WHOLE_WORLD.has(change.typeUrl);
      const entries = whole ? state.subscribed(resources) : change.updated;
      const retained = whole ? change.retained : [];
      return encode(DiscoveryResponse, {
        version_info: change.version,
        resources: [...entries, ...retained].map((entry) => entry.any),
        type_url: change.typeUrl,
        nonce: change.nonce,
        control_plane: controlPlane,
      });
    },
  };
}

/** Most changes are the same for many clients: but for the nonce the bytes are made once. */
export function deltaWire(controlPlane: ControlPlane): Wire {
  const last = new Map<string, { readonly change: Change; readonly body: Uint8Array }>();
  const bodyOf = (change: Change): Uint8Array => {
    const before = last.get(change.typeUrl);
    if (before !== undefined && sameBody(before.change, change)) return before.body;
    const body = encode(DeltaDiscoveryResponse, {
      type_url: change.typeUrl,
      system_version_info: change.version,
      resources: [
        ...change.updated.map((entry): Resource => {
          const aliases = change.aliases?.get(entry.name);
          const resource = { name: entry.name, version: entry.version, resource: entry.any };
          return aliases === undefined ? resource : { ...resource, aliases: [...aliases] };
        }),
        // Envoy goes on with a request when the host it waits for is among the names or aliases, with or without a body.
        ...(change.unresolved ?? []).map((name): Resource => ({ name, aliases: [name] })),
      ],
      removed_resources: [...change.removed],
      control_plane: controlPlane,
    });
    last.set(change.typeUrl, { change, body });
    return body;
  };
  return {
    mode: 'delta',
    // Fields of a message may come in any order, and in pieces.
    encode: (change) => Buffer.concat([bodyOf(change), encode(DeltaDiscoveryResponse, { nonce: change.nonce })]),
  };
}

function sameBody(a: Change, b: Change): boolean {
  return (
    a.version === b.version &&
    a.updated.length === b.updated.length &&
    a.removed.length === b.removed.length &&
    (a.unresolved?.length ?? 0) === 0 &&
    (b.unresolved?.length ?? 0) === 0 &&
    a.removed.every((name, i) => name === b.removed[i]) &&
    a.updated.every(
      (entry, i) => entry === b.updated[i] && String(a.aliases?.get(entry.name)) === String(b.aliases?.get(entry.name)),
    )
  );
}
