import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LogRoot } from '../../../../src/base/log.ts';
import type { CommonTls } from '../../../../src/model/tls.ts';
import type { WatchedFiles } from '../../../../src/proxy/tls/files.ts';
import { MaterialSource } from '../../../../src/proxy/tls/material.ts';
import { SecretStore } from '../../../../src/proxy/tls/secrets.ts';
import { certPath } from '../../../support/certs/index.ts';
import { manualClock } from '../../../support/clock.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'remora-material-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string): void {
  copyFileSync(certPath(`${name}.pem`), join(folder, 'tls.crt'));
  copyFileSync(certPath(`${name}.key`), join(folder, 'tls.key'));
}

it('is used anew when what is in the files has changed, or somebody asks for it, and said to be only when it has', () => {
  write('server');
  const lines: string[] = [];
  const clock = manualClock();
  let somethingChanged = (): void => {};
  const files = {
    watch(_paths: Iterable<string>, _directories: Iterable<string>, changed: () => void) {
      somethingChanged = changed;
      return () => {};
    },
  } as unknown as WatchedFiles;
  const common: CommonTls = {
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: [],
    curves: [],
    signatureAlgorithms: [],
    certificates: [
      {
        kind: 'given',
        certificate: {
          chain: { kind: 'file', path: join(folder, 'tls.crt') },
          key: { kind: 'file', path: join(folder, 'tls.key') },
          password: null,
          watchedDirectory: '',
        },
      },
    ],
    validation: null,
    alpn: [],
  };
  const used: string[] = [];
  const source = new MaterialSource(
    common,
    'listener test',
    { log: new LogRoot(clock, (line) => lines.push(line), 'info').logger(), secrets: new SecretStore(), files },
    ({ certificates }) => used.push(certificates[0]!.leaf.subject.split(',')[0]!),
  );
  expect(used).toEqual(['CN=server']);

  writeFileSync(join(folder, 'access.log'), 'a line');
  somethingChanged();
  expect(used).toHaveLength(1);

  source.refresh();
  expect(used).toEqual(['CN=server', 'CN=server']);
  expect(lines).toEqual([]);

  write('server-2');
  somethingChanged();
  expect(used.at(-1)).toBe('CN=server-2');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain('certificates replaced context="listener test"');

  writeFileSync(join(folder, 'tls.key'), 'half of a key');
  somethingChanged();
  expect(lines[1]).toContain('those before stay in force');
  write('server-2');
  somethingChanged();
  expect(used).toHaveLength(3);
  source.close();
});
