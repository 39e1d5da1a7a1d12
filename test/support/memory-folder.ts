import { accessSync, constants, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const IN_MEMORY = '/dev/shm';

/** A new folder for what a test writes, in memory where the system has that: a disk that others keep busy makes a change of a file wait. */
export function memoryFolder(prefix: string): string {
  return mkdtempSync(join(inMemory() ? IN_MEMORY : tmpdir(), prefix));
}

function inMemory(): boolean {
  try {
    accessSync(IN_MEMORY, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
