import type { HeaderMutation } from '../../model/http-connection-manager.ts';
import type { HeaderMutations, HeaderValueOption } from '../../model/route.ts';
import type { HeaderMutation as WireMutation } from '../proto/gen/envoy/config/common/mutation_rules/v3.ts';
import type * as core from '../proto/gen/envoy/config/core/v3.ts';
import type { Decoding } from './decoding.ts';

interface MutationFields {
  request_headers_to_add?: core.HeaderValueOption[] | undefined;
  request_headers_to_remove?: string[] | undefined;
  response_headers_to_add?: core.HeaderValueOption[] | undefined;
  response_headers_to_remove?: string[] | undefined;
}

export function decodeMutations(m: MutationFields, path: string, s: Decoding): HeaderMutations {
  const at = path === '' ? '' : `${path}.`;
  return {
    requestHeadersToAdd: decodeHeadersToAdd(m.request_headers_to_add, `${at}request_headers_to_add`, s),
    requestHeadersToRemove: decodeRemovals(m.request_headers_to_remove, `${at}request_headers_to_remove`, s),
    responseHeadersToAdd: decodeHeadersToAdd(m.response_headers_to_add, `${at}response_headers_to_add`, s),
    responseHeadersToRemove: decodeRemovals(m.response_headers_to_remove, `${at}response_headers_to_remove`, s),
  };
}

export function decodeHeadersToAdd(
  list: readonly core.HeaderValueOption[] | undefined,
  path: string,
  s: Decoding,
): HeaderValueOption[] {
  return (list ?? []).map((option, i) => decodeOption(option, `${path}[${i}]`, s));
}

/** One step of a list of mutations; null for one that says nothing. */
export function decodeHeaderMutation(m: WireMutation, path: string, s: Decoding): HeaderMutation | null {
  if (m.remove !== undefined) {
    mayChange(m.remove, `${path}.remove`, s);
    return { remove: m.remove.toLowerCase() };
  }
  return m.append === undefined ? null : { set: decodeOption(m.append, `${path}.append`, s) };
}

function decodeOption(option: core.HeaderValueOption, path: string, s: Decoding): HeaderValueOption {
  const name = option.header?.key ?? '';
  mayChange(name, `${path}.header.key`, s);
  const raw = option.header?.raw_value;
  const value = raw === undefined ? (option.header?.value ?? '') : Buffer.from(raw).toString('utf8');
  s.format(value, `${path}.header.${raw === undefined ? 'value' : 'raw_value'}`);
  if (
    option.append !== undefined &&
    option.append_action !== undefined &&
    option.append_action !== 'APPEND_IF_EXISTS_OR_ADD'
  ) {
    s.error(`${path}.append`, 'only one of append and append_action may be set');
  }
  return { name, value, action: actionOf(option), keepEmptyValue: option.keep_empty_value ?? false };
}

function actionOf(option: core.HeaderValueOption): HeaderValueOption['action'] {
  if (option.append === false) return 'OVERWRITE_IF_EXISTS_OR_ADD';
  return option.append_action ?? 'APPEND_IF_EXISTS_OR_ADD';
}

function decodeRemovals(names: readonly string[] | undefined, path: string, s: Decoding): string[] {
  return (names ?? []).map((name, i) => {
    mayChange(name, `${path}[${i}]`, s);
    return name.toLowerCase();
  });
}

function mayChange(name: string, path: string, s: Decoding): void {
  if (!name.startsWith(':') && name.toLowerCase() !== 'host') return;
  s.error(
    path,
    `${JSON.stringify(name)} cannot be added or removed: use host_rewrite_literal, prefix_rewrite or regex_rewrite`,
  );
}
