import { join } from 'node:path';
import { nginxCommand } from '../support/origin.ts';
import { findProgram } from '../support/programs.ts';
import { hostName, indexes, type Peer, type RouteTable, routePath } from './peer.ts';

/** nginx with one worker, kept-alive upstream connections, retries and an access log. */
export function nginx(): Peer {
  const program = findProgram('nginx');
  return {
    name: 'nginx',
    missing: program === null ? 'not installed (apt install nginx-light)' : null,
    hasFeatures: false,
    version: [program ?? '', '-v'],
    command(site) {
      const log = join(site.folder, 'access.log');
      return nginxCommand(
        program!,
        site.folder,
        `${site.table === undefined ? '' : 'server_names_hash_max_size 65536; server_names_hash_bucket_size 128;'}
        upstream backend { server 127.0.0.1:${site.backend}; keepalive 128; keepalive_requests 1000000000; }
        server {
          listen 127.0.0.1:${site.port} default_server backlog=1024;
          access_log ${log} combined buffer=64k flush=1s;
          location / {${PASS}
          }
        }
        ${site.table === undefined ? '' : hosts(site.table, site.port)}`,
        site.connections,
      );
    },
  };
}

const PASS = `
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_next_upstream error timeout http_503;
            proxy_max_temp_file_size 0;
            proxy_request_buffering off;`;

/** One server of many names, since all do the same; a location for each path. */
function hosts({ hosts, routes }: RouteTable, port: number): string {
  const locations = indexes(routes).map((i) => `location = ${routePath(i)} {${PASS}\n}`);
  return `server {
    listen 127.0.0.1:${port};
    server_name ${indexes(hosts).map(hostName).join('\n')};
    ${locations.join('\n')}
  }`;
}
