import { type LoadScenario, measureLoad, type Scenario } from '../support/measure.ts';
import { smallBody } from '../support/origin.ts';

/** Large bodies the other way. */
export const UPLOAD_1M: LoadScenario = {
  name: 'upload-1m',
  title: '1 MiB uploads, 8 connections',
  connections: 8,
  bodyBytes: smallBody.length,
  features: false,
  ask: { uploadBytes: 1024 * 1024 },
  bars: [{ text: 'CPU per upload at most 1.2 × Envoy', metric: 'cpu', against: 'envoy', most: 1.2 }],
};

export const upload1m: Scenario = { name: UPLOAD_1M.name, run: (settings) => measureLoad(UPLOAD_1M, settings) };
