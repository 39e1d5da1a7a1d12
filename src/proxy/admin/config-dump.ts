import { compileRegex } from '../../base/regex.ts';
import { redact } from './redact.ts';
import { type AdminReply, jsonReply, type Query, textReply } from './route.ts';
import type { ConfigDumpSource, DumpedResource } from './view.ts';

type Json = Record<string, unknown>;

/** One message of envoy.admin.v3.ConfigDump: its type, and its lists by the names that `?resource=` knows. */
interface Dump {
  readonly type: string;
  readonly fields: Json;
  readonly lists: Readonly<Record<string, readonly Element[]>>;
}

interface Element {
  /** For `?name_regex=`. */
  readonly name: string;
  /** Message type of the element, as `?resource=` gives it. */
  readonly type: string;
  readonly json: Json;
}

/** `GET /config_dump`, with Envoy's `resource`, `name_regex`, `mask` and `include_eds`. */
export function configDump(source: ConfigDumpSource, query: Query): AdminReply {
  const resource = query.get('resource');
  const pattern = query.get('name_regex') ?? '';
  const names = pattern === '' ? null : compileRegex(pattern);
  if (names?.error !== undefined)
    return textReply(`Error while parsing name_regex from ${pattern}: ${names.error}\n`, 400);
  const keep = (name: string): boolean => names === null || names.ok.matches(name);
  const mask = (query.get('mask') ?? '').split(',').filter((path) => path !== '');
  const dumps = dumpAll(source, query.has('include_eds') || resource?.endsWith('_endpoint_configs') === true);
  const configs: unknown[] = [];
  if (resource === undefined) {
    for (const { type, fields, lists } of dumps) {
      const json: Json = { ...fields };
      for (const [name, elements] of Object.entries(lists)) {
        const kept = elements.filter((element) => keep(element.name)).map((element) => element.json);
        if (kept.length > 0) json[name] = kept;
      }
      configs.push(typed(type, json, mask));
    }
  } else {
    const dump = dumps.find(
      ({ fields, lists }) =>
        Object.hasOwn(lists, resource) || (resource === 'bootstrap' && Object.hasOwn(fields, resource)),
    );
    if (dump === undefined) return textReply(`${resource} not found in config dump\n`, 404);
    if (resource === 'bootstrap') configs.push(typed(dump.type, dump.fields, mask));
    for (const { name, type, json } of dump.lists[resource] ?? [])
      if (keep(name)) configs.push(typed(type, json, mask));
  }
  return jsonReply(configs.length === 0 ? {} : { configs });
}

function typed(type: string, json: Json, mask: readonly string[]): Json {
  return { '@type': `type.googleapis.com/envoy.admin.v3.${type}`, ...(mask.length === 0 ? json : masked(json, mask)) };
}

/** The messages in Envoy's order. */
function dumpAll(source: ConfigDumpSource, withEndpoints: boolean): Dump[] {
  const bootstrap = source.bootstrap();
  return [
    {
      type: 'BootstrapConfigDump',
      fields: { bootstrap: redact(bootstrap.json), ...updated(bootstrap.lastUpdated) },
      lists: {},
    },
    clusters(source),
    ...(withEndpoints ? [endpoints(source)] : []),
    listeners(source),
    {
      type: 'ScopedRoutesConfigDump',
      fields: {},
      lists: { inline_scoped_route_configs: [], dynamic_scoped_route_configs: [] },
    },
    routes(source),
    secrets(source),
  ];
}

function clusters(source: ConfigDumpSource): Dump {
  const { version, items } = source.resources('cluster');
  return {
    type: 'ClustersConfigDump',
    fields: versionInfo(version),
    lists: {
      static_clusters: elements(items, 'static', 'ClustersConfigDump.StaticCluster', (item) => ({
        cluster: item.json,
      })),
      dynamic_active_clusters: elements(items, 'active', 'ClustersConfigDump.DynamicCluster', dynamic('cluster')),
      dynamic_warming_clusters: elements(items, 'warming', 'ClustersConfigDump.DynamicCluster', dynamic('cluster')),
    },
  };
}

function endpoints(source: ConfigDumpSource): Dump {
  const { items } = source.resources('endpoint');
  const type = 'EndpointsConfigDump';
  return {
    type,
    fields: {},
    lists: {
      static_endpoint_configs: elements(items, 'static', `${type}.StaticEndpointConfig`, (item) => ({
        endpoint_config: item.json,
      })),
      dynamic_endpoint_configs: elements(items, 'active', `${type}.DynamicEndpointConfig`, dynamic('endpoint_config')),
    },
  };
}

function listeners(source: ConfigDumpSource): Dump {
  const { version, items } = source.resources('listener');
  const type = 'ListenersConfigDump';
  // A listener whose next version warms is one element with both.
  const byName = new Map<string, Element>();
  for (const item of items) {
    if (item.origin === 'static') continue;
    const state = { ...versionInfo(item.version), listener: redact(item.json), ...updated(item.lastUpdated) };
    const before = byName.get(item.name)?.json ?? { name: item.name };
    const json = { ...before, [item.origin === 'active' ? 'active_state' : 'warming_state']: state };
    byName.set(item.name, { name: item.name, type: `${type}.DynamicListener`, json });
  }
  return {
    type,
    fields: versionInfo(version),
    lists: {
      static_listeners: elements(items, 'static', `${type}.StaticListener`, (item) => ({ listener: item.json })),
      dynamic_listeners: [...byName.values()],
    },
  };
}

function routes(source: ConfigDumpSource): Dump {
  const { items } = source.resources('route');
  const type = 'RoutesConfigDump';
  return {
    type,
    fields: {},
    lists: {
      static_route_configs: elements(items, 'static', `${type}.StaticRouteConfig`, (item) => ({
        route_config: item.json,
      })),
      dynamic_route_configs: elements(items, 'active', `${type}.DynamicRouteConfig`, dynamic('route_config')),
    },
  };
}

function secrets(source: ConfigDumpSource): Dump {
  const { items } = source.resources('secret');
  const named = (item: DumpedResource): Json => ({ name: item.name, ...versionInfo(item.version), secret: item.json });
  return {
    type: 'SecretsConfigDump',
    fields: {},
    lists: {
      static_secrets: elements(items, 'static', 'SecretsConfigDump.StaticSecret', named),
      dynamic_active_secrets: elements(items, 'active', 'SecretsConfigDump.DynamicSecret', named),
      dynamic_warming_secrets: elements(items, 'warming', 'SecretsConfigDump.DynamicSecret', named),
    },
  };
}

function elements(
  items: readonly DumpedResource[],
  origin: DumpedResource['origin'],
  type: string,
  fields: (item: DumpedResource) => Json,
): Element[] {
  return items
    .filter((item) => item.origin === origin)
    .map((item) => ({
      name: item.name,
      type,
      json: { ...(redact(fields(item)) as Json), ...updated(item.lastUpdated) },
    }));
}

function dynamic(field: string): (item: DumpedResource) => Json {
  return (item) => ({ ...versionInfo(item.version), [field]: item.json });
}

function versionInfo(version: string): Json {
  return version === '' ? {} : { version_info: version };
}

function updated(at: number): Json {
  return at === 0 ? {} : { last_updated: new Date(at).toISOString() };
}

/** Keeps the fields that a FieldMask names (`cluster.name`); lists on the way are gone through. */
function masked(json: Json, mask: readonly string[]): Json {
  const out: Json = {};
  const below = new Map<string, string[]>();
  for (const path of mask) {
    const dot = path.indexOf('.');
    const field = dot < 0 ? path : path.slice(0, dot);
    if (!Object.hasOwn(json, field)) continue;
    if (dot < 0) out[field] = json[field];
    else below.set(field, [...(below.get(field) ?? []), path.slice(dot + 1)]);
  }
  for (const [field, rest] of below) {
    if (Object.hasOwn(out, field)) continue;
    const value = json[field];
    out[field] = Array.isArray(value) ? value.map((item) => maskedValue(item, rest)) : maskedValue(value, rest);
  }
  // What says the type of an Any is not a field of it.
  if ('@type' in json) return { '@type': json['@type'], ...out };
  return out;
}

function maskedValue(value: unknown, mask: readonly string[]): unknown {
  return typeof value === 'object' && value !== null ? masked(value as Json, mask) : value;
}
