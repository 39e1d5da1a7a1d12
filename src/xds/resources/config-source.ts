import type { ConfigSource } from '../proto/gen/envoy/config/core/v3.ts';
import type { Decoding } from './decoding.ts';

/** Routes and endpoints come over ADS; a file or a server of their own is refused. */
export function checkConfigSource(source: ConfigSource | undefined, path: string, s: Decoding): void {
  if (source === undefined) {
    s.error(path, 'is needed: ads: {}');
    return;
  }
  const file = source.path_config_source !== undefined ? 'path_config_source' : source.path !== undefined ? 'path' : '';
  if (file !== '')
    s.error(`${path}.${file}`, 'not supported here: only listeners and clusters are read from files; use ads: {}');
}
