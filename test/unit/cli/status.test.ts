import { describe, expect, it } from 'vitest';
import { PLAIN } from '../../../src/cli/output.ts';
import { formatStatus, type ProxyState, type TypeState } from '../../../src/cli/status.ts';

const TYPES = {
  LDS: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  RDS: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
  CDS: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  EDS: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
};

function proxy(pod: string, states: Partial<Record<keyof typeof TYPES, TypeState['state']>>, reason = ''): ProxyState {
  const types = Object.entries(states).map(([name, state]) => ({
    typeUrl: TYPES[name as keyof typeof TYPES],
    state,
    nacked: state === 'rejected' ? { reason } : null,
  }));
  return { node: { id: '', kind: 'sidecar', pod, namespace: 'default', userAgent: 'remora/0.1.0' }, types };
}

describe('the status of a mesh', () => {
  it('is a row for each proxy, sorted, with the reasons of refusals', () => {
    const proxies = [
      proxy('reviews-v1', { LDS: 'synced', RDS: 'rejected', CDS: 'synced', EDS: 'pushing' }, 'no such\n  thing'),
      proxy('details', { LDS: 'synced', RDS: 'synced', CDS: 'synced', EDS: 'waiting' }),
    ];
    const findings = [{ severity: 'error', text: 'x' }];
    expect(formatStatus({ control: '127.0.0.1:15014', proxies, findings }, PLAIN)).toBe(
      'PROXY               KIND     LDS     RDS     CDS     EDS    VERSION\n' +
        'details.default     sidecar  SYNCED  SYNCED  SYNCED  STALE  remora/0.1.0\n' +
        'reviews-v1.default  sidecar  SYNCED  NACKED  SYNCED  STALE  remora/0.1.0\n' +
        'NACKED reviews-v1.default RDS: no such thing\n' +
        '\n' +
        '2 proxies; 1 error, 0 warnings in the config: see `remora analyze` (control server 127.0.0.1:15014)\n',
    );
  });

  it('says that nobody is there', () => {
    expect(formatStatus({ control: '127.0.0.1:1', proxies: [], findings: [] }, PLAIN)).toBe(
      'no proxy is connected to the control server at 127.0.0.1:1\n\n' +
        '0 proxies; no mistakes in the config (control server 127.0.0.1:1)\n',
    );
  });

  it('shows what a proxy does not ask for as a dash', () => {
    const text = formatStatus({ control: 'c', proxies: [proxy('a', { CDS: 'synced' })], findings: [] }, PLAIN);
    expect(text.split('\n')[1]).toBe('a.default  sidecar  -    -    SYNCED  -    remora/0.1.0');
  });
});
