import type * as core from '../proto/gen/envoy/config/core/v3.ts';
import type { Decoding } from './decoding.ts';

const PRESERVE_CASE = 'envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig';

/** Header case is always preserved, so Envoy's formatter for that has nothing to add. */
export function checkFormatter(formatter: core.TypedExtensionConfig, path: string, s: Decoding): void {
  const at = `${path}.typed_config`;
  const opened = formatter.typed_config && s.open(formatter.typed_config, at);
  if (opened !== undefined && opened.typeName !== PRESERVE_CASE) {
    s.error(at, `header formatter ${opened.typeName} is not supported: header names keep the case they came in`);
  }
}
