import type { RateLimitPolicy } from '../../mesh/traffic-policy.ts';
import { objectName } from '../../source/collection.ts';
import { placeOf } from '../../source/finding.ts';
import type { Sink } from '../../source/schema/type.ts';
import type { Decoded } from '../decoded.ts';
import { fullHost } from '../names.ts';
import { checkRange } from './check.ts';
import type { ResiliencePolicySpec } from './fields/resilience-policy.ts';

const GROUPS: Readonly<Record<string, string>> = {
  Service: '',
  Gateway: 'networking.istio.io',
  VirtualService: 'networking.istio.io',
};

export function checkResiliencePolicy(spec: ResiliencePolicySpec, sink: Sink): void {
  if (spec.targetRefs.length === 0)
    sink.error('missing-field', ['spec', 'targetRefs'], 'at least one target is required');
  for (const [i, ref] of spec.targetRefs.entries()) {
    const path = ['spec', 'targetRefs', i];
    if (!Object.hasOwn(GROUPS, ref.kind)) {
      sink.error(
        'invalid-value',
        [...path, 'kind'],
        `expected Service, Gateway or VirtualService, got ${JSON.stringify(ref.kind)}`,
      );
      continue;
    }
    // Left out it is the only one there is; the Gateway API's own Gateway is another object.
    if (ref.group !== undefined && ref.group !== GROUPS[ref.kind]) {
      sink.error(
        'invalid-value',
        [...path, 'group'],
        `expected ${JSON.stringify(GROUPS[ref.kind])} for a ${ref.kind}, got ${JSON.stringify(ref.group)}`,
      );
    }
    if (ref.kind !== 'VirtualService' && ref.sectionName !== undefined) {
      sink.error(
        'invalid-value',
        [...path, 'sectionName'],
        'only a VirtualService has sections: its HTTP routes by name',
      );
    }
  }
  const path = ['spec', 'rateLimit', 'local'];
  const { per, burst, requests, status } = spec.rateLimit.local;
  checkRange(requests, 1, 4294967295, [...path, 'requests'], sink);
  if (per === 0) sink.error('out-of-range', [...path, 'per'], 'expected a duration of at least 1ms');
  checkRange(burst, 1, 4294967295, [...path, 'burst'], sink);
  checkRange(status, 400, 599, [...path, 'status'], sink);
}

/** One limit for each target. A VirtualService without a section has it on every one of its routes. */
export function rateLimits({ object, value }: Decoded<'ResiliencePolicy'>): readonly RateLimitPolicy[] {
  const { requests, per, burst, status, responseHeaders } = value.rateLimit.local;
  return value.targetRefs.map((ref, i) => ({
    target: target(ref, object.namespace),
    requests,
    perMs: per,
    burst: burst ?? requests,
    status: status ?? 429,
    responseHeaders: responseHeaders ?? true,
    written: { object: objectName(object), place: placeOf(object, ['spec', 'targetRefs', i]) },
  }));
}

function target(ref: ResiliencePolicySpec['targetRefs'][number], namespace: string): RateLimitPolicy['target'] {
  if (ref.kind === 'Gateway') return { kind: 'gateway', gateway: `${namespace}/${ref.name}` };
  if (ref.kind === 'VirtualService') {
    return { kind: 'route', virtualService: `${namespace}/${ref.name}`, routeName: ref.sectionName ?? '' };
  }
  return { kind: 'service', host: fullHost(ref.name, namespace) };
}
