import type { OriginalIpDetection } from '../../model/http-connection-manager.ts';
import { enumOf, resolve } from '../proto/descriptor.ts';
import type { TypedExtensionConfig } from '../proto/gen/envoy/config/core/v3.ts';
import { CustomHeaderConfig } from '../proto/gen/envoy/extensions/http/original_ip_detection/custom_header/v3.ts';
import { XffConfig } from '../proto/gen/envoy/extensions/http/original_ip_detection/xff/v3.ts';
import type { HttpStatus } from '../proto/gen/envoy/type/v3.ts';
import type { Decoding } from './decoding.ts';

/** `original_ip_detection_extensions`: what says who the client is, in the order in which they are asked. */
export function decodeOriginalIp(
  extensions: readonly TypedExtensionConfig[] | undefined,
  path: string,
  s: Decoding,
): OriginalIpDetection[] {
  return (extensions ?? []).flatMap((extension, i) => {
    const one = decodeOne(extension, `${path}[${i}].typed_config`, s);
    return one === null ? [] : [one];
  });
}

function decodeOne({ typed_config: any }: TypedExtensionConfig, path: string, s: Decoding): OriginalIpDetection | null {
  // Its absence is a problem already.
  const opened = any === undefined ? undefined : s.open(any, path);
  if (opened === undefined) return null;
  if (opened.typeName === XffConfig.typeName) {
    s.check(XffConfig, opened.message, path);
    return { kind: 'xff', trustedHops: (opened.message as XffConfig).xff_num_trusted_hops ?? 0 };
  }
  if (opened.typeName === CustomHeaderConfig.typeName) {
    s.check(CustomHeaderConfig, opened.message, path);
    return decodeCustomHeader(opened.message as CustomHeaderConfig);
  }
  s.error(path, `${opened.typeName} is not in this version: use XffConfig or CustomHeaderConfig`);
  return null;
}

function decodeCustomHeader(custom: CustomHeaderConfig): OriginalIpDetection {
  return {
    kind: 'header',
    header: (custom.header_name ?? '').toLowerCase(),
    trusted: custom.allow_extension_to_set_address_as_trusted ?? false,
    rejectStatus: custom.reject_with_status === undefined ? null : rejection(custom.reject_with_status),
  };
}

/** Envoy answers 403 in place of what is no error. */
function rejection(status: HttpStatus): number {
  const field = resolve('envoy.type.v3.HttpStatus')?.message?.fields.find(({ name }) => name === 'code');
  const code = field === undefined ? undefined : enumOf(field).numbers.get(String(status.code));
  const number = code ?? Number(status.code);
  return number >= 400 && number <= 511 ? number : 403;
}
