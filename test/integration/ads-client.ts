import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/random.ts';
import { DynamicConfig, type DynamicConfigOptions } from '../../src/xds/client/dynamic-config.ts';
import { GrpcTransport } from '../../src/xds/client/grpc-transport.ts';
import type { AdsMode, AdsTransport } from '../../src/xds/client/transport.ts';
import type { DeltaDiscoveryResponse, DiscoveryResponse } from '../../src/xds/proto/gen/envoy/service/discovery/v3.ts';
import { testDecoders } from '../support/control-plane.ts';

/** A client over real gRPC that keeps what the server sent. */
export function adsClient(target: string, mode: AdsMode, more: Partial<DynamicConfigOptions> = {}) {
  const log = silentLogger(systemClock);
  const grpc = new GrpcTransport({ target, clock: systemClock, log });
  const responses: (DiscoveryResponse & DeltaDiscoveryResponse)[] = [];
  const transport: AdsTransport = {
    open: (as, events) =>
      grpc.open(as, {
        ...events,
        open: () => events.open(),
        end: (error) => events.end(error),
        response: (message) => {
          responses.push(message as DiscoveryResponse & DeltaDiscoveryResponse);
          events.response(message);
        },
      }),
    close: () => grpc.close(),
  };
  const config = new DynamicConfig({
    transports: [transport],
    mode,
    node: { id: 'sidecar~10.0.0.7~web-1.default~default.svc.cluster.local' },
    decoders: testDecoders(),
    clock: systemClock,
    random: systemRandom,
    log,
    backoff: { baseMs: 10, maxMs: 50 },
    ...more,
  });
  config.start();
  return { config, responses };
}

/** Ports of a cluster's endpoints in force. */
export function ports(config: DynamicConfig, cluster: string): number[] {
  const assignment = config.snapshot.value.endpoints.get(cluster);
  return (assignment?.localities ?? []).flatMap(({ endpoints }) => endpoints.map(({ address }) => address.port));
}
