import { closeSync, openSync, readSync } from 'node:fs';
import { RemoraError } from './errors.ts';

const CHUNK_BYTES = 64 * 1024;

/**
 * The content of a small file. No more than `maxBytes` and one are ever read, whatever the file is (a pipe, a device, a
 * log by mistake); throws what the system says, and `too_large` with path and limit.
 */
export function readBoundedFile(path: string, maxBytes: number): Buffer {
  const file = openSync(path, 'r');
  try {
    const chunks: Buffer[] = [];
    let size = 0;
    while (size <= maxBytes) {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, maxBytes + 1 - size));
      const read = readSync(file, chunk);
      if (read === 0) return Buffer.concat(chunks, size);
      chunks.push(chunk.subarray(0, read));
      size += read;
    }
  } finally {
    closeSync(file);
  }
  const message = `${path} has more than ${maxBytes} bytes: it is not the file that is expected there`;
  throw new RemoraError('too_large', message, { source: 'user' });
}
