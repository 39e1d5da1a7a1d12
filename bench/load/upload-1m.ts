import { measureLoad, type Scenario } from '../support/measure.ts';
import { smallBody } from '../support/origin.ts';

const BYTES = 1024 * 1024;

/** Large bodies the other way. */
export const upload1m: Scenario = {
  name: 'upload-1m',
  run: (settings) =>
    measureLoad(
      {
        name: 'upload-1m',
        title: '1 MiB uploads, 8 connections',
        connections: 8,
        bodyBytes: smallBody.length,
        features: false,
        ask: { uploadBytes: BYTES },
        bars: [{ text: 'CPU per upload at most 1.2 × Envoy', metric: 'cpu', against: 'envoy', most: 1.2 }],
      },
      settings,
    ),
};
