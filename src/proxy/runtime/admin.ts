import type { SocketAddress } from '../../model/address.ts';
import { healthRoutes, prometheusRoutes } from '../admin/health.ts';
import { adminRoutes } from '../admin/routes.ts';
import { AdminServer } from '../admin/server.ts';
import type { AdminView } from '../admin/view.ts';
import { type AdminViewParts, ProxyAdminView } from './admin-view.ts';
import type { ProxyEnvironment } from './environment.ts';

/** Where each port is to be; null or undefined: nowhere. */
export interface AdminAddresses {
  readonly admin: SocketAddress | null;
  readonly health: SocketAddress | undefined;
  readonly prometheus: SocketAddress | undefined;
}

export function adminView(parts: AdminViewParts): AdminView {
  return new ProxyAdminView(parts);
}

/** The servers for the ports that were asked for. Only the admin port can change anything, and so is picky about hosts. */
export function adminServers(
  view: AdminView,
  { admin, health, prometheus }: AdminAddresses,
  env: ProxyEnvironment,
): { readonly server: AdminServer; readonly at: SocketAddress }[] {
  const servers: { server: AdminServer; at: SocketAddress }[] = [];
  if (admin !== null) {
    const routes = adminRoutes(view);
    servers.push({
      server: new AdminServer({ ...env.shared, name: 'admin', routes, hosts: { kind: 'local' } }),
      at: admin,
    });
  }
  if (health !== undefined) {
    const routes = healthRoutes(view);
    servers.push({
      server: new AdminServer({ ...env.shared, name: 'health', routes, hosts: { kind: 'any' } }),
      at: health,
    });
  }
  if (prometheus !== undefined) {
    const routes = prometheusRoutes(view);
    servers.push({
      server: new AdminServer({ ...env.shared, name: 'prometheus', routes, hosts: { kind: 'any' } }),
      at: prometheus,
    });
  }
  return servers;
}
