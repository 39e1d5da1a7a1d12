import { type DecodeContext, decodeContext } from '../../xds/resources/context.ts';
import { HTTP_FILTER_TYPES, NETWORK_FILTER_TYPES } from '../filters/standard.ts';
import { compileFormat } from '../telemetry/accesslog/format.ts';
import { BALANCER_TYPES } from '../upstream/lb/standard.ts';

/** What decoding wire config needs of the proxy: its filters, its balancers, its command operators. */
export function proxyDecodeContext(): DecodeContext {
  return decodeContext({
    httpFilters: HTTP_FILTER_TYPES,
    networkFilters: NETWORK_FILTER_TYPES,
    balancers: BALANCER_TYPES,
    checkFormat: (text) => compileFormat(text).error ?? null,
  });
}
