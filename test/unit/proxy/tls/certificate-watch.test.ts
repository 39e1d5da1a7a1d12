import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { LogRoot } from '../../../../src/base/log.ts';
import { Certificate } from '../../../../src/proxy/tls/certificate-info.ts';
import { CertificateWatch } from '../../../../src/proxy/tls/certificate-watch.ts';
import type { CertificateView } from '../../../../src/proxy/tls/contexts.ts';
import { manualClock } from '../../../support/clock.ts';

const read = (name: string) =>
  new Certificate(new X509Certificate(readFileSync(new URL(`../../../support/certs/${name}.pem`, import.meta.url))));

test('says once that a file or a secret is not replaced, and nothing of the proxy’s own identity', () => {
  const clock = manualClock();
  const lines: string[] = [];
  const log = new LogRoot(clock, (line) => lines.push(line), 'info').logger();
  const certificate = read('server');
  const { notBefore, notAfter } = certificate;
  const shown: CertificateView[] = [
    { own: false, roots: [], chain: [{ certificate, path: '/etc/tls.pem' }] },
    { own: false, roots: [{ certificate: read('root-a'), path: '<inline>' }], chain: [] },
    { own: true, roots: [], chain: [{ certificate: read('client'), path: '<inline>' }] },
  ];
  // Years are not to pass in minutes.
  const begun = notBefore + 0.6 * (notAfter - notBefore) - clock.wall();
  const later = { now: clock.now, after: clock.after, wall: () => clock.wall() + begun };
  const watch = new CertificateWatch({ clock: later, log, views: () => shown });
  watch.start();
  clock.advance(60_000);
  const said = () => lines.filter((line) => line.includes('certificate "'));
  expect(said().filter((line) => line.includes('/etc/tls.pem'))).toHaveLength(1);
  expect(said().filter((line) => line.includes('/etc/tls.pem'))[0]).toContain('of its life');
  expect(said().filter((line) => line.includes('a secret')).length).toBeLessThan(2);
  clock.advance(600_000);
  expect(said().filter((line) => line.includes('/etc/tls.pem'))).toHaveLength(1);
  expect(said().join('')).not.toContain('client');
  watch.stop();
  expect(clock.pending).toBe(0);
});
