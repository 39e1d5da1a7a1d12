import { existsSync, readFileSync } from 'node:fs';
import { writeBootstrap } from '../support/bootstrap.ts';
import { BUNDLE, NODE } from '../support/programs.ts';
import type { Peer } from './peer.ts';

export interface RemoraOptions {
  readonly name?: string;
  /** Another build's `remora.js`. */
  readonly bundle?: string;
  /** Node flags that the product does not use itself. */
  readonly flags?: readonly string[];
  /** Folder for compiled code, so that no earlier run's is read. */
  readonly compileCache?: string;
}

/** The product as it ships: its bundle, its own CLI, started with the flags that its first line names. */
export function remora(options: RemoraOptions = {}): Peer {
  const bundle = options.bundle ?? BUNDLE;
  return {
    name: options.name ?? 'remora',
    missing: existsSync(bundle) ? null : `${bundle} is not built (npm run setup)`,
    hasFeatures: true,
    hasTls: true,
    hasControl: true,
    hasWorkers: true,
    env: options.compileCache === undefined ? {} : { NODE_COMPILE_CACHE: options.compileCache },
    version: [NODE, bundle, '--version'],
    command(site) {
      return [
        NODE,
        ...ownFlags(bundle),
        ...(options.flags ?? []),
        bundle,
        'proxy',
        '-c',
        writeBootstrap(site),
        '--log-level',
        'warning',
        // A build of an earlier day does not know it.
        ...(site.workers === undefined ? [] : ['--concurrency', String(site.workers)]),
      ];
    },
  };
}

/** `#!/usr/bin/env -S node --flag`: the first line is what runs it where it is installed. */
export function ownFlags(bundle: string): string[] {
  const first = readFileSync(bundle, 'utf8').split('\n', 1)[0]!;
  return first.startsWith('#!') ? first.split(' ').filter((word) => word.startsWith('--')) : [];
}
