import { expect, test } from 'vitest';
import { newRoot, readCa } from '../../../../src/control/ca/root.ts';
import { metricsText } from '../../../../src/control/runtime/metrics.ts';

// pains.md row 51
test('the control server tells what it serves, what is wrong, and until when its CA can sign', () => {
  const now = Date.UTC(2026, 0, 1);
  const ca = readCa(newRoot('cluster.local', now), now);
  const finding = { code: 'x', object: '', field: '', message: '', file: '', line: 0 };
  const findings = [{ ...finding, severity: 'error' } as const, { ...finding, severity: 'warning' } as const];
  const text = metricsText({ proxies: 3, services: 7, findings, ca });
  const values = new Map(
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.split(' ') as [string, string]),
  );
  const end = String(now / 1000 + 10 * 365 * 86_400);
  expect(Object.fromEntries(values)).toEqual({
    pilot_xds: '3',
    pilot_services: '7',
    'remora_control_findings{severity="error"}': '1',
    'remora_control_findings{severity="warning"}': '1',
    citadel_server_root_cert_expiry_timestamp: end,
    citadel_server_cert_chain_expiry_timestamp: end,
    remora_ca_certificate_start_timestamp: expect.stringMatching(/^17672\d{5}$/),
  });
  expect(metricsText({ proxies: 0, services: 0, findings: [], ca: null })).not.toContain('citadel');
  // Each has a type, or Prometheus takes it for untyped.
  expect(text.split('# TYPE ')).toHaveLength(7);
});
