import { type LoadScenario, measureLoad, type Scenario } from '../support/measure.ts';
import { SMALL } from './small.ts';

/**
 * The small scenario with all that a sidecar has: access log, metrics, request id, fault, RBAC that denies and allows, a
 * local rate limit that is never reached, and routes by header and regex before the last. The bars of issue 4.
 */
export const FEATURES: LoadScenario = {
  ...SMALL,
  name: 'features',
  title: 'as small, with RBAC, local rate limit, header and regex routes',
  features: true,
  bars: [
    { text: 'CPU per request at most 0.45 × Envoy', metric: 'cpu', against: 'envoy', most: 0.45 },
    { text: 'CPU per request at most 1.4 × HAProxy', metric: 'cpu', against: 'haproxy', most: 1.4 },
  ],
};

export const features: Scenario = { name: FEATURES.name, run: (settings) => measureLoad(FEATURES, settings) };
