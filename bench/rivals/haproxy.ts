import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../support/programs.ts';
import { hostName, indexes, type Peer, routePath, type Site } from './peer.ts';

/** HAProxy with one thread, kept-alive upstream connections, retries and its HTTP log; as `features` what it has of them. */
export function haproxy(): Peer {
  const program = findProgram('haproxy');
  return {
    name: 'haproxy',
    missing: program === null ? 'not installed (apt install haproxy)' : null,
    hasFeatures: true,
    version: [program ?? '', '-v'],
    logsToStdout: true,
    command(site) {
      const file = join(site.folder, 'haproxy.cfg');
      // Not strict: it reckons with two descriptors a connection, and idle ones have one.
      writeFileSync(
        file,
        `global
  maxconn ${Math.max(4000, (site.connections ?? 0) + 100)}
  no strict-limits
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
  bind 127.0.0.1:${site.port}${site.features ? FEATURES : ''}${routes(site)}
  default_backend backend
backend backend
  server one 127.0.0.1:${site.backend}
`,
      );
      return [program!, '-db', '-f', file];
    },
  };
}

/** A request id, a rate limit that is never reached, and the rules of the RBAC filters. It has no fault injection. */
const FEATURES = `
  unique-id-format %[uuid()]
  unique-id-header x-request-id
  stick-table type ip size 1k expire 10s store http_req_rate(1s)
  http-request track-sc0 dst
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000000 }
  http-request deny if { path_beg /admin }
  http-request deny unless { method GET HEAD } { dst_port 1:65535 } { src 127.0.0.0/8 }
  http-request set-header x-canary 1 if { req.hdr(end-user) jason }
  http-request return status 403 if { path_reg ^/admin/[a-z]+$ }`;

/** Hosts and paths in maps, which are trees; an unknown one falls to the default backend. */
function routes({ table, folder }: Site): string {
  if (table === undefined) return '';
  writeFileSync(
    join(folder, 'hosts.map'),
    indexes(table.hosts)
      .map((i) => `${hostName(i)} backend\n`)
      .join(''),
  );
  writeFileSync(
    join(folder, 'paths.map'),
    indexes(table.routes)
      .map((i) => `${routePath(i)} backend\n`)
      .join(''),
  );
  const known = `req.hdr(host),field(1,:),lower,map_str(${folder}/hosts.map)`;
  return `
  use_backend %[path,map_str(${folder}/paths.map)] if { ${known} -m found }`;
}
