import { describe, expect, it } from 'vitest';
import { proxyNode } from '../../../../src/control/serve/node.ts';

describe('proxy node', () => {
  it('is read from an Istio node id and its metadata', () => {
    const node = proxyNode({
      id: 'sidecar~10.0.0.7~reviews-v1-abc.default~default.svc.cluster.local',
      cluster: 'reviews.default',
      locality: { region: 'r', zone: 'z' },
      metadata: {
        LABELS: { app: 'reviews', version: 'v1', odd: 3 },
        INSTANCE_IPS: '10.0.0.7,fd00::7',
        WORKLOAD_NAME: 'reviews-v1',
        SERVICE_ACCOUNT: 'bookinfo',
        CLUSTER_ID: 'Kubernetes',
        INTERCEPTION_MODE: 'REDIRECT',
      },
      user_agent_name: 'envoy',
      user_agent_build_version: { version: { major_number: 1, minor_number: 40 } },
    });
    expect(node).toMatchObject({
      kind: 'sidecar',
      ip: '10.0.0.7',
      addresses: ['10.0.0.7', 'fd00::7'],
      pod: 'reviews-v1-abc',
      namespace: 'default',
      domain: 'default.svc.cluster.local',
      workload: 'reviews-v1',
      serviceAccount: 'bookinfo',
      clusterId: 'Kubernetes',
      interceptionMode: 'REDIRECT',
      userAgent: 'envoy/1.40.0',
      locality: { region: 'r', zone: 'z', subZone: '' },
    });
    expect([...node.labels]).toEqual([
      ['app', 'reviews'],
      ['version', 'v1'],
    ]);
  });

  it('has one key for the same proxy, whatever the order of its labels', () => {
    const of = (labels: Record<string, string>) => proxyNode({ id: 'x', metadata: { LABELS: labels } }).key;
    expect(of({ a: '1', b: '2' })).toBe(of({ b: '2', a: '1' }));
    expect(of({ a: '1' })).not.toBe(of({ a: '2' }));
  });

  it('believes the metadata before the id', () => {
    expect(proxyNode({ id: 'router~1.2.3.4~gw.a.b~d', metadata: { NAMESPACE: 'c' } })).toMatchObject({
      kind: 'router',
      pod: 'gw.a',
      namespace: 'c',
    });
  });

  it('makes something of nothing', () => {
    for (const node of [undefined, {}, { id: 'envoy' }, { id: '~~~' }, { id: 'a~b~c~d~e' }]) {
      expect(proxyNode(node)).toMatchObject({ kind: 'other', namespace: '' });
    }
  });

  it('bounds what is hostile', () => {
    const huge = 'x'.repeat(1_000_000);
    const labels = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`l${i}`, 'v']));
    const node = proxyNode({
      id: `sidecar~10.0.0.1~${huge}.ns~d`,
      metadata: {
        LABELS: labels,
        WORKLOAD_NAME: huge,
        SERVICE_ACCOUNT: 'a\u001b[31m',
        INSTANCE_IPS: '1,'.repeat(400),
        NAMESPACE: { not: 'text' },
      },
    });
    expect(node).toMatchObject({ id: '', workload: '', serviceAccount: '', namespace: '' });
    expect(node.labels.size).toBe(128);
    expect(node.key.length).toBeLessThan(10_000);
    expect(proxyNode({ metadata: { LABELS: JSON.parse('{"__proto__":"x"}') } }).labels.size).toBe(1);
    expect(proxyNode({ metadata: { LABELS: ['a'] } }).labels.size).toBe(0);
  });
});
