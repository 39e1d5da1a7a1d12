import type { SocketAddress } from '../../model/address.ts';
import type { App } from '../admin/app-health.ts';
import { readAppMetrics, readAppProbers } from '../admin/app-probers.ts';
import { healthRoutes, prometheusRoutes } from '../admin/health.ts';
import type { AppAddress } from '../admin/http-call.ts';
import type { AdminRoute } from '../admin/route.ts';
import { adminRoutes } from '../admin/routes.ts';
import { AdminServer } from '../admin/server.ts';
import type { AdminView } from '../admin/view.ts';
import { type AdminViewParts, ProxyAdminView } from './admin-view.ts';
import type { ProxyEnvironment } from './environment.ts';
import type { Workers } from './workers.ts';

/** Where each port is to be; null or undefined: nowhere. */
export interface AdminAddresses {
  readonly admin: SocketAddress | null;
  readonly health: SocketAddress | undefined;
  readonly prometheus: SocketAddress | undefined;
}

/** What the pages show, and the pages as they are to be asked. */
export interface Pages {
  readonly view: AdminView;
  /** Where workers have what a page shows. */
  asking(routes: readonly AdminRoute[]): readonly AdminRoute[];
}

export async function adminPages(parts: AdminViewParts, workers: Workers | null): Promise<Pages> {
  if (workers === null) return { view: new ProxyAdminView(parts), asking: (routes) => routes };
  const { WorkersAdminView } = await import('./workers-admin-view.ts');
  const view = new WorkersAdminView(parts, workers);
  return { view, asking: (routes) => view.asking(routes) };
}

/** The application in the same pod, as injection tells of it. */
export interface AppOptions {
  readonly address: AppAddress;
  /** ISTIO_KUBE_APP_PROBERS and ISTIO_PROMETHEUS_ANNOTATIONS; '' none. */
  readonly probers: string;
  readonly prometheus: string;
}

function appOf({ address, probers, prometheus }: AppOptions, { clock }: ProxyEnvironment): App {
  return {
    address,
    clock,
    probers: probers === '' ? [] : readAppProbers(probers),
    metrics: prometheus === '' ? null : readAppMetrics(prometheus),
  };
}

/** The servers for the ports that were asked for. Only the admin port can change anything, and so is picky about hosts. */
export function adminServers(
  { view, asking }: Pages,
  { admin, health, prometheus }: AdminAddresses,
  env: ProxyEnvironment,
  app: AppOptions | undefined,
): { readonly server: AdminServer; readonly at: SocketAddress }[] {
  const beside = app === undefined ? null : appOf(app, env);
  const servers: { server: AdminServer; at: SocketAddress }[] = [];
  if (admin !== null) {
    const routes = asking(adminRoutes(view));
    servers.push({
      server: new AdminServer({ ...env.shared, name: 'admin', routes, hosts: { kind: 'local' } }),
      at: admin,
    });
  }
  if (health !== undefined) {
    const routes = asking(healthRoutes(view, beside));
    servers.push({
      server: new AdminServer({ ...env.shared, name: 'health', routes, hosts: { kind: 'any' } }),
      at: health,
    });
  }
  if (prometheus !== undefined) {
    const routes = asking(prometheusRoutes(view, beside));
    servers.push({
      server: new AdminServer({ ...env.shared, name: 'prometheus', routes, hosts: { kind: 'any' } }),
      at: prometheus,
    });
  }
  return servers;
}
