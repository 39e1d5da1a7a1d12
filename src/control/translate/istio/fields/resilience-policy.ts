import { list, message } from '../../../source/schema/message.ts';
import { bool, duration, string, uint32 } from '../../../source/schema/scalar.ts';
import { effective, type Read, required } from '../../../source/schema/type.ts';

/** As the Gateway API's LocalPolicyTargetReferenceWithSectionName. */
export const targetRef = message('TargetRef', {
  group: effective(string),
  kind: required(string),
  name: required(string),
  /** For a VirtualService: the name of one of its HTTP routes. */
  sectionName: effective(string),
});

export const localRateLimit = message('LocalRateLimit', {
  requests: required(uint32),
  per: required(duration),
  burst: effective(uint32),
  status: effective(uint32),
  responseHeaders: effective(bool),
});

export const rateLimit = message('RateLimit', { local: required(localRateLimit) });

export const resiliencePolicy = message('ResiliencePolicy', {
  targetRefs: required(list(targetRef)),
  rateLimit: required(rateLimit),
});

export type ResiliencePolicySpec = Read<typeof resiliencePolicy>;
