import type { PerFilterConfig } from '../../model/route.ts';
import type { Any } from '../proto/codec.ts';
import { resolve } from '../proto/descriptor.ts';
import { FilterConfig } from '../proto/gen/envoy/config/route/v3.ts';
import { typeNameOf } from '../proto/message-type.ts';
import type { Decoding } from './decoding.ts';

const NONE: PerFilterConfig = new Map();

/** `typed_per_filter_config`: by the filter's name, its config for these routes, bare or within a FilterConfig. */
export function decodePerFilterConfig(
  configs: { readonly [name: string]: Any } | undefined,
  path: string,
  s: Decoding,
): PerFilterConfig {
  if (configs === undefined) return NONE;
  const decoded = new Map<string, Configured>();
  for (const [name, any] of Object.entries(configs)) {
    const at = `${path}["${name}"]`;
    const one = decodeOne(any, at, s);
    if (one !== undefined) decoded.set(name, one);
  }
  return decoded;
}

type Configured = PerFilterConfig extends ReadonlyMap<string, infer T> ? T : never;

function decodeOne(any: Any, path: string, s: Decoding): Configured | undefined {
  if (typeNameOf(any.type_url) !== FilterConfig.typeName) {
    const config = decodeRouteFilter(any, path, s, false);
    return config === undefined ? undefined : { ...config, disabled: false };
  }
  const wrapper = s.openAs(FilterConfig, any, path);
  if (wrapper === undefined) return undefined;
  const disabled = wrapper.disabled ?? false;
  if (wrapper.config === undefined) {
    if (!disabled) s.error(`${path}.config`, 'is needed, unless disabled is true');
    return { config: null, disabled };
  }
  const config = decodeRouteFilter(wrapper.config, `${path}.config`, s, wrapper.is_optional ?? false);
  return config === undefined ? undefined : { ...config, disabled };
}

function decodeRouteFilter(
  any: Any,
  path: string,
  s: Decoding,
  optional: boolean,
): Pick<Configured, 'config' | 'kind'> | undefined {
  const declared = typeNameOf(any.type_url);
  if (optional && resolve(declared) === undefined) {
    s.noEffect(path, `there is no filter config ${declared}, and it is optional`);
    return undefined;
  }
  const opened = s.open(any, path);
  if (opened === undefined) return undefined;
  const filter = s.context.routeFilters.get(opened.typeName);
  if (filter !== undefined) {
    return { config: filter.decodeRoute(opened.message, s.problems, s.warnings, path), kind: filter.kind };
  }
  if (optional) s.noEffect(path, `no filter here takes a ${opened.typeName} for a route, and it is optional`);
  else s.error(path, `no filter of this version takes a ${opened.typeName} for a route`);
  return undefined;
}
