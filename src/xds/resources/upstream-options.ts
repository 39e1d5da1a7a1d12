import type { Cluster } from '../../model/cluster.ts';
import type * as wire from '../proto/gen/envoy/config/cluster/v3.ts';
import type * as core from '../proto/gen/envoy/config/core/v3.ts';
import { HttpProtocolOptions } from '../proto/gen/envoy/extensions/upstreams/http/v3.ts';
import type { Decoding } from './decoding.ts';
import { checkFormatter } from './header-format.ts';

export interface UpstreamOptions {
  readonly common: core.HttpProtocolOptions;
  readonly protocol: Cluster['protocol'];
  readonly http1: core.Http1ProtocolOptions;
  readonly upstreamHttp: core.UpstreamHttpProtocolOptions;
}

const CODEC = 'envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec';

/** Protocol options as an extension; the same in the deprecated fields of the cluster where that is not given. */
export function decodeUpstreamOptions(
  cluster: wire.Cluster,
  at: string,
  s: Decoding,
  controlPlane: boolean,
): UpstreamOptions {
  const typed = decodeTyped(cluster, `${at}typed_extension_protocol_options`, s, controlPlane);
  if (typed !== undefined) return typed;
  checkHttp1(cluster.http_protocol_options, `${at}http_protocol_options`, s);
  let protocol: Cluster['protocol'] = cluster.protocol_selection === 'USE_DOWNSTREAM_PROTOCOL' ? 'DOWNSTREAM' : 'HTTP1';
  if (cluster.http2_protocol_options !== undefined && protocol === 'HTTP1') {
    protocol = http2(`${at}http2_protocol_options`, s, controlPlane);
  }
  return {
    common: cluster.common_http_protocol_options ?? {},
    protocol,
    http1: cluster.http_protocol_options ?? {},
    upstreamHttp: cluster.upstream_http_protocol_options ?? {},
  };
}

function decodeTyped(
  cluster: wire.Cluster,
  path: string,
  s: Decoding,
  controlPlane: boolean,
): UpstreamOptions | undefined {
  let found: UpstreamOptions | undefined;
  for (const [name, any] of Object.entries(cluster.typed_extension_protocol_options ?? {})) {
    const at = `${path}["${name}"]`;
    const options = s.openAs(HttpProtocolOptions, any, at);
    if (options !== undefined) found = decodeOptions(options, at, s, controlPlane);
  }
  return found;
}

function decodeOptions(
  options: HttpProtocolOptions,
  path: string,
  s: Decoding,
  controlPlane: boolean,
): UpstreamOptions {
  for (const [i, filter] of (options.http_filters ?? []).entries()) {
    const at = `${path}.http_filters[${i}].typed_config`;
    const opened = filter.typed_config && s.open(filter.typed_config, at);
    if (opened !== undefined && opened.typeName !== CODEC) {
      s.error(at, `upstream filters are not supported: put ${opened.typeName} into http_filters of the listener`);
    }
  }
  const common = options.common_http_protocol_options ?? {};
  const upstreamHttp = options.upstream_http_protocol_options ?? {};
  const explicit = options.explicit_http_config;
  if (options.use_downstream_protocol_config !== undefined) {
    const at = `${path}.use_downstream_protocol_config.http_protocol_options`;
    checkHttp1(options.use_downstream_protocol_config.http_protocol_options, at, s);
    const http1 = options.use_downstream_protocol_config.http_protocol_options ?? {};
    return { common, upstreamHttp, protocol: 'DOWNSTREAM', http1 };
  }
  if (explicit?.http2_protocol_options !== undefined) {
    const protocol = http2(`${path}.explicit_http_config.http2_protocol_options`, s, controlPlane);
    return { common, upstreamHttp, protocol, http1: {} };
  }
  checkHttp1(explicit?.http_protocol_options, `${path}.explicit_http_config.http_protocol_options`, s);
  return { common, upstreamHttp, protocol: 'HTTP1', http1: explicit?.http_protocol_options ?? {} };
}

function http2(path: string, s: Decoding, controlPlane: boolean): Cluster['protocol'] {
  if (!controlPlane) s.error(path, 'HTTP/2 upstreams come later: use http_protocol_options');
  return 'HTTP2';
}

function checkHttp1(options: core.Http1ProtocolOptions | undefined, path: string, s: Decoding): void {
  const formatter = options?.header_key_format?.stateful_formatter;
  if (formatter !== undefined) checkFormatter(formatter, `${path}.header_key_format.stateful_formatter`, s);
}
