import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The test certificates that make.sh made: `pem('server')`, `key('server')`. Their keys are public. */
export function pem(name: string): string {
  return readFileSync(certPath(`${name}.pem`), 'utf8');
}

export function key(name: string): string {
  return readFileSync(certPath(`${name}.key`), 'utf8');
}

export function certPath(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}
