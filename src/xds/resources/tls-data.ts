import { messageOf } from '../../base/errors.ts';
import { MAX_PEM_BYTES, PemError } from '../../base/pem.ts';
import { SecretBytes } from '../../base/secret-bytes.ts';
import type { TlsData } from '../../model/tls.ts';
import type * as core from '../proto/gen/envoy/config/core/v3.ts';
import type { Decoding } from './decoding.ts';

/** A source of PEM or key bytes. Files stay files: whoever uses them reads them again when they change. */
export function decodeTlsData(source: core.DataSource): TlsData {
  if (source.filename !== undefined) return { kind: 'file', path: source.filename };
  return {
    kind: 'inline',
    bytes: new SecretBytes(source.inline_bytes ?? Buffer.from(source.inline_string ?? '', 'utf8')),
  };
}

/** What is in it now; undefined when it cannot be read, which is then a problem. */
export function readTlsData(data: TlsData, path: string, s: Decoding, maxBytes = MAX_PEM_BYTES): Buffer | undefined {
  if (data.kind === 'inline') return data.bytes.reveal();
  try {
    return Buffer.from(s.context.readFile(data.path, maxBytes));
  } catch (error) {
    s.error(`${path}.filename`, `cannot be read: ${messageOf(error)}`);
    return undefined;
  }
}

/** Runs a check of `bytes`; what it throws as a PemError becomes a problem that names the file. */
export function checkTlsData<T>(
  data: TlsData,
  path: string,
  s: Decoding,
  check: (bytes: Buffer) => T,
  maxBytes = MAX_PEM_BYTES,
): T | undefined {
  const bytes = readTlsData(data, path, s, maxBytes);
  if (bytes === undefined) return undefined;
  try {
    return check(bytes);
  } catch (error) {
    if (!(error instanceof PemError)) throw error;
    s.error(path, data.kind === 'file' ? `${data.path} ${error.message}` : error.message);
    return undefined;
  }
}
