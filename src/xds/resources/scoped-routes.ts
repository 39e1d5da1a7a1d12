import type { RouteScope, RouteSource, ScopedRoutes, ScopeFragment } from '../../model/http-connection-manager.ts';
import type * as route from '../proto/gen/envoy/config/route/v3.ts';
import type * as hcm from '../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import { checkConfigSource } from './config-source.ts';
import type { Decoding } from './decoding.ts';
import { decodeRouteConfig } from './route.ts';

/** Route configurations chosen by a key in the request's headers (`scoped_routes`). */
export function decodeScopedRoutes(scoped: hcm.ScopedRoutes, path: string, s: Decoding): ScopedRoutes {
  const key = (scoped.scope_key_builder?.fragments ?? []).map((fragment, i) =>
    decodeFragment(fragment, `${path}.scope_key_builder.fragments[${i}].header_value_extractor`, s),
  );
  const list = scoped.scoped_route_configurations_list?.scoped_route_configurations ?? [];
  const at = `${path}.scoped_route_configurations_list.scoped_route_configurations`;
  const scopes = list.map((scope, i) => decodeScope(scope, `${at}[${i}]`, key.length, s));
  checkUnique(scopes, at, s);
  if (scopes.some(({ routes }) => routes.kind === 'rds')) {
    checkConfigSource(scoped.rds_config_source, `${path}.rds_config_source`, s);
  }
  return { kind: 'scoped', name: scoped.name ?? '', key, scopes };
}

type Extractor = hcm.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder;

function decodeFragment({ header_value_extractor: from }: Extractor, path: string, s: Decoding): ScopeFragment {
  const separator = from?.element_separator ?? '';
  const element = from?.element;
  if (element === undefined && from?.index === undefined) {
    s.error(path, 'needs index or element: which part of the header is the key');
  }
  const index = from?.index ?? 0;
  if (index > 0 && separator === '') {
    s.error(`${path}.index`, `there is no element ${index} without an element_separator`);
  }
  return {
    header: (from?.name ?? '').toLowerCase(),
    separator,
    pick:
      element === undefined
        ? { kind: 'index', index }
        : { kind: 'element', separator: element.separator ?? '', key: element.key ?? '' },
  };
}

function decodeScope(scope: route.ScopedRouteConfiguration, path: string, fragments: number, s: Decoding): RouteScope {
  const key = (scope.key?.fragments ?? []).map((fragment) => fragment.string_key ?? '');
  if (key.length !== fragments) {
    s.noEffect(`${path}.key`, `keys of requests have ${fragments} fragments, this one ${key.length}: it never matches`);
  }
  return { name: scope.name ?? '', key, routes: decodeSource(scope, path, s) };
}

function decodeSource(scope: route.ScopedRouteConfiguration, path: string, s: Decoding): RouteSource {
  const name = scope.route_configuration_name ?? '';
  if (scope.route_configuration !== undefined) {
    if (name !== '') s.error(`${path}.route_configuration`, 'only one of it and route_configuration_name may be set');
    const at = `${path}.route_configuration`;
    return { kind: 'inline', config: decodeRouteConfig(scope.route_configuration, at, s, true) };
  }
  if (name === '') s.error(`${path}.route_configuration_name`, 'is needed, or route_configuration');
  else s.routes.set(name, `${path}.route_configuration_name`);
  return { kind: 'rds', name };
}

/** Envoy refuses a list in which two scopes have one name or one key. */
function checkUnique(scopes: readonly RouteScope[], path: string, s: Decoding): void {
  const names = new Set<string>();
  const keys = new Map<string, string>();
  for (const [i, { name, key }] of scopes.entries()) {
    if (names.has(name)) s.error(`${path}[${i}].name`, `${JSON.stringify(name)} is the name of another scope too`);
    names.add(name);
    const print = JSON.stringify(key);
    const first = keys.get(print);
    if (first !== undefined) s.error(`${path}[${i}].key`, `is the key of scope ${JSON.stringify(first)} too`);
    else keys.set(print, name);
  }
}
