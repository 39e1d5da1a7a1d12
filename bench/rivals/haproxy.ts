import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../support/programs.ts';
import type { Peer } from './peer.ts';

/** HAProxy with one thread, kept-alive upstream connections, retries and its HTTP log. */
export function haproxy(): Peer {
  const program = findProgram('haproxy');
  return {
    name: 'haproxy',
    missing: program === null ? 'not installed (apt install haproxy)' : null,
    hasFeatures: false,
    version: [program ?? '', '-v'],
    logsToStdout: true,
    command(site) {
      const file = join(site.folder, 'haproxy.cfg');
      writeFileSync(
        file,
        `global
  maxconn 4000
  nbthread 1
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option forwardfor
  option http-keep-alive
  http-reuse always
  retries 2
  retry-on conn-failure 503
  timeout connect 5s
  timeout client 1h
  timeout server 15s
frontend inbound
  bind 127.0.0.1:${site.port}
  default_backend backend
backend backend
  server one 127.0.0.1:${site.backend}
`,
      );
      return [program!, '-db', '-f', file];
    },
  };
}
