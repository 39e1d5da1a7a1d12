import { describe, expect, it } from 'vitest';
import type { MtlsMode, PeerAuthenticationRule } from '../../../../src/control/mesh/authentication.ts';
import { MtlsPolicies, portMtls, workloadMtls } from '../../../../src/control/translate/peer-authentication.ts';

function rule(
  namespace: string,
  mode: MtlsMode | null,
  more: Partial<PeerAuthenticationRule> = {},
): PeerAuthenticationRule {
  return {
    namespace,
    selector: {},
    mode,
    ports: new Map(),
    written: { object: `PA ${namespace}`, place: '' },
    ...more,
  };
}
const WEB = { app: 'web' };

describe('what a workload takes', () => {
  it.each<[string, PeerAuthenticationRule[], MtlsMode]>([
    ['nothing is written', [], 'PERMISSIVE'],
    ['the mesh says so', [rule('istio-system', 'STRICT')], 'STRICT'],
    ['its namespace says otherwise', [rule('istio-system', 'STRICT'), rule('shop', 'DISABLE')], 'DISABLE'],
    ['its namespace says nothing of it', [rule('istio-system', 'STRICT'), rule('shop', null)], 'STRICT'],
    ['another namespace says so', [rule('bank', 'STRICT')], 'PERMISSIVE'],
    ['its own rule is the nearest', [rule('shop', 'STRICT'), rule('shop', 'DISABLE', { selector: WEB })], 'DISABLE'],
    ['the rule is for others', [rule('shop', 'STRICT', { selector: { app: 'db' } })], 'PERMISSIVE'],
    ['a rule of the root selects', [rule('istio-system', 'STRICT', { selector: WEB })], 'PERMISSIVE'],
    ['of two of a reach the first is older', [rule('shop', 'STRICT'), rule('shop', 'DISABLE')], 'STRICT'],
  ])('where %s', (_, rules, mode) => {
    expect(workloadMtls(rules, 'shop', WEB).mode).toBe(mode);
  });

  it('may differ by its own ports', () => {
    const ports = new Map([
      [8080, 'STRICT'],
      [9090, null],
    ] as const);
    const found = workloadMtls([rule('shop', 'DISABLE'), rule('shop', null, { selector: WEB, ports })], 'shop', WEB);
    expect([8080, 9090, 1].map((port) => portMtls(found, port))).toEqual(['STRICT', 'DISABLE', 'DISABLE']);
  });

  it('in the root namespace is what the mesh says', () => {
    const rules = [rule('istio-system', 'STRICT'), rule('istio-system', 'DISABLE', { selector: WEB })];
    expect(workloadMtls(rules, 'istio-system', WEB).mode).toBe('STRICT');
  });

  it('is found once for all workloads that no rule tells apart', () => {
    const policies = new MtlsPolicies([rule('shop', 'STRICT', { selector: WEB })]);
    expect(policies.of('shop', { app: 'web', pod: 'a' })).toBe(policies.of('shop', { app: 'web', pod: 'b' }));
    expect(policies.of('shop', { app: 'db' }).mode).toBe('PERMISSIVE');
  });
});
