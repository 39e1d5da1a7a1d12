import { measureLoad, type Scenario } from '../support/measure.ts';
import { SMALL } from './small.ts';

/** The small scenario with a local rate limit that is never reached and routes by header and regex before the last. */
export const features: Scenario = {
  name: 'features',
  run: (settings) =>
    measureLoad(
      {
        ...SMALL,
        name: 'features',
        title: 'as small, with local rate limit, header and regex routes',
        features: true,
        bars: [{ text: 'CPU per request at most 0.7 × Envoy', metric: 'cpu', against: 'envoy', most: 0.7 }],
      },
      settings,
    ),
};
