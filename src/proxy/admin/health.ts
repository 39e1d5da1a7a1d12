import { type App, appHealthRoutes, withAppMetrics } from './app-health.ts';
import { type AdminRoute, textReply } from './route.ts';
import { prometheus } from './routes.ts';
import type { AdminView } from './view.ts';

/** What Kubernetes asks of a proxy and the application beside it, on its own port (15021): nothing there tells or changes more. */
export function healthRoutes(view: AdminView, app: App | null = null): readonly AdminRoute[] {
  return [
    {
      path: '/healthz/ready',
      method: 'GET',
      help: '200 when this proxy may get traffic, otherwise 503',
      handle: () => (view.state() === 'LIVE' ? textReply('') : textReply(`${view.stateReason()}\n`, 503)),
    },
    ...(app === null ? [] : appHealthRoutes(app)),
  ];
}

/** What Prometheus scrapes (15090). */
export function prometheusRoutes(view: AdminView, app: App | null = null): readonly AdminRoute[] {
  return ['/stats/prometheus', '/metrics'].map((path) => ({
    path,
    method: 'GET',
    help: 'print server stats in prometheus format',
    handle: async ({ query }) => {
      const own = await prometheus(view, query);
      return app === null ? own : withAppMetrics(own, app);
    },
  }));
}
