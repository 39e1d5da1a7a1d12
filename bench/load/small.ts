import { type LoadScenario, measureLoad, type Scenario } from '../support/measure.ts';
import { smallBody } from '../support/origin.ts';

/** Many small requests: what the proxy itself costs. The bars of issue 3 are about this one. */
export const SMALL: LoadScenario = {
  name: 'small',
  title: `${smallBody.length}-byte JSON answers, 64 connections, the demo's filters`,
  connections: 64,
  bodyBytes: smallBody.length,
  features: false,
  bars: [
    { text: 'CPU per request at most 0.7 × Envoy', metric: 'cpu', against: 'envoy', most: 0.7 },
    { text: 'CPU per request at most 0.3 × http-proxy', metric: 'cpu', against: 'http-proxy', most: 0.3 },
    { text: 'RSS after load at most 1.3 × Envoy', metric: 'rss', against: 'envoy', most: 1.3 },
  ],
};

export const small: Scenario = { name: SMALL.name, run: (settings) => measureLoad(SMALL, settings) };
