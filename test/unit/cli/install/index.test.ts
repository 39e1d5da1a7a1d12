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
      /imag: is no value\n.*resources: is no value\n.*minReplicas: must be a whole number\n.*nativeSidecar: must be true or false/,
    );
  });
  it('applies nothing by itself', async () => {
    await expect(installCommand().parseAsync([], { from: 'user' })).rejects.toThrow('--dry-run | kubectl apply');
  });
});
