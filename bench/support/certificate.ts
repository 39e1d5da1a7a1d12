import { fileURLToPath } from 'node:url';

/** An ECDSA P-256 certificate and its key: those of the tests, which nobody trusts. */
export const CERTIFICATE = fixture('server.pem');
export const KEY = fixture('server.key');

function fixture(name: string): string {
  return fileURLToPath(new URL(`../../test/support/certs/${name}`, import.meta.url));
}
