import { accessSync, constants, statSync } from 'node:fs';
import { systemClock } from '../base/clock.ts';
import { ConfigError, errorCode, messageOf } from '../base/errors.ts';
import type { ConfigState } from '../control/source/collection.ts';
import { FileSource } from '../control/source/files/watch.ts';
import { readObjects } from '../control/source/files/yaml.ts';

/** Says at once, and in one line, that a path somebody named cannot be read. */
export function checkPaths(paths: readonly string[]): void {
  for (const path of paths) {
    try {
      const needed = statSync(path).isDirectory() ? constants.R_OK | constants.X_OK : constants.R_OK;
      accessSync(path, needed);
    } catch (error) {
      throw new ConfigError(`cannot read ${path}: ${reasonOf(error)}`, [], error);
    }
  }
}

function reasonOf(error: unknown): string {
  const code = errorCode(error);
  if (code === 'ENOENT') return 'no such file or folder';
  if (code === 'EACCES') return 'no permission';
  return messageOf(error);
}

/** Everything in folders and files, read once. */
export async function readPaths(paths: readonly string[]): Promise<ConfigState> {
  checkPaths(paths);
  const source = new FileSource({ paths, clock: systemClock });
  try {
    await source.refresh();
    return source.state;
  } finally {
    await source.close();
  }
}

/** The objects of a text that came by a pipe. */
export function readText(text: string, name: string): ConfigState {
  return readObjects(text, name);
}
