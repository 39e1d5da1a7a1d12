import { type LoadScenario, measureLoad, type Scenario } from '../support/measure.ts';
import { SMALL } from './small.ts';

/** The small scenario with TLS on both hops (1.3, ECDSA P-256), connections kept. */
export const TLS = {
  ...SMALL,
  name: 'tls',
  title: 'as small, with TLS on both hops',
  ask: { tls: true },
  bars: [{ text: 'CPU per request at most 0.6 × Envoy', metric: 'cpu', against: 'envoy', most: 0.6 }],
} satisfies LoadScenario;

/** A full handshake for each request: the rate on one core is what counts. */
export const HANDSHAKES = {
  ...SMALL,
  name: 'handshakes',
  title: 'a TLS connection for each small request',
  connections: 16,
  ask: { tls: true, close: true },
  bars: [
    // Handshakes per second of CPU, at least 0.8 × Envoy's.
    { text: 'CPU per handshake at most 1.25 × Envoy', metric: 'cpu', against: 'envoy', most: 1.25 },
  ],
} satisfies LoadScenario;

export const tls: Scenario = { name: TLS.name, run: (settings) => measureLoad(TLS, settings) };
export const handshakes: Scenario = { name: HANDSHAKES.name, run: (settings) => measureLoad(HANDSHAKES, settings) };
