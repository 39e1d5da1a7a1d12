import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NODE, ROOT } from '../support/programs.ts';
import { envoy } from './envoy.ts';
import { haproxy } from './haproxy.ts';
import { nginx } from './nginx.ts';
import type { Peer } from './peer.ts';
import { remora } from './remora.ts';

/** Remora and whom it is compared with, `bundle` being Remora's; `all` adds those that are not npm packages. */
export function peers(all: boolean, bundle: string): Peer[] {
  const npm = [remora({ bundle }), plainHttpProxy()];
  return all ? [...npm, envoy(), nginx(), haproxy()] : npm;
}

function plainHttpProxy(): Peer {
  const module = join(ROOT, 'node_modules/http-proxy/package.json');
  const script = fileURLToPath(new URL('./http-proxy.ts', import.meta.url));
  return {
    name: 'http-proxy',
    missing: existsSync(module) ? null : 'not installed (npm ci)',
    hasFeatures: false,
    version: [NODE, '-p', `require(${JSON.stringify(module)}).version`],
    command: (site) => [NODE, '--no-deprecation', script, String(site.port), String(site.backend)],
  };
}
