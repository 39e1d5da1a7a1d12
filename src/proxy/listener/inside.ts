import type { Socket } from 'node:net';
import type { TimerWheel } from '../../base/timer-wheel.ts';
import type { TcpConnection, UpstreamProbe } from '../tcp/tcp-connection.ts';
import { Detection, type GivenUp } from './detection.ts';
import type { ConnectionFacts, ListenerFilterStep } from './listener-filters.ts';

/** Whom a detection inside of TLS belongs to. */
export interface InsideHost {
  readonly wheel: TimerWheel;
  dial(probe: UpstreamProbe): TcpConnection;
  /** Called once, or `onGivenUp` is; `http`: that is what it speaks. */
  onSeen(detection: Detection, http: boolean): void;
  onGivenUp(detection: Detection, why: GivenUp): void;
}

/**
 * Looks at what is spoken inside of TLS where HTTP was declared and the client's proxy says bytes: a server may speak
 * first, and HTTP is found as in clear text, so that nobody gets around the policies of HTTP by another ALPN.
 */
export function detectInside(
  socket: Socket,
  facts: ConnectionFacts,
  steps: readonly ListenerFilterStep[],
  host: InsideHost,
): Detection {
  const inside: ConnectionFacts = { ...facts, transportProtocol: '', applicationProtocols: [] };
  const inspectors = steps.filter(({ kind }) => kind === 'http-inspector');
  return new Detection(
    socket,
    inside,
    { steps: inspectors, timeoutMs: 0, continueOnTimeout: true, race: true },
    {
      wheel: host.wheel,
      dial: (detection, waited) => (waited ? host.dial(detection) : 'later'),
      onDetected: (detection) => host.onSeen(detection, inside.applicationProtocols.length > 0),
      onGivenUp: (detection, why) => host.onGivenUp(detection, why),
    },
  );
}
