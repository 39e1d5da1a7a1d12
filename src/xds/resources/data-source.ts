import { messageOf } from '../../base/errors.ts';
import type * as core from '../proto/gen/envoy/config/core/v3.ts';
import type { Decoding } from './decoding.ts';

/** Of a body or a format: far above any that somebody means to send. */
const MAX_BYTES = 16 * 1024 * 1024;

/** The bytes of a DataSource; empty when it cannot be read, which is then a problem. */
export function decodeData(source: core.DataSource, path: string, s: Decoding): Buffer {
  if (source.inline_bytes !== undefined) return Buffer.from(source.inline_bytes);
  if (source.inline_string !== undefined) return Buffer.from(source.inline_string, 'utf8');
  if (source.filename === undefined) return Buffer.alloc(0);
  try {
    return Buffer.from(s.context.readFile(source.filename, MAX_BYTES));
  } catch (error) {
    s.error(`${path}.filename`, `cannot be read: ${messageOf(error)}`);
    return Buffer.alloc(0);
  }
}
