import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { output, Program, writeScratch } from './process.ts';

const root = process.cwd();

export const ENVOY = required('ENVOY_BIN');
const NODE = join(root, 'node_modules/.bin/node');
const REMORA = join(root, 'dist/remora.js');

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined || !existsSync(value)) throw new Error(`${name} is not set: run test/system/run.sh`);
  return value;
}

let count = 0;

/** Where a proxy is asked whether it is up: a listener that accepts, or an admin port that knows of all of them. */
export type Up = number | { readonly admin: number };

const up = (program: Program, at: Up): Promise<Program> =>
  typeof at === 'number' ? program.accepts(at) : program.live(at.admin);

/** Real Envoy on a bootstrap in YAML or JSON. */
export function envoy(bootstrap: string, at: Up): Promise<Program> {
  const id = ++count;
  const path = writeScratch(`envoy-${id}.yaml`, bootstrap);
  const args = ['-c', path, '--use-dynamic-base-id', '--concurrency', '1', '--log-level', 'warning'];
  return up(new Program('envoy', ENVOY, [...args, '--drain-time-s', '1']), at);
}

export function validateWithEnvoy(bootstrap: string): Promise<{ code: number | null; text: string }> {
  return output(ENVOY, ['--mode', 'validate', '-c', writeScratch(`validate-${++count}.yaml`, bootstrap)]);
}

/** `remora proxy` from the bundle, as it ships. */
export function remora(bootstrap: string, at: Up): Promise<Program> {
  const path = writeScratch(`remora-${++count}.yaml`, bootstrap);
  return up(new Program('remora', NODE, [REMORA, 'proxy', '-c', path, '--log-level', 'warning']), at);
}

export function remoraControl(folder: string, xds: number, http: number, instances: string): Promise<Program> {
  const args = ['control', '--files', folder, '--instances', instances];
  const ports = ['--xds', `127.0.0.1:${xds}`, '--http', `127.0.0.1:${http}`];
  // A home of its own, so that it does not announce itself as the mesh of whoever runs the tests.
  const env = { HOME: folder, XDG_RUNTIME_DIR: instances, XDG_STATE_HOME: instances, TMPDIR: instances };
  return new Program('remora control', NODE, [REMORA, ...args, ...ports], env).accepts(xds);
}

/** HAProxy as an HTTP proxy in front of one server, with its own defaults for what is malformed. */
export function haproxy(port: number, upstream: number): Promise<Program> {
  const config = `global
  maxconn 1000
defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
frontend in
  bind 127.0.0.1:${port}
  default_backend out
backend out
  server one 127.0.0.1:${upstream}
`;
  return new Program('haproxy', 'haproxy', ['-db', '-f', writeScratch(`haproxy-${++count}.cfg`, config)]).accepts(port);
}

/** nginx as a reverse proxy in front of one server. */
export function nginx(port: number, upstream: number): Promise<Program> {
  const id = ++count;
  const config = `daemon off;
master_process off;
pid nginx-${id}.pid;
error_log stderr error;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path nginx-${id}-body;
  proxy_temp_path nginx-${id}-proxy;
  fastcgi_temp_path nginx-${id}-fastcgi;
  uwsgi_temp_path nginx-${id}-uwsgi;
  scgi_temp_path nginx-${id}-scgi;
  upstream out { server 127.0.0.1:${upstream}; keepalive 4; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://out;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Connection "";
    }
  }
}
`;
  const path = writeScratch(`nginx-${id}.conf`, config);
  const prefix = join(path, '..');
  return new Program('nginx', 'nginx', ['-p', prefix, '-e', 'stderr', '-c', path]).accepts(port);
}

/** A reverse proxy as people write it on node:http: its parser is llhttp. */
export function nodeHttp(port: number, upstream: number): Promise<Program> {
  const program = join(root, 'test/system/support/node-proxy.ts');
  return new Program('node:http', NODE, [program, String(port), String(upstream)]).accepts(port);
}
