import { LOG_LEVELS, type LogLevel } from '../../base/log.ts';
import { formatAddress } from '../../model/address.ts';
import { exposePrometheus, PROMETHEUS_CONTENT_TYPE } from '../telemetry/metrics/prometheus.ts';
import { STAT_TYPES, type StatsQuery, type StatType } from '../telemetry/metrics/select.ts';
import { formatStats, formatStatsJson, HISTOGRAM_MODES, type HistogramMode } from '../telemetry/metrics/text.ts';
import { certificatesJson } from './certs.ts';
import { clustersJson, clustersText, socketAddress } from './clusters.ts';
import { configDump } from './config-dump.ts';
import { drainsJson, drainsText } from './drains.ts';
import { type AdminReply, type AdminRoute, helpText, JSON_TYPE, jsonReply, type Query, textReply } from './route.ts';
import type { AdminView } from './view.ts';

/** Every path of the admin port. Adding one is a line here; there is no other registration. */
export function adminRoutes(view: AdminView): readonly AdminRoute[] {
  const { actions } = view;
  const routes: AdminRoute[] = [
    get('/ready', 'print server state, return 200 if LIVE, otherwise return 503', () => ready(view)),
    get('/stats', 'print server stats', ({ query }) => stats(view, query), STATS_PARAMS),
    get(
      '/stats/prometheus',
      'print server stats in prometheus format',
      ({ query }) => prometheus(view, query),
      STATS_PARAMS.slice(0, 3),
    ),
    get('/metrics', 'the same as /stats/prometheus', ({ query }) => prometheus(view, query), STATS_PARAMS.slice(0, 3)),
    get('/config_dump', 'dump current configuration, without secrets', ({ query }) => configDump(view.config, query), [
      ['resource', 'the list to dump, such as dynamic_active_clusters'],
      ['name_regex', 'only resources whose whole name matches (RE2)'],
      ['mask', 'the fields to keep, as a FieldMask'],
      ['include_eds', 'endpoints too'],
    ]),
    get('/clusters', 'upstream cluster status', ({ query }) => clusters(view, query), [FORMAT]),
    get('/listeners', 'print listener info', ({ query }) => listeners(view, query), [FORMAT]),
    get('/remora/drain', 'who is asked to leave, connection by connection', ({ query }) => drains(view, query), [
      FORMAT,
    ]),
    get('/server_info', 'print server version/status information', () => serverInfo(view)),
    get('/memory', 'print current allocation/heap usage', () => memory(view)),
    get('/runtime', 'print runtime values', () => runtime(view)),
    get('/certs', 'print certs on machine', () => jsonReply(certificatesJson(view.certificates()))),
    get('/remora/explain', 'what each listener would do with a request, and why', ({ query }) => explain(view, query), [
      ['url', 'http://host:port/path, or a path beside a host header'],
      ['method', 'default GET'],
      ['header', 'name:value, may be repeated'],
      ['from', 'address of the client, default loopback'],
    ]),
    post('/logging', 'query/change the logging level', ({ query }) => logging(view, query), [
      ['level', `desired logging level; One of (${LOG_LEVELS.join(', ')})`],
    ]),
    post(
      '/drain_listeners',
      'drain listeners',
      ({ query }) => {
        const flag = (name: string): boolean => query.has(name);
        actions.drainListeners({
          graceful: flag('graceful'),
          inboundOnly: flag('inboundonly'),
          skipExit: flag('skip_exit'),
        });
        return OK;
      },
      [
        ['graceful', 'accept for the drain time, while clients are asked to leave, before listeners close'],
        ['inboundonly', 'inbound listeners only'],
        ['skip_exit', 'ask clients to leave and never close listeners; graceful has no effect then'],
      ],
    ),
    post('/healthcheck/fail', 'cause the server to fail health checks, and clients to be asked to leave', () =>
      done(() => actions.failHealthCheck(true)),
    ),
    post('/healthcheck/ok', 'cause the server to pass health checks', () => done(() => actions.failHealthCheck(false))),
    post('/quitquitquit', 'exit the server, after the requests in progress', () => ({
      ...OK,
      afterSent: () => actions.quit(),
    })),
    post('/reset_counters', 'reset all counters to zero', () => done(() => view.stats.resetCounters())),
    post('/reopen_logs', 'reopen access logs', () => done(() => actions.reopenLogs())),
  ];
  const help = (): AdminReply => textReply(helpText(routes));
  routes.push(
    get('/', 'print out list of admin commands', help),
    get('/help', 'print out list of admin commands', help),
  );
  return routes;
}

type Params = NonNullable<AdminRoute['params']>;
const FORMAT = ['format', 'One of (text, json)'] as const;
const STATS_PARAMS: Params = [
  ['usedonly', 'only stats that are not zero'],
  ['filter', 'regular expression (RE2) found in the name'],
  ['invert_filter', 'stats that the filter does not match'],
  ['format', 'One of (text, json, prometheus)'],
  ['type', `One of (${STAT_TYPES.join(', ')})`],
  ['histogram_buckets', `One of (${HISTOGRAM_MODES.join(', ')})`],
];

function get(path: string, help: string, handle: AdminRoute['handle'], params: Params = []): AdminRoute {
  return { path, method: 'GET', help, params, handle };
}

function post(path: string, help: string, handle: AdminRoute['handle'], params: Params = []): AdminRoute {
  return { path, method: 'POST', help, params, handle };
}

const OK = textReply('OK\n');

function done(action: () => void): AdminReply {
  action();
  return OK;
}

/** Envoy's readiness: 200 once LIVE. */
export function ready(view: AdminView): AdminReply {
  const state = view.state();
  return textReply(`${state}\n`, state === 'LIVE' ? 200 : 503);
}

/** `/stats/prometheus`, here and on the Prometheus port. */
export async function prometheus(view: AdminView, query: Query): Promise<AdminReply> {
  view.sample();
  const { ok, error } = await exposePrometheus(view.stats, statsQuery(query));
  return ok === undefined ? textReply(`${error}\n`, 400) : { status: 200, type: PROMETHEUS_CONTENT_TYPE, body: ok };
}

function stats(view: AdminView, query: Query): AdminReply | Promise<AdminReply> {
  const format = query.get('format') ?? 'text';
  if (format === 'prometheus') return prometheus(view, query);
  if (format !== 'text' && format !== 'json') return textReply('usage: /stats?format=(json|prometheus|text)\n', 400);
  const type = query.get('type') ?? 'All';
  if (!isOneOf(STAT_TYPES, type)) return textReply(`invalid type: one of ${STAT_TYPES.join(', ')}\n`, 400);
  const histograms = query.get('histogram_buckets') ?? 'summary';
  if (!isOneOf(HISTOGRAM_MODES, histograms)) {
    return textReply(`usage: /stats?histogram_buckets=(${HISTOGRAM_MODES.join('|')})\n`, 400);
  }
  view.sample();
  const asked: StatsQuery & { type: StatType; histograms: HistogramMode } = { ...statsQuery(query), type, histograms };
  const { ok, error } = format === 'json' ? formatStatsJson(view.stats, asked) : formatStats(view.stats, asked);
  if (ok === undefined) return textReply(`${error}\n`, 400);
  return format === 'json' ? { status: 200, type: JSON_TYPE, body: ok } : textReply(ok);
}

function statsQuery(query: Query): StatsQuery {
  return {
    filter: query.get('filter') ?? '',
    invertFilter: query.has('invert_filter'),
    usedOnly: query.has('usedonly'),
  };
}

function isOneOf<T extends string>(values: readonly T[], value: string): value is T {
  return (values as readonly string[]).includes(value);
}

function clusters(view: AdminView, query: Query): AdminReply {
  return query.get('format') === 'json'
    ? jsonReply(clustersJson(view.clusters()))
    : textReply(clustersText(view.clusters()));
}

function listeners(view: AdminView, query: Query): AdminReply {
  const all = view.listeners();
  if (query.get('format') === 'json') {
    return jsonReply({
      listener_statuses: all.map(({ name, addresses: [first, ...others] }) => ({
        name,
        ...(first === undefined ? {} : { local_address: socketAddress(formatAddress(first)) }),
        ...(others.length === 0
          ? {}
          : { additional_local_addresses: others.map((at) => socketAddress(formatAddress(at))) }),
      })),
    });
  }
  return textReply(
    all.flatMap(({ name, addresses }) => addresses.map((address) => `${name}::${formatAddress(address)}\n`)).join(''),
  );
}

function drains(view: AdminView, query: Query): AdminReply {
  return query.get('format') === 'json' ? jsonReply(drainsJson(view.drains())) : textReply(drainsText(view.drains()));
}

function serverInfo(view: AdminView): AdminReply {
  const { version, uptimeMs, uptimeAllMs, node, options } = view.serverInfo();
  return jsonReply({
    version,
    state: view.state(),
    uptime_current_epoch: `${Math.floor(uptimeMs / 1000)}s`,
    uptime_all_epochs: `${Math.floor(uptimeAllMs / 1000)}s`,
    hot_restart_version: options.disable_hot_restart === true ? 'disabled' : 'remora.1',
    command_line_options: options,
    node,
  });
}

function memory(view: AdminView): AdminReply {
  const { allocated, heapSize, heapFree, physical } = view.memory();
  return jsonReply({
    allocated: String(allocated),
    heap_size: String(heapSize),
    pageheap_unmapped: '0',
    pageheap_free: String(heapFree),
    total_thread_cache: '0',
    total_physical_bytes: String(physical),
  });
}

/** All values come from the bootstrap's static layers, merged. */
function runtime(view: AdminView): AdminReply {
  const entries: Record<string, unknown> = {};
  const sorted = [...view.runtime()].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [key, value] of sorted) entries[key] = { final_value: String(value), layer_values: [String(value)] };
  return jsonReply({ entries, layers: sorted.length === 0 ? [] : ['bootstrap'] });
}

function explain(view: AdminView, query: Query): AdminReply {
  const url = query.get('url');
  if (url === undefined)
    return textReply('usage: /remora/explain?url=http://host/path[&method=…][&header=name:value]…\n', 400);
  const headers: [string, string][] = [];
  for (const header of query.all('header')) {
    const colon = header.indexOf(':');
    if (colon <= 0) return textReply(`header ${JSON.stringify(header)} is not name:value\n`, 400);
    headers.push([header.slice(0, colon).trim(), header.slice(colon + 1).trim()]);
  }
  const from = query.get('from');
  try {
    return jsonReply(
      view.explain({ method: query.get('method') ?? 'GET', url, headers, ...(from === undefined ? {} : { from }) }),
    );
  } catch (error) {
    if (error instanceof RangeError) return textReply(`${error.message}\n`, 400);
    throw error;
  }
}

function logging(view: AdminView, query: Query): AdminReply {
  const asked = query.get('level');
  if (query.has('paths') || query.has('group')) {
    return textReply('error: all parts of the proxy log at one level; usage: /logging?level=<level>\n', 400);
  }
  if (asked !== undefined && asked !== '') {
    const level: LogLevel | undefined = LOG_LEVELS.find((name) => name === (asked === 'warn' ? 'warning' : asked));
    if (level === undefined) {
      return textReply(
        `error: unknown logger level\n\nusage: /logging?level=<level>\nlevels: ${LOG_LEVELS.join(' ')}\n`,
        400,
      );
    }
    view.actions.setLogLevel(level);
  }
  return textReply(`active loggers:\n  all: ${view.actions.logLevel()}\n`);
}
