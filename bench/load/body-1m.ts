import { type LoadScenario, measureLoad, type Scenario } from '../support/measure.ts';

/** Large bodies: what passing bytes on costs. */
export const BODY_1M: LoadScenario = {
  name: 'body-1m',
  title: '1 MiB answers, 8 connections',
  connections: 8,
  bodyBytes: 1024 * 1024,
  features: false,
  bars: [{ text: 'CPU per answer at most 1.2 × Envoy', metric: 'cpu', against: 'envoy', most: 1.2 }],
};

export const body1m: Scenario = { name: BODY_1M.name, run: (settings) => measureLoad(BODY_1M, settings) };
