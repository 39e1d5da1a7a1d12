import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { podIdentity } from '../../../src/cli/pod-identity.ts';

const folder = mkdtempSync(join(tmpdir(), 'remora-pod-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ENV = {
  POD_NAME: 'web-1',
  POD_NAMESPACE: 'shop',
  INSTANCE_IP: '10.0.0.7',
  INSTANCE_IPS: '10.0.0.7,fd00::7',
  SERVICE_ACCOUNT: 'web',
  NODE_NAME: 'node1',
  ISTIO_META_WORKLOAD_NAME: 'web',
  ISTIO_META_CLUSTER_ID: 'east',
  ISTIO_META_INTERCEPTION_MODE: 'REDIRECT',
  ISTIO_META_APP_CONTAINERS: 'web',
  PATH: '/bin',
};

describe('who a proxy in a pod is', () => {
  it('comes from the downward API', () => {
    const file = join(folder, 'labels');
    writeFileSync(file, 'app="web"\napp.kubernetes.io/version="v1=2"\n');
    expect(podIdentity(ENV, file)).toEqual({
      pod: 'web-1',
      namespace: 'shop',
      ip: '10.0.0.7',
      labels: { app: 'web', 'app.kubernetes.io/version': 'v1=2' },
      serviceAccount: 'web',
      workload: 'web',
      clusterId: 'east',
      interception: 'REDIRECT',
      metadata: { INSTANCE_IPS: '10.0.0.7,fd00::7', NODE_NAME: 'node1', APP_CONTAINERS: 'web' },
    });
  });

  it('is nobody outside a pod', () => {
    for (const name of ['POD_NAME', 'POD_NAMESPACE', 'INSTANCE_IP'])
      expect(podIdentity({ ...ENV, [name]: undefined }, join(folder, 'none'))).toBeNull();
  });

  it('says what is wrong', () => {
    expect(() => podIdentity({ ...ENV, INSTANCE_IP: 'here' })).toThrow('INSTANCE_IP is "here"');
    const file = join(folder, 'broken');
    writeFileSync(file, 'app=web\n');
    expect(() => podIdentity(ENV, file)).toThrow('is not key="value"');
  });
});
