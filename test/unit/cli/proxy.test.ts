import { describe, expect, it } from 'vitest';
import { appAddress } from '../../../src/cli/proxy.ts';

describe('the application in the same pod', () => {
  it('is called at the pod’s address, from where the rules let it pass', () => {
    expect(appAddress({ ip: '10.0.0.7', interception: 'REDIRECT' })).toEqual({
      host: '10.0.0.7',
      localAddress: '127.0.0.6',
    });
    expect(appAddress({ ip: 'fd00::7', interception: 'TPROXY' })).toEqual({ host: 'fd00::7', localAddress: '::6' });
    expect(appAddress({ ip: '10.0.0.7', interception: 'NONE' })).toEqual({ host: '10.0.0.7' });
    expect(appAddress(null)).toEqual({ host: '127.0.0.1' });
  });
});
