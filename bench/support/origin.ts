import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { firstAnswer, freePort } from './ask.ts';
import { CERTIFICATE, KEY } from './certificate.ts';
import { BACKEND_CORE, type Child, start, temporaryFolder } from './processes.ts';
import { findProgram, NODE } from './programs.ts';

/** 130 bytes, as a small service answers. */
export const smallBody = JSON.stringify({
  id: '4711',
  reviewer: 'Reviewer1',
  text: 'An extremely entertaining play by Shakespeare. The slapstick humour is!',
  stars: 5,
}).padEnd(130);

export interface Origin {
  readonly child: Child;
  readonly port: number;
  readonly kind: 'nginx' | 'node';
}

/**
 * Starts the server behind the proxies, with answers of `bytes` bytes. `uploads`: one that reads a request's body before
 * it answers, as services do; nginx by itself answers at once, and then some proxies give the rest of the body up.
 */
export async function startOrigin(bytes: number, uploads = false, tls = false): Promise<Origin> {
  const port = await freePort();
  const nginx = uploads ? null : findProgram('nginx');
  if (tls && nginx === null) throw new Error('a backend with TLS needs nginx (apt install nginx-light)');
  const kind = nginx === null ? 'node' : 'nginx';
  const argv =
    nginx === null
      ? [NODE, fileURLToPath(new URL('./backend.ts', import.meta.url)), String(port), String(bytes)]
      : nginxOrigin(nginx, port, bytes, tls);
  const child = start(`backend (${kind})`, argv, { core: BACKEND_CORE });
  const answer = await firstAnswer(port, child, undefined, undefined, tls);
  if (answer.bodyBytes !== bytes) throw new Error(`the backend answered ${answer.bodyBytes} bytes, not ${bytes}`);
  return { child, port, kind };
}

function nginxOrigin(nginx: string, port: number, bytes: number, tls: boolean): string[] {
  const folder = temporaryFolder();
  const small = bytes === smallBody.length;
  if (!small) writeFileSync(join(folder, 'body'), Buffer.alloc(bytes, 'x'));
  const location = small ? `return 200 '${smallBody}';` : `root ${folder}; try_files /body =404;`;
  return nginxCommand(
    nginx,
    folder,
    `server {
      listen 127.0.0.1:${port} ${tls ? 'ssl ' : ''}backlog=4096;
      ${tls ? `ssl_certificate ${CERTIFICATE}; ssl_certificate_key ${KEY};` : ''}
      location / { default_type application/json; ${location} }
    }`,
  );
}

/** nginx in the foreground, one worker, with everything it writes in `folder`. */
export function nginxCommand(nginx: string, folder: string, http: string, connections = 4000): string[] {
  const file = join(folder, 'nginx.conf');
  writeFileSync(
    file,
    `daemon off;
    worker_processes 1;
    pid ${folder}/nginx.pid;
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    events { worker_connections ${connections + 96}; }
    http {
      access_log off;
      sendfile on;
      tcp_nopush on;
      keepalive_requests 1000000000;
      keepalive_timeout 3600s;
      client_max_body_size 0;
      ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}
      ${http}
    }\n`,
  );
  return [nginx, '-p', folder, '-e', 'stderr', '-c', file];
}
