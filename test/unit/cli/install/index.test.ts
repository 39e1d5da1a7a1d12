import { describe, expect, it } from 'vitest';
import { installCommand, valuesOf } from '../../../../src/cli/install/index.ts';

describe('remora install', () => {
  it('sets values by their names, with their types', () => {
    const values = valuesOf({ image: 'r/remora:2', minReplicas: '3', nativeSidecar: 'false', 'resources.cpu': '1' });
    expect(values).toMatchObject({
      image: 'r/remora:2',
      minReplicas: 3,
      nativeSidecar: false,
      resources: { cpu: '1' },
    });
  });
  it('refuses what is no value, and what is of another type', () => {
    expect(() => valuesOf({ imag: 'a', resources: 'b', minReplicas: 'many', nativeSidecar: 'yes' })).toThrow(
      /imag: is no value of the installation; there are .*image, .*resources\.cpu.*\n.*resources: is no value of the installation.*\n.*minReplicas: must be a whole number\n.*nativeSidecar: must be true or false/,
    );
  });
  it('refuses what the API server would refuse later, or worse, take', () => {
    expect(() => valuesOf({ namespace: '', image: '' })).toThrow(
      /namespace: must not be empty\n.*image: must not be empty/,
    );
    expect(() => valuesOf({ namespace: 'My_Mesh' })).toThrow(
      /namespace: must be the name of a namespace, got "My_Mesh"/,
    );
    expect(() => valuesOf({ webhookFailurePolicy: 'fail', ingressServiceType: 'nodeport' })).toThrow(
      /webhookFailurePolicy: must be one of Fail, Ignore, got "fail"\n.*must be one of LoadBalancer, NodePort, ClusterIP/,
    );
  });
  it('applies nothing by itself', async () => {
    await expect(installCommand().parseAsync([], { from: 'user' })).rejects.toThrow('--dry-run | kubectl apply');
  });
});
