import { measureLoad, type Scenario } from '../support/measure.ts';

/** Large bodies: what passing bytes on costs. */
export const body1m: Scenario = {
  name: 'body-1m',
  run: (settings) =>
    measureLoad(
      {
        name: 'body-1m',
        title: '1 MiB answers, 8 connections',
        connections: 8,
        bodyBytes: 1024 * 1024,
        features: false,
        bars: [{ text: 'CPU per answer at most 1.2 × Envoy', metric: 'cpu', against: 'envoy', most: 1.2 }],
      },
      settings,
    ),
};
