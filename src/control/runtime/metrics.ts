import { parseCertificates } from '../../base/pem.ts';
import type { CaMaterial } from '../ca/root.ts';
import type { Finding } from '../source/collection.ts';

/** What the control server counts of itself. Names are Istio's where there is one, which dashboards and alerts have. */
export interface ControlNumbers {
  /** Connected proxies. */
  readonly proxies: number;
  readonly services: number;
  readonly findings: readonly Finding[];
  /** null: there is no CA, or it is not there yet. */
  readonly ca: Pick<CaMaterial, 'certificate' | 'roots'> | null;
}

/** Prometheus' text format 0.0.4. */
export function metricsText({ proxies, services, findings, ca }: ControlNumbers): string {
  const lines: string[] = [];
  const gauge = (name: string, help: string, values: readonly (readonly [labels: string, value: number])[]): void => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`);
    for (const [labels, value] of values) lines.push(`${name}${labels} ${value}`);
  };
  const of = (severity: string): number => findings.filter((one) => one.severity === severity).length;
  gauge('pilot_xds', 'Proxies connected by xDS.', [['', proxies]]);
  gauge('pilot_services', 'Services of the mesh.', [['', services]]);
  gauge('remora_control_findings', 'What is wrong with the config in force.', [
    ['{severity="error"}', of('error')],
    ['{severity="warning"}', of('warning')],
  ]);
  if (ca !== null) {
    const ends = parseCertificates(Buffer.from(ca.roots)).map(({ validToDate }) => validToDate.getTime() / 1000);
    const end = ca.certificate.validToDate.getTime() / 1000;
    const begun = ca.certificate.validFromDate.getTime() / 1000;
    gauge('citadel_server_root_cert_expiry_timestamp', 'When the first of the roots expires, unix seconds.', [
      ['', Math.min(...ends)],
    ]);
    gauge('citadel_server_cert_chain_expiry_timestamp', 'When the certificate that signs expires, unix seconds.', [
      ['', end],
    ]);
    gauge('remora_ca_certificate_start_timestamp', 'When the certificate that signs began, unix seconds.', [
      ['', begun],
    ]);
  }
  return `${lines.join('\n')}\n`;
}
