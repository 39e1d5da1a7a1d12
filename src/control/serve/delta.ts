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

export function deltaWire(controlPlane: ControlPlane): Wire {
  return {
    mode: 'delta',
    encode(change) {
      return encode(DeltaDiscoveryResponse, {
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
        type_url: change.typeUrl,
        removed_resources: [...change.removed],
        nonce: change.nonce,
        control_plane: controlPlane,
      });
    },
  };
}
