import { LogRoot } from '../../../../src/base/log.ts';
import { seededRandom } from '../../../../src/base/random.ts';
import { AdsClient } from '../../../../src/xds/client/ads.ts';
import type { HeldResource, ResourceDecoder, ResourceUpdate } from '../../../../src/xds/client/resource-decoder.ts';
import type { AdsMode, AdsStream, AdsTransport, StreamEvents } from '../../../../src/xds/client/transport.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE } from '../../../../src/xds/client/type-urls.ts';
import type { Any } from '../../../../src/xds/proto/codec.ts';
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '../../../../src/xds/proto/gen/envoy/service/discovery/v3.ts';
import { type ManualClock, manualClock } from '../../../support/clock.ts';

/** The server's side of a stream, in memory: tests read what was sent and answer. */
export class MemoryTransport implements AdsTransport {
  readonly requests: (DiscoveryRequest & DeltaDiscoveryRequest)[] = [];
  opened = 0;
  closed = false;
  #events: StreamEvents | null = null;

  open(_mode: AdsMode, events: StreamEvents): AdsStream {
    this.opened++;
    this.#events = events;
    return {
      send: (request) => void this.requests.push(request as DiscoveryRequest & DeltaDiscoveryRequest),
      cancel: () => {
        this.#events = null;
      },
    };
  }
  close(): void {
    this.closed = true;
  }
  respond(response: DiscoveryResponse | DeltaDiscoveryResponse): void {
    this.#events?.response(response);
  }
  end(error: Error | null = new Error('14 UNAVAILABLE: gone')): void {
    const events = this.#events;
    this.#events = null;
    events?.end(error);
  }
  /** Requests since the last call. */
  take(): (DiscoveryRequest & DeltaDiscoveryRequest)[] {
    return this.requests.splice(0);
  }
}

/**
 * Resources of tests are text: `name=value`. `name!` does not decode, and of `!` not even the name is to be
 * seen. On the wire the name is field 1, as in every real one.
 */
export function textDecoder(typeUrl: string): ResourceDecoder {
  return {
    typeUrl,
    decode({ value = new Uint8Array(0) }) {
      const end = value[0] === 0x0a ? 2 + (value[1] ?? 0) : 0;
      const rest = Buffer.from(value.subarray(end)).toString();
      if (rest.startsWith('!')) {
        return { ok: false, errors: [{ path: 'filter_chains[0]', reason: 'is wrong' }], warnings: [] };
      }
      const name = Buffer.from(value.subarray(2, end)).toString();
      const dependencies = { clusters: [], routes: [], endpoints: [] };
      return { ok: true, name, resource: rest.slice(1), warnings: [], dependencies };
    },
  };
}

export function any(typeUrl: string, text: string): Any {
  const [, name = '', rest = ''] = /^([^=!]*)(.*)$/.exec(text) ?? [];
  const field = name === '' ? '' : `\n${String.fromCharCode(name.length)}${name}`;
  return { type_url: typeUrl, value: new Uint8Array(Buffer.from(field + rest, 'latin1')) };
}

export interface Rig {
  readonly clock: ManualClock;
  readonly transport: MemoryTransport;
  readonly client: AdsClient;
  readonly updates: ResourceUpdate[];
  /** What it logged. */
  readonly log: string[];
  held(typeUrl: string): Record<string, unknown>;
}

export function rig(mode: AdsMode, transports = [new MemoryTransport()]): Rig {
  const clock = manualClock();
  const updates: ResourceUpdate[] = [];
  const log: string[] = [];
  const client = new AdsClient({
    transports,
    mode,
    node: { id: 'sidecar~10.0.0.1~a.b~b.svc.cluster.local' },
    decoders: [LISTENER, ROUTE, CLUSTER, ENDPOINT].map(textDecoder),
    clock,
    random: seededRandom(1),
    log: new LogRoot(clock, (line) => log.push(line)).logger('xds'),
    onUpdate: (update) => updates.push(update),
  });
  const held = (typeUrl: string): Record<string, unknown> =>
    Object.fromEntries(
      [...client.held(typeUrl).resources].map(([name, { resource }]: [string, HeldResource]) => [name, resource]),
    );
  return { clock, transport: transports[0] as MemoryTransport, client, updates, log, held };
}
